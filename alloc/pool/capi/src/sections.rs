//! Operations on the copy that is current: sections where the system has them, else the same under
//! a lease.
//!
//! ```text
//!   v, v2, to, head: addresses in copy 0        v[d]: the same word of the current copy
//!
//!   add:                  v[d] += count
//!   load:                 *value = v[d]
//!   compare_store:        if v[d] != expect leave with 1;  v[d] = newv
//!   compare_two_store:    if v[d] != expect or v2[d] != expect2 leave with 1;  v[d] = newv
//!   compare_store_store:  if v[d] != expect leave with 1;  v2[d] = newv2;  v[d] = newv
//!   compare_copy_store:   if v[d] != expect leave with 1;  to[d ..] = from[.. len];  v[d] = newv
//!   list_push:            node[offset] = head[d];  head[d] = node
//!   list_pop:             n = head[d];  if n == 0 leave with 1;  head[d] = n[offset];  *node = n
//!   list_pop_all:         *first = head[d];  head[d] = 0
//!   compare_store_on:     if the current copy is another one leave with -1;  else as compare_store
//! ```
//!
//! All or nothing: what is written before the last store nobody looks at who was not told by it.
//! The copy is found inside, so that there is no number of a CPU to pass, nor an operation to
//! repeat because the thread moved on.
//!
//! Each returns 0 when it is done, 1 where it left, and -1 with `errno`:
//! - `EINVAL`: `stride` is not a power of two; or what is written before `v` is not apart from it, or
//!   takes too long;
//! - `EAGAIN`: the thread has no cid now: others have all of them, it is at its end, or in a signal
//!   handler above an operation;
//! - `EOPNOTSUPP`: the process has no cids, and will have none;
//! - `ENOMEM`: the library cannot start now.
//!
//! MT-safe. For signal handlers, but for the process's first call of the library. The names without
//! `_strided` are macros that know the default stride.

#![allow(unsafe_code)]

use crate::errno::{INVALID, Result, answer};
use crate::numbers;
use crate::places::{self, Process};
use cidalloc::percid::Cids;
use cidpool::sections::{self, Outcome};
use core::ffi::{c_int, c_void};

/// The most bytes that `cidpool_compare_copy_store` copies.
pub const CIDPOOL_COPY_MAX: usize = 64 << 10;
const _: () = assert!(CIDPOOL_COPY_MAX == sections::COPY_MAX);

const DONE: c_int = 0;
const LEFT: c_int = 1;

/// Runs `operation`, which is told the stride's logarithm.
#[inline]
fn run(stride: usize, operation: impl FnOnce(&'static Cids, u32) -> Outcome) -> Result<Outcome> {
    if !stride.is_power_of_two() {
        return Err(INVALID);
    }
    let process = places::of_process()?;
    let Process(cids) = process;
    match operation(cids, stride.trailing_zeros()) {
        Outcome::NoCid => Err(process.no_cid()),
        outcome => Ok(outcome),
    }
}

/// What C is told of an operation that returns no value.
#[inline]
fn told(stride: usize, operation: impl FnOnce(&'static Cids, u32) -> Outcome) -> c_int {
    answer(-1, || {
        let outcome = run(stride, operation)?;
        Ok(if matches!(outcome, Outcome::Done(_)) { DONE } else { LEFT })
    })
}

/// What C is told of arguments with which nothing can be done as a whole.
#[cold]
fn refused() -> c_int {
    answer(-1, || Err(INVALID))
}

/// Of one that does; it is written to `to` if the operation is done.
#[inline]
fn told_value<T>(
    stride: usize,
    to: *mut T,
    value: impl FnOnce(u64) -> T,
    operation: impl FnOnce(&'static Cids, u32) -> Outcome,
) -> c_int {
    answer(-1, || match run(stride, operation)? {
        Outcome::Done(word) => {
            // SAFETY: who calls the operation has it write there.
            unsafe { to.write(value(word)) };
            Ok(DONE)
        }
        _ => Ok(LEFT),
    })
}

fn pointer_of(word: u64) -> *mut c_void {
    core::ptr::with_exposed_provenance_mut(word as usize)
}

/// Adds `count` to the word at `v`, modulo 2^64. For errors see `cidpool_compare_store_strided`.
///
/// # Safety
/// `v` is a word of an allocated item's copy 0, in a pool per cid of that stride.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_add_strided(v: *mut u64, count: u64, stride: usize) -> c_int {
    told(stride, |cids, shift| {
        // SAFETY: by the caller's promise.
        if unsafe { sections::add(cids, shift, v, count) } {
            Outcome::Done(0)
        } else {
            Outcome::NoCid
        }
    })
}

/// Writes the word at `v` to `value`. For errors see `cidpool_compare_store_strided`.
///
/// # Safety
/// As for `cidpool_add_strided`; `value` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_load_strided(
    v: *const u64,
    value: *mut u64,
    stride: usize,
) -> c_int {
    // SAFETY: by the caller's promise.
    told_value(stride, value, |word| word, |cids, shift| unsafe { sections::load(cids, shift, v) })
}

/// Stores `newv` at `v` if `expect` is there.
///
/// Returns 0, or 1 if something else is there, or, as all operations, -1 and `errno`:
/// - `EINVAL`: `stride` is not a power of two;
/// - `EAGAIN`: the thread has no cid now: others have all of them, it is at its end, or in a signal
///   handler above an operation;
/// - `EOPNOTSUPP`: the process has no cids, and will have none;
/// - `ENOMEM`: the library cannot start now.
///
/// MT-safe. For signal handlers, but for the process's first call of the library.
///
/// # Safety
/// As for `cidpool_add_strided`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_compare_store_strided(
    v: *mut u64,
    expect: u64,
    newv: u64,
    stride: usize,
) -> c_int {
    // SAFETY: by the caller's promise.
    told(stride, |cids, shift| unsafe { sections::compare_store(cids, shift, v, expect, newv) })
}

/// Stores `newv` at `v` if `expect` is there, and `expect2` at `v2`. Returns 0, or 1 if not, or -1
/// as `cidpool_compare_store_strided`.
///
/// # Safety
/// As for `cidpool_add_strided`, both.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_compare_two_store_strided(
    v: *mut u64,
    expect: u64,
    v2: *const u64,
    expect2: u64,
    newv: u64,
    stride: usize,
) -> c_int {
    // SAFETY: by the caller's promise.
    told(stride, |cids, shift| unsafe {
        sections::compare_two_store(cids, shift, v, expect, v2, expect2, newv)
    })
}

/// If `expect` is at `v`, stores `newv2` at `v2`, and then `newv` at `v`, with release. Returns 0,
/// or 1 if not, or -1 as `cidpool_compare_store_strided`; `EINVAL` also if `v2` is `v`. Others may look
/// at `v2` only if they saw `newv`.
///
/// # Safety
/// As for `cidpool_add_strided`, both.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_compare_store_store_strided(
    v: *mut u64,
    expect: u64,
    newv: u64,
    v2: *mut u64,
    newv2: u64,
    stride: usize,
) -> c_int {
    if v == v2 {
        return refused();
    }
    // SAFETY: by the caller's promise.
    told(stride, |cids, shift| unsafe {
        sections::compare_store_store(cids, shift, v, expect, newv, v2, newv2)
    })
}

/// If `expect` is at `v`, copies `len` bytes from `from` to `to`, and then stores `newv` at `v`,
/// with release. Returns 0, or 1 if not, or -1 as `cidpool_compare_store_strided`; `EINVAL` also if
/// `len` is above `CIDPOOL_COPY_MAX`, or `v` lies in the bytes at `to`. Others may look at `to` only if
/// they saw `newv`.
///
/// # Safety
/// As for `cidpool_add_strided`, `v` and the `len` bytes at `to`; those at `from`, which is an
/// ordinary address outside of the pool, can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_compare_copy_store_strided(
    v: *mut u64,
    expect: u64,
    newv: u64,
    to: *mut c_void,
    from: *const c_void,
    len: usize,
    stride: usize,
) -> c_int {
    let (to, from) = (to.cast::<u8>(), from.cast());
    if len > CIDPOOL_COPY_MAX {
        return refused();
    }
    let (word, bytes) = (v.addr(), to.addr());
    if word < bytes.wrapping_add(len) && bytes < word.wrapping_add(size_of::<u64>()) {
        return refused();
    }
    // SAFETY: by the caller's promise.
    told(stride, |cids, shift| unsafe {
        sections::compare_copy_store(cids, shift, v, expect, newv, to, from, len)
    })
}

/// Puts `node` before the others of the list at `head`, which is zero when it is empty; the word
/// `offset` bytes into the node leads to the next one. Returns 0, or -1 as
/// `cidpool_compare_store_strided`.
///
/// # Safety
/// As for `cidpool_add_strided`, the head; `node` is the caller's memory, in no list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_list_push_strided(
    head: *mut u64,
    node: *mut c_void,
    offset: usize,
    stride: usize,
) -> c_int {
    let _ = node.expose_provenance();
    // SAFETY: by the caller's promise.
    told(stride, |cids, shift| unsafe { sections::push(cids, shift, head, node.cast(), offset) })
}

/// Takes the first node of the list at `head`, and writes its address to `node`. Returns 0, or 1 if
/// the list is empty, or -1 as `cidpool_compare_store_strided`.
///
/// # Safety
/// As for `cidpool_list_push_strided`, whose nodes these are; `node` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_list_pop_strided(
    head: *mut u64,
    node: *mut *mut c_void,
    offset: usize,
    stride: usize,
) -> c_int {
    told_value(stride, node, pointer_of, |cids, shift| {
        // SAFETY: by the caller's promise.
        unsafe { sections::pop(cids, shift, head, offset) }
    })
}

/// Takes all nodes of the list at `head`, and writes the address of the first to `first`, or null
/// if there is none. Returns 0, or -1 as `cidpool_compare_store_strided`.
///
/// # Safety
/// As for `cidpool_list_pop_strided`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_list_pop_all_strided(
    head: *mut u64,
    first: *mut *mut c_void,
    stride: usize,
) -> c_int {
    told_value(stride, first, pointer_of, |cids, shift| {
        // SAFETY: by the caller's promise.
        unsafe { sections::pop_all(cids, shift, head) }
    })
}

/// As `cidpool_compare_store_strided`, on the copy with number `copy` alone: for words that stand
/// for the copy, such as locks. Returns -1 also with
/// - `ESTALE`: another copy is current now, or the word has just changed;
/// - `EINVAL`: there is no such copy.
///
/// # Safety
/// As for `cidpool_add_strided`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_compare_store_on_strided(
    v: *mut u64,
    expect: u64,
    newv: u64,
    copy: c_int,
    stride: usize,
) -> c_int {
    answer(-1, || {
        let copy = usize::try_from(copy).map_err(|_| INVALID)?;
        if !stride.is_power_of_two() || copy >= places::of_process()?.copies() {
            return Err(INVALID);
        }
        let shift = stride.trailing_zeros();
        // SAFETY: by the caller's promise; there is such a copy.
        let is_done = unsafe { numbers::compare_store_on(v, expect, newv, copy, shift) }?;
        Ok(if is_done { DONE } else { LEFT })
    })
}

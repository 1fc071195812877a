//! The operations of threads without rseq: plain code, under a lease on an emulated cid.
//!
//! ```text
//!   enter ─► stopped? ─► index ─► n = rows[node] + cid ─► v[d] … ─► commit: one store ─► leave
//! ```
//!
//! The contract is the parent module's; NoCid where the lease is stopped, and in a handler above
//! another operation of the same thread. An operation is never aborted: who wants the copy stops the
//! lease, or makes a barrier and waits until the thread is outside (see [`crate::lease`]).
#![allow(unsafe_code)]

use super::{Current, Outcome};
use crate::cs::{CID_BITS, CIDS_PER_NODE};
use crate::lease::Lease;
use crate::sync::{
    AtomicU8, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

mod through;
pub use through::add_through;

impl Lease {
    /// Calls `f` with the number of the thread's copy, which nobody else uses meanwhile: if it has
    /// one now.
    ///
    /// # Safety
    /// The lease is the calling thread's; `current.rows` is readable at each node. `f` changes what
    /// others see by one store, its last.
    #[inline(always)]
    pub unsafe fn on_copy<R>(&self, current: &Current, f: impl FnOnce(usize) -> R) -> Option<R> {
        let _inside = self.enter()?;
        let index = self.shard_index()? as usize;
        // SAFETY: by the caller's promise.
        let row = unsafe { current.rows.add(index >> CID_BITS).read() } as usize;
        Some(f(row + (index & (CIDS_PER_NODE - 1))))
    }
}

/// The copy `number` of `word`.
///
/// # Safety
/// It is there.
#[inline(always)]
unsafe fn at<'a>(word: *const u64, number: usize, shift: u32) -> &'a AtomicU64 {
    // SAFETY: by the caller's promise an aligned word, which others read as an atomic.
    unsafe { AtomicU64::from_ptr(word.wrapping_byte_add(number << shift).cast_mut()) }
}

/// As [`super::add`].
///
/// # Safety
/// As there, and as [`Lease::on_copy`].
#[inline(always)]
#[must_use]
pub unsafe fn add(lease: &Lease, current: &Current, shift: u32, word: *mut u64, k: u64) -> bool {
    let add = |n| {
        // SAFETY: the thread's copy, by the caller's promise.
        let word = unsafe { at(word, n, shift) };
        word.store(word.load(Relaxed).wrapping_add(k), Release);
    };
    // SAFETY: by the caller's promise.
    unsafe { lease.on_copy(current, add) }.is_some()
}

/// As [`super::load`].
///
/// # Safety
/// As there, and as [`Lease::on_copy`].
#[inline(always)]
pub unsafe fn load(lease: &Lease, current: &Current, shift: u32, word: *const u64) -> Outcome {
    // SAFETY: the thread's copy, by the caller's promise.
    let load = |n| Outcome::Done(unsafe { at(word, n, shift) }.load(Relaxed));
    // SAFETY: by the caller's promise.
    unsafe { lease.on_copy(current, load) }.unwrap_or(Outcome::NoCid)
}

/// As [`super::compare_store`].
///
/// # Safety
/// As there, and as [`Lease::on_copy`].
#[inline(always)]
pub unsafe fn compare_store(
    lease: &Lease,
    current: &Current,
    shift: u32,
    word: *mut u64,
    expected: u64,
    new: u64,
) -> Outcome {
    // SAFETY: nothing is written before the commit.
    unsafe { compare_then(lease, current, shift, word, expected, new, |_| {}) }
}

/// As [`super::compare_two_store`].
///
/// # Safety
/// As there, and as [`Lease::on_copy`].
#[inline]
#[expect(clippy::too_many_arguments, reason = "the operation's")]
pub unsafe fn compare_two_store(
    lease: &Lease,
    current: &Current,
    shift: u32,
    word: *mut u64,
    expected: u64,
    other: *const u64,
    other_expected: u64,
    new: u64,
) -> Outcome {
    let compare = |n| {
        // SAFETY: the thread's copy, by the caller's promise.
        let (word, other) = unsafe { (at(word, n, shift), at(other, n, shift)) };
        // In this order: see the parent module's invariants.
        let other_found = other.load(Acquire);
        let found = word.load(Relaxed);
        if found == expected && other_found == other_expected {
            unchanged!(word, found);
            word.store(new, Release);
        }
        match Outcome::of(found, expected) {
            Outcome::Done(_) if other_found != other_expected => Outcome::Differs(other_found),
            outcome => outcome,
        }
    };
    // SAFETY: by the caller's promise.
    unsafe { lease.on_copy(current, compare) }.unwrap_or(Outcome::NoCid)
}

/// As [`super::compare_store_store`].
///
/// # Safety
/// As there, and as [`Lease::on_copy`].
#[inline]
#[expect(clippy::too_many_arguments, reason = "the operation's")]
pub unsafe fn compare_store_store(
    lease: &Lease,
    current: &Current,
    shift: u32,
    word: *mut u64,
    expected: u64,
    new: u64,
    other: *mut u64,
    other_new: u64,
) -> Outcome {
    let store = |n| {
        // After the commits before it, as the parent module's order says.
        fence(Release);
        // SAFETY: the thread's copy, by the caller's promise.
        unsafe { at(other, n, shift) }.store(other_new, Relaxed);
    };
    // SAFETY: by the caller's promise; nobody looks at the other word before the commit.
    unsafe { compare_then(lease, current, shift, word, expected, new, store) }
}

/// As [`super::push`].
///
/// # Safety
/// As there, and as [`Lease::on_copy`].
#[inline]
pub unsafe fn push(
    lease: &Lease,
    current: &Current,
    shift: u32,
    head: *mut u64,
    node: *mut u8,
    next: usize,
) -> Outcome {
    let push = |n| {
        // SAFETY: the thread's copy and the caller's node.
        unsafe {
            let head = at(head, n, shift);
            let found = head.load(Relaxed);
            AtomicU64::from_ptr(node.add(next).cast()).store(found, Relaxed);
            head.store(node.expose_provenance() as u64, Release);
            Outcome::Done(found)
        }
    };
    // SAFETY: by the caller's promise.
    unsafe { lease.on_copy(current, push) }.unwrap_or(Outcome::NoCid)
}

/// As [`super::pop`].
///
/// # Safety
/// As there, and as [`Lease::on_copy`].
#[inline]
pub unsafe fn pop(
    lease: &Lease,
    current: &Current,
    shift: u32,
    head: *mut u64,
    next: usize,
) -> Outcome {
    let pop = |n| {
        // SAFETY: the thread's copy; a node that is on its list.
        unsafe {
            let head = at(head, n, shift);
            let found = head.load(Relaxed);
            if found == 0 {
                return Outcome::Differs(0);
            }
            let node: *mut u8 = core::ptr::with_exposed_provenance_mut(found as usize);
            let rest = AtomicU64::from_ptr(node.add(next).cast()).load(Relaxed);
            head.store(rest, Release);
            Outcome::Done(found)
        }
    };
    // SAFETY: by the caller's promise.
    unsafe { lease.on_copy(current, pop) }.unwrap_or(Outcome::NoCid)
}

/// As [`super::pop_all`].
///
/// # Safety
/// As there, and as [`Lease::on_copy`].
#[inline]
pub unsafe fn pop_all(lease: &Lease, current: &Current, shift: u32, head: *mut u64) -> Outcome {
    let pop = |n| {
        // SAFETY: the thread's copy, by the caller's promise.
        let head = unsafe { at(head, n, shift) };
        let found = head.load(Relaxed);
        if found != 0 {
            head.store(0, Release);
        }
        Outcome::Done(found)
    };
    // SAFETY: by the caller's promise.
    unsafe { lease.on_copy(current, pop) }.unwrap_or(Outcome::NoCid)
}

/// As [`super::compare_copy_store`].
///
/// # Safety
/// As there, and as [`Lease::on_copy`].
#[inline]
#[expect(clippy::too_many_arguments, reason = "the operation's")]
pub unsafe fn compare_copy_store(
    lease: &Lease,
    current: &Current,
    shift: u32,
    word: *mut u64,
    expected: u64,
    new: u64,
    to: *mut u8,
    from: *const u8,
    len: usize,
) -> Outcome {
    let copy = |n: usize| {
        // As in `compare_store_store`.
        fence(Release);
        // SAFETY: the thread's copy and the caller's bytes, which do not overlap.
        unsafe { copy_bytes(to.wrapping_add(n << shift), from, len) };
    };
    // SAFETY: by the caller's promise; nobody looks at the bytes before the commit.
    unsafe { compare_then(lease, current, shift, word, expected, new, copy) }
}

/// Copies `len` bytes, in atomic stores: others may read what is there, and find by the word that it
/// changed meanwhile. In words where `to` is aligned.
///
/// # Safety
/// `to` is writable and `from` readable for `len` bytes; they do not overlap.
#[inline]
unsafe fn copy_bytes(to: *mut u8, from: *const u8, len: usize) {
    const WORD: usize = size_of::<u64>();
    let words = if to.addr().is_multiple_of(WORD) { len / WORD } else { 0 };
    // SAFETY: by the caller's promise.
    unsafe {
        for i in (0..words).map(|word| word * WORD) {
            let word = from.add(i).cast::<u64>().read_unaligned();
            AtomicU64::from_ptr(to.add(i).cast()).store(word, Relaxed);
        }
        for i in words * WORD..len {
            AtomicU8::from_ptr(to.add(i)).store(from.add(i).read(), Relaxed);
        }
    }
}

/// Calls `prepare` with the number of the thread's copy of `word` if it holds `expected`, and then
/// writes `new` to it.
///
/// # Safety
/// As [`super::compare_store`] and [`Lease::on_copy`]. Nobody looks at what `prepare` writes.
#[inline(always)]
unsafe fn compare_then(
    lease: &Lease,
    current: &Current,
    shift: u32,
    word: *mut u64,
    expected: u64,
    new: u64,
    prepare: impl FnOnce(usize),
) -> Outcome {
    let compare = |n| {
        // SAFETY: the thread's copy, by the caller's promise.
        let word = unsafe { at(word, n, shift) };
        let found = word.load(Relaxed);
        if found == expected {
            prepare(n);
            unchanged!(word, found);
            word.store(new, Release);
        }
        Outcome::of(found, expected)
    };
    // SAFETY: by the caller's promise.
    unsafe { lease.on_copy(current, compare) }.unwrap_or(Outcome::NoCid)
}

//! Items: allocated and freed, with all their copies.
//!
//! ```text
//!   malloc        what the last owner left, or what copies hold at first     ┐  the address in
//!   zmalloc       zero in all copies                                         ├─ copy 0
//!   malloc_init   a value in all copies                                      ┘
//!   free          address ─► `owners` ─► pool
//! ```
//!
//! Neither takes a lock, but when the pool gets another range, or collects what cids have.

#![allow(unsafe_code)]

use crate::errno::{Errno, INVALID, Result, pointer, status};
use crate::owners;
use crate::pool::Handle;
use cidalloc::check::Line;
use cidalloc::os;
use cidpool::{Item, Pool};
use core::ffi::{c_int, c_void};
use core::fmt::{self, Write};
use core::ptr::NonNull;

/// The default stride, which `cidpool_percpu_ptr` and others take where they are given none.
pub const CIDPOOL_STRIDE: usize = 64 << 10;
const _: () = assert!(CIDPOOL_STRIDE == cidpool::STRIDE);

/// Allocates an item of `pool`: its copies hold what they hold at first, or what was left there.
///
/// Returns its address in copy 0, which is for `cidpool_percpu_ptr` and the operations; who has it
/// frees it by `cidpool_percpu_free`. Or null and `errno`:
/// - `EINVAL`: `pool` is null;
/// - `ENOMEM`: all items are allocated and there may be no more ranges, the system refuses one, or
///   its initialiser failed;
/// - `EPERM`: an ancestor process keeps the pool for itself.
///
/// MT-safe, without a lock but when a range is added, or free items of other cids are collected. For
/// signal handlers, but at such a time.
///
/// # Safety
/// `pool` is null or of `cidpool_create`, and not destroyed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_percpu_malloc(pool: *mut Handle) -> *mut c_void {
    // SAFETY: by the caller's promise.
    pointer(|| unsafe { Handle::of(pool) }?.allocate(Pool::allocate))
}

/// As `cidpool_percpu_malloc`; every copy of the item is zero. A copy that is so already is not
/// written.
///
/// Returns, MT-safety, signal handlers: as there.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_percpu_zmalloc(pool: *mut Handle) -> *mut c_void {
    // SAFETY: by the caller's promise.
    pointer(|| unsafe { Handle::of(pool) }?.allocate(Pool::allocate_zeroed))
}

/// As `cidpool_percpu_malloc`; every copy of the item begins with the `init_len` bytes at
/// `init_ptr`, and is zero behind them.
///
/// Returns as there; `EINVAL` also if `init_len` is above the item's length, or `init_ptr` null and
/// `init_len` not 0. MT-safety, signal handlers: as there.
///
/// # Safety
/// As there; `init_len` bytes at `init_ptr` can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_percpu_malloc_init(
    pool: *mut Handle,
    init_ptr: *const c_void,
    init_len: usize,
) -> *mut c_void {
    pointer(|| {
        // SAFETY: by the caller's promise.
        let handle = unsafe { Handle::of(pool) }?;
        if init_len > handle.pool.item_len() {
            return Err(INVALID);
        }
        // SAFETY: by the caller's promise; an item's length is no more than a stride.
        let value = unsafe { initial(init_ptr, init_len) }?;
        handle.allocate(|pool| pool.allocate_init(value))
    })
}

/// The bytes of an initial value.
///
/// # Safety
/// They can be read, and are no more than a slice may have.
pub(crate) unsafe fn initial<'a>(init_ptr: *const c_void, init_len: usize) -> Result<&'a [u8]> {
    match NonNull::new(init_ptr.cast_mut()) {
        // SAFETY: by the caller's promise.
        Some(bytes) => Ok(unsafe { core::slice::from_raw_parts(bytes.as_ptr().cast(), init_len) }),
        None if init_len == 0 => Ok(&[]),
        None => Err(INVALID),
    }
}

/// Frees the item at `ptr`, of whatever pool it is; null is no item, and fine. `stride` is its
/// pool's. `cidpool_percpu_free` calls this, and knows the default stride.
///
/// Returns nothing: what is no item, and what a pool sees to be free already, ends the process with
/// one line on standard error, and so does a wrong stride. `errno` stays as it was.
///
/// MT-safe, without a lock. For signal handlers.
///
/// # Safety
/// `ptr` is null or an item that is allocated, and that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_percpu_free_strided(ptr: *mut c_void, stride: usize) {
    let Some(address) = NonNull::new(ptr.cast::<u8>()) else { return };
    let Some(handle) = owners::of(ptr.addr()) else {
        die(format_args!("free of what is no item of a pool: {ptr:p}"))
    };
    // SAFETY: entries lead to pools that are there.
    let pool = unsafe { &(*handle).pool };
    if stride != pool.stride() {
        let (name, right) = (pool.name(), pool.stride());
        die(format_args!("{name}: free of {ptr:p} with a stride of {stride}, not {right}"));
    }
    let _errno = os::ErrnoGuard::new();
    // SAFETY: by the caller's promise.
    unsafe { pool.free(Item::from_ptr(address)) };
}

#[cold]
#[inline(never)]
fn die(why: fmt::Arguments<'_>) -> ! {
    let mut line = Line::new();
    let _ = writeln!(line, "cidpool: {why}");
    line.write_to(2);
    os::abort()
}

/// Frees the item at `ptr` of `pool`, or says what is wrong with it.
///
/// Returns 0, or -1 and `errno`:
/// - `EFAULT`: `ptr` is not in `pool`;
/// - `EINVAL`: `pool` or `ptr` is null, or `ptr` is not where an item begins;
/// - `EALREADY`: the item is free (a robust pool always sees that, others sometimes);
/// - `EPERM`: an ancestor process keeps the pool for itself.
///
/// MT-safe, without a lock. For signal handlers.
///
/// # Safety
/// `pool` is null or of `cidpool_create`, and not destroyed yet; if `ptr` is an item that is
/// allocated, it is the caller's, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_percpu_try_free(pool: *mut Handle, ptr: *mut c_void) -> c_int {
    status(|| {
        // SAFETY: by the caller's promise.
        let handle = unsafe { Handle::of(pool) }?;
        let item = Item::from_ptr(NonNull::new(ptr.cast()).ok_or(INVALID)?);
        // SAFETY: by the caller's promise.
        unsafe { handle.pool.try_free(item) }.map_err(Errno::from)
    })
}

/// Items of one bulk call that are under way at a time.
const CHUNK: usize = 64;

/// Allocates `count` items of `pool` and writes their addresses to `items`: all of them, or none.
///
/// Returns 0, or -1 and `errno` as `cidpool_percpu_malloc`; `EINVAL` also if `items` is null and
/// `count` is not 0.
///
/// MT-safe, without a lock but when a range is added. Not for signal handlers.
///
/// # Safety
/// `pool` is null or of `cidpool_create`, and not destroyed yet; `items` has room for `count`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_percpu_malloc_many(
    pool: *mut Handle,
    items: *mut *mut c_void,
    count: usize,
) -> c_int {
    status(|| {
        // SAFETY: by the caller's promise.
        let handle = unsafe { Handle::of(pool) }?;
        if items.is_null() && count != 0 {
            return Err(INVALID);
        }
        let mut done = 0;
        while done < count {
            // SAFETY: room for as many, by the caller's promise.
            let made = unsafe { allocate_chunk(handle, items.add(done), CHUNK.min(count - done)) };
            if let Err(why) = made {
                // SAFETY: allocated just now, and nobody's yet.
                unsafe { free_many(&handle.pool, items, done) };
                return Err(why);
            }
            done += CHUNK.min(count - done);
        }
        Ok(())
    })
}

/// # Safety
/// `to` has room for `count`.
unsafe fn allocate_chunk(handle: &Handle, to: *mut *mut c_void, count: usize) -> Result<()> {
    let mut items = Vec::with_capacity(CHUNK);
    handle.pool.allocate_many(count, &mut items)?;
    for (index, &item) in items.iter().enumerate() {
        if let Err(why) = handle.publish(item) {
            // That item is free again; those before it, and those behind it, are not.
            items.remove(index);
            // SAFETY: allocated just now, and nobody's yet.
            unsafe { handle.pool.free_many(&items) };
            return Err(why);
        }
        // SAFETY: by the caller's promise.
        unsafe { to.add(index).write(item.as_ptr().as_ptr().cast()) };
    }
    Ok(())
}

/// Frees the `count` items at `items`, all of `pool`; null is no item, and fine. To free neighbours
/// together is cheaper than one after the other.
///
/// Returns 0, or -1 and `errno`:
/// - `EINVAL`: `pool` or `items` is null, and `count` is not 0.
///
/// What is wrong with an item ends the process, as in `cidpool_percpu_free_strided`.
///
/// MT-safe, without a lock. For signal handlers.
///
/// # Safety
/// `pool` is null or of `cidpool_create`, and not destroyed yet; each of the items is null or
/// allocated, once among them, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_percpu_free_many(
    pool: *mut Handle,
    items: *const *mut c_void,
    count: usize,
) -> c_int {
    status(|| {
        if count == 0 {
            return Ok(());
        }
        // SAFETY: by the caller's promise.
        let handle = unsafe { Handle::of(pool) }?;
        if items.is_null() {
            return Err(INVALID);
        }
        // SAFETY: by the caller's promise.
        unsafe { free_many(&handle.pool, items, count) };
        Ok(())
    })
}

/// # Safety
/// `count` addresses can be read at `items`, and are null or the caller's items of `pool`.
unsafe fn free_many(pool: &Pool, items: *const *mut c_void, count: usize) {
    let mut chunk = [Item::from_ptr(NonNull::dangling()); CHUNK];
    let mut filled = 0;
    for index in 0..count {
        // SAFETY: by the caller's promise.
        if let Some(item) = NonNull::new(unsafe { items.add(index).read() }.cast()) {
            chunk[filled] = Item::from_ptr(item);
            filled += 1;
        }
        if filled == CHUNK || index + 1 == count {
            // SAFETY: by the caller's promise.
            unsafe { pool.free_many(&chunk[..filled]) };
            filled = 0;
        }
    }
}

//! The family proper: blocks of a size, and what becomes of them.
//!
//! ```text
//!  malloc ────────────────────► alloc ─────────── hit ─► block
//!  calloc, reallocarray ─ a·b ─►  │ miss                  errno kept; ENOMEM beside null
//!  realloc ─ null ► malloc        ▼
//!          ├ 0 ───► free        cold paths of the allocator, which see to errno
//!          └ else ► in place, or moved
//! ```

use crate::replaced::{all_ours, resolved};
use cidalloc::malloc::{self, MIN_ALIGN};
use cidalloc::{free, os, realloc};
use core::ptr::null_mut;

/// `size` bytes at a multiple of 16; a size of 0 gives a block of its own, too.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut u8 {
    malloc::alloc(size)
}

/// Takes `block` back; null is nothing.
///
/// # Safety
/// `block` is null or a live block of this library. Most other addresses end the process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(block: *mut u8) {
    // SAFETY: by the caller's promise.
    unsafe { free::free(block) }
}

/// What C programs linked before glibc 2.26 may call instead of `free`.
///
/// # Safety
/// As [`free`](free()).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfree(block: *mut u8) {
    // SAFETY: by the caller's promise.
    unsafe { give_back(block) }
}

/// `free`, whosever it is: for the functions that are a `free` with more to say.
///
/// # Safety
/// As [`free`](free()).
#[inline]
pub(crate) unsafe fn give_back(block: *mut u8) {
    // SAFETY: by the caller's promise.
    unsafe { give_back_said(block, None, 1) }
}

/// As [`give_back`], of a block of which the caller says the size, or the alignment.
///
/// # Safety
/// As [`free`](free()).
#[inline]
pub(crate) unsafe fn give_back_said(block: *mut u8, size: Option<usize>, align: usize) {
    if all_ours() {
        // SAFETY: by the caller's promise.
        return unsafe { free::free_said(block, size, align) };
    }
    core::hint::cold_path();
    let free = resolved!(free);
    // SAFETY: what has this name has this type, by the C standard; the caller's promise.
    unsafe {
        let free: unsafe extern "C" fn(*mut u8) = core::mem::transmute(free);
        free(block);
    }
}

/// `count * size` bytes of zero.
///
/// LLVM knows `malloc` and `calloc` by name, and makes the first and a fill with zero into the
/// second: nothing called from here may be one of the exported names.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut u8 {
    zeroed(count, size)
}

#[inline]
pub(crate) fn zeroed(count: usize, size: usize) -> *mut u8 {
    match count.checked_mul(size) {
        Some(bytes) => malloc::alloc_zeroed(bytes, MIN_ALIGN),
        None => os::no_memory(),
    }
}

/// `block` with room for `size` bytes, maybe elsewhere. On failure it is as it was.
///
/// # Safety
/// As [`free`](free()); after success only the returned block is the caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(block: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: by the caller's promise.
    unsafe { resize(block, size) }
}

/// As `realloc` to `count * size` bytes; a product that overflows is refused.
///
/// # Safety
/// As [`realloc`](realloc()).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(block: *mut u8, count: usize, size: usize) -> *mut u8 {
    let Some(bytes) = count.checked_mul(size) else {
        return os::no_memory();
    };
    if all_ours() {
        // SAFETY: by the caller's promise.
        return unsafe { resize(block, bytes) };
    }
    core::hint::cold_path();
    let realloc = resolved!(realloc);
    // SAFETY: what has this name has this type, by the C standard; the caller's promise.
    unsafe {
        let realloc: unsafe extern "C" fn(*mut u8, usize) -> *mut u8 =
            core::mem::transmute(realloc);
        realloc(block, bytes)
    }
}

/// # Safety
/// As [`realloc`](realloc()).
pub(crate) unsafe fn resize(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() {
        return malloc::alloc(size);
    }
    if size == 0 {
        // SAFETY: by the caller's promise.
        unsafe { free::free(block) };
        return null_mut();
    }
    // SAFETY: by the caller's promise.
    let block = unsafe { realloc::realloc(block, size) };
    if block.is_null() {
        // Not every way to null leads through an allocation that would have said so.
        return os::no_memory();
    }
    block
}

//! Sizes given back, and sizes told.
//!
//! C23's sized frees promise the size that was last asked for. It is not taken at its word: a
//! block that `realloc` shrank in place is still of its old class, and a program that errs in
//! the size, which no other C library noticed so far, would corrupt the heap. The page map is
//! looked up as in `free`; that load is the cheapest part of it. The hardened mode compares, and
//! ends a program that errs.

use crate::family::give_back_said;
use cidalloc::free;

/// `free` of a block from `malloc`, `calloc` or `realloc` whose size is known.
///
/// # Safety
/// As `free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_sized(block: *mut u8, size: usize) {
    // SAFETY: by the caller's promise.
    unsafe { give_back_said(block, Some(size), 1) }
}

/// `free` of a block from `aligned_alloc` whose alignment and size are known.
///
/// # Safety
/// As `free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_aligned_sized(block: *mut u8, align: usize, size: usize) {
    // SAFETY: by the caller's promise.
    unsafe { give_back_said(block, Some(size), align) }
}

/// Bytes of `block` that the program may use, at least those it asked for; 0 for null.
///
/// # Safety
/// `block` is null or a live block of this library. Most other addresses end the process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(block: *const u8) -> usize {
    free::usable_size(block)
}

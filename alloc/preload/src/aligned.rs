//! Blocks at more than the usual alignment.
//!
//! | name | alignments | others | size |
//! | --- | --- | --- | --- |
//! | `posix_memalign` | powers of two, at least that of a pointer | returns `EINVAL` | any |
//! | `aligned_alloc` | powers of two | `EINVAL` (C23, glibc 2.38) | any |
//! | `memalign` | all up to 2⁶³ | `EINVAL` | any |
//! | `valloc`, `pvalloc` | the kernel's page | | `pvalloc`: whole pages |
//!
//! Before 2.38 glibc's `aligned_alloc` was `memalign`, which rounds an odd alignment up to the
//! next power of two. Blocks of all of them are freed and resized like any other; `realloc`
//! keeps no more than the usual alignment when it moves one.

use cidalloc::malloc::{self, MIN_ALIGN};
use cidalloc::os::{self, ErrnoGuard};
use core::ptr::null_mut;

fn refuse() -> *mut u8 {
    os::set_errno(libc::EINVAL);
    null_mut()
}

/// `size` bytes at a multiple of `align`, rounded up to a power of two.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: usize, size: usize) -> *mut u8 {
    rounded_up(align, size)
}

pub(crate) fn rounded_up(align: usize, size: usize) -> *mut u8 {
    match align.checked_next_power_of_two() {
        Some(align) => malloc::alloc_aligned(size, align),
        None => refuse(),
    }
}

/// `size` bytes at a multiple of `align`, a power of two.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut u8 {
    if !align.is_power_of_two() {
        return refuse();
    }
    malloc::alloc_aligned(size, align)
}

/// Stores a block of `size` bytes at a multiple of `align` to `out` and returns 0; or returns
/// an error number and leaves `*out` and `errno` alone.
///
/// # Safety
/// `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(out: *mut *mut u8, align: usize, size: usize) -> i32 {
    if !align.is_power_of_two() || align < size_of::<*mut u8>() {
        return libc::EINVAL;
    }
    let _errno = ErrnoGuard::new();
    let block = malloc::alloc_aligned(size, align);
    if block.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: by the caller's promise.
    unsafe { *out = block };
    0
}

/// `size` bytes at the beginning of a kernel page.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(size: usize) -> *mut u8 {
    paged(size)
}

pub(crate) fn paged(size: usize) -> *mut u8 {
    malloc::alloc_aligned(size, os::page_size().max(MIN_ALIGN))
}

/// As `valloc`, the size rounded up to whole pages.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(size: usize) -> *mut u8 {
    whole_pages(size)
}

pub(crate) fn whole_pages(size: usize) -> *mut u8 {
    let page = os::page_size().max(MIN_ALIGN);
    match size.checked_next_multiple_of(page) {
        Some(size) => malloc::alloc_aligned(size, page),
        None => os::no_memory(),
    }
}

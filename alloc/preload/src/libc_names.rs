//! glibc's second names of the family.
//!
//! Programs that wrap `malloc` call these for the real one, often for one half of a pair only:
//! what `__libc_malloc` gave comes to `free`, or what `malloc` gave to `__libc_free`. All names
//! must mean one heap, so these are exactly the functions without the prefix.

use crate::aligned;
use crate::control::{self, Mallinfo};
use crate::family;

/// `malloc`.
#[unsafe(no_mangle)]
pub extern "C" fn __libc_malloc(size: usize) -> *mut u8 {
    cidalloc::malloc::alloc(size)
}

/// `free`.
///
/// # Safety
/// As `free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __libc_free(block: *mut u8) {
    // SAFETY: by the caller's promise.
    unsafe { cidalloc::free::free(block) }
}

/// `calloc`.
#[unsafe(no_mangle)]
pub extern "C" fn __libc_calloc(count: usize, size: usize) -> *mut u8 {
    family::zeroed(count, size)
}

/// `realloc`.
///
/// # Safety
/// As `realloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __libc_realloc(block: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: by the caller's promise.
    unsafe { family::resize(block, size) }
}

/// `memalign`.
#[unsafe(no_mangle)]
pub extern "C" fn __libc_memalign(align: usize, size: usize) -> *mut u8 {
    aligned::rounded_up(align, size)
}

/// `valloc`.
#[unsafe(no_mangle)]
pub extern "C" fn __libc_valloc(size: usize) -> *mut u8 {
    aligned::paged(size)
}

/// `pvalloc`.
#[unsafe(no_mangle)]
pub extern "C" fn __libc_pvalloc(size: usize) -> *mut u8 {
    aligned::whole_pages(size)
}

/// `mallinfo`.
#[unsafe(no_mangle)]
pub extern "C" fn __libc_mallinfo() -> Mallinfo<i32> {
    Mallinfo::now().wrapped()
}

/// `mallopt`.
#[unsafe(no_mangle)]
pub extern "C" fn __libc_mallopt(parameter: i32, value: i32) -> i32 {
    control::set(parameter, value)
}

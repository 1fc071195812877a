//! `valloc` and `pvalloc`, which rpmalloc lacks.

use core::ffi::c_void;

unsafe extern "C" {
    fn memalign(align: usize, size: usize) -> *mut c_void;
}

fn page() -> usize {
    // SAFETY: reads a constant of the system.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// As the C function.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn valloc(size: usize) -> *mut c_void {
    // SAFETY: a page is a power of two.
    unsafe { memalign(page(), size) }
}

/// As the C function.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pvalloc(size: usize) -> *mut c_void {
    let Some(whole) = size.max(1).checked_next_multiple_of(page()) else {
        // SAFETY: the thread's own `errno`.
        unsafe { *libc::__errno_location() = libc::ENOMEM };
        return core::ptr::null_mut();
    };
    // SAFETY: a page is a power of two.
    unsafe { memalign(page(), whole) }
}

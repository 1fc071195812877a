//! `reallocarray`, for peers without one: glibc's would do, and yet nothing of the family
//! should come from there.

use core::ffi::c_void;

const ENOMEM: i32 = 12;

unsafe extern "C" {
    fn realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn __errno_location() -> *mut i32;
}

/// As the C function.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(
    block: *mut c_void,
    count: usize,
    size: usize,
) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else {
        // SAFETY: the thread's own `errno`.
        unsafe { *__errno_location() = ENOMEM };
        return core::ptr::null_mut();
    };
    // SAFETY: the caller's promise about `block`.
    unsafe { realloc(block, bytes) }
}

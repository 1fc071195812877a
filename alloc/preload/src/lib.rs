//! `libcidmalloc.so`: the C names of the allocator.
#![no_std]
#![allow(missing_docs, clippy::missing_safety_doc, clippy::undocumented_unsafe_blocks)]
use cidalloc::{free as f, malloc as m, realloc as r};
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    cidalloc::os::abort()
}
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc(n: usize) -> *mut u8 {
    m::alloc(n)
}
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(p: *mut u8) {
    unsafe { f::free(p) }
}
#[unsafe(no_mangle)]
pub unsafe extern "C" fn calloc(a: usize, b: usize) -> *mut u8 {
    let n = a.wrapping_mul(b);
    m::alloc_zeroed(n, 16)
}
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(p: *mut u8, n: usize) -> *mut u8 {
    if p.is_null() {
        return m::alloc(n);
    }
    if n == 0 {
        unsafe { f::free(p) };
        return core::ptr::null_mut();
    }
    unsafe { r::realloc(p, n) }
}
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(o: *mut *mut u8, a: usize, n: usize) -> i32 {
    let p = m::alloc_aligned(n, a);
    unsafe { *o = p };
    0
}
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aligned_alloc(a: usize, n: usize) -> *mut u8 {
    m::alloc_aligned(n, a)
}
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memalign(a: usize, n: usize) -> *mut u8 {
    m::alloc_aligned(n, a)
}
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(p: *mut u8) -> usize {
    f::usable_size(p)
}

//! C++'s `operator delete`, in all standard forms: a few jumps less than through libstdc++'s.
//!
//! ```text
//!  form                     goes to                 libstdc++'s own definitions do the same;
//!  delete(p)                free(p)                 here, while nobody replaced a name in the
//!  delete[](p)              delete(p)               right column, every form goes straight to
//!  delete(p, n)             delete(p)               the allocator
//!  delete[](p, n)           delete[](p)
//!  delete(p, nothrow)       delete(p)               _Zdl = operator delete
//!  delete[](p, nothrow)     delete[](p)             _Zda = operator delete[]
//!  delete(p, a)             free(p)                 a = align_val_t, n = size_t
//!  delete[](p, a)           delete(p, a)
//!  delete(p, n, a) …        as without n
//!  delete(p, a, nothrow) …  as without nothrow
//! ```
//!
//! The standard lets a program replace some forms and rely on the others to call them, as those
//! of libstdc++ do (`replaced.rs`). Sizes are not taken at their word, as in
//! [`crate::sized`]; the hardened mode compares them.
//!
//! `operator new` is left to libstdc++, over `malloc` and `aligned_alloc`: it must call the
//! program's new-handler and throw `std::bad_alloc`, and Rust code cannot throw. A program that
//! defines both operators, in itself or by its static libstdc++, has its own before ours.

use crate::replaced::{all_ours, resolved};
use cidalloc::free::{free, free_said};

macro_rules! forms {
    ($($(#[$doc:meta])* $form:ident($block:ident $(, $arg:ident: $type:ty)*)
        => $next:ident, ($($pass:ident: $pass_type:ty),*), $ours:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// As `free`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $form($block: *mut u8 $(, $arg: $type)*) {
            if all_ours() {
                // SAFETY: by the caller's promise.
                return unsafe { $ours };
            }
            core::hint::cold_path();
            let next = resolved!($next);
            // SAFETY: what has this name has this type, by the C++ ABI; the caller's promise
            // goes on to it.
            unsafe {
                let next: unsafe extern "C" fn($($pass_type),*) = core::mem::transmute(next);
                next($($pass),*);
            }
        }
    )*};
}

forms! {
    /// `delete(p)`.
    _ZdlPv(block) => free, (block: *mut u8),
        free(block);
    /// `delete[](p)`.
    _ZdaPv(block) => _ZdlPv, (block: *mut u8),
        free(block);
    /// `delete(p, size)`.
    _ZdlPvm(block, size: usize) => _ZdlPv, (block: *mut u8),
        free_said(block, Some(size), 1);
    /// `delete[](p, size)`.
    _ZdaPvm(block, size: usize) => _ZdaPv, (block: *mut u8),
        free_said(block, Some(size), 1);
    /// `delete(p, nothrow)`.
    _ZdlPvRKSt9nothrow_t(block, _tag: *const u8) => _ZdlPv, (block: *mut u8),
        free(block);
    /// `delete[](p, nothrow)`.
    _ZdaPvRKSt9nothrow_t(block, _tag: *const u8) => _ZdaPv, (block: *mut u8),
        free(block);
    /// `delete(p, align)`.
    _ZdlPvSt11align_val_t(block, align: usize) => free, (block: *mut u8),
        free_said(block, None, align);
    /// `delete[](p, align)`.
    _ZdaPvSt11align_val_t(block, align: usize)
        => _ZdlPvSt11align_val_t, (block: *mut u8, align: usize),
        free_said(block, None, align);
    /// `delete(p, size, align)`.
    _ZdlPvmSt11align_val_t(block, size: usize, align: usize)
        => _ZdlPvSt11align_val_t, (block: *mut u8, align: usize),
        free_said(block, Some(size), align);
    /// `delete[](p, size, align)`.
    _ZdaPvmSt11align_val_t(block, size: usize, align: usize)
        => _ZdaPvSt11align_val_t, (block: *mut u8, align: usize),
        free_said(block, Some(size), align);
    /// `delete(p, align, nothrow)`.
    _ZdlPvSt11align_val_tRKSt9nothrow_t(block, align: usize, _tag: *const u8)
        => _ZdlPvSt11align_val_t, (block: *mut u8, align: usize),
        free_said(block, None, align);
    /// `delete[](p, align, nothrow)`.
    _ZdaPvSt11align_val_tRKSt9nothrow_t(block, align: usize, _tag: *const u8)
        => _ZdaPvSt11align_val_t, (block: *mut u8, align: usize),
        free_said(block, None, align);
}

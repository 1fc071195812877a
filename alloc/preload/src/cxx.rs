//! C++'s `operator delete`, in all standard forms: a few jumps less than through libstdc++'s.
//!
//! ```text
//!  form                     goes to                 libstdc++'s own definitions do the same;
//!  delete(p)                free(p)                 here, while nobody replaced a name in the
//!  delete[](p)              delete(p)               right column (OURS), every form goes
//!  delete(p, n)             delete(p)               straight to the allocator
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
//! of libstdc++ do. An allocator's that do not, give blocks of the program's heap to their own.
//! So it is found out once, at the library's start, who owns the names. Sizes are not taken at
//! their word, as in [`crate::sized`].
//!
//! `operator new` is left to libstdc++, over `malloc` and `aligned_alloc`: it must call the
//! program's new-handler and throw `std::bad_alloc`, and Rust code cannot throw. A program that
//! defines both operators, in itself or by its static libstdc++, has its own before ours.

use cidalloc::free::free as give_back;
use core::arch::asm;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether every name that a form goes to is ours.
static OURS: AtomicBool = AtomicBool::new(false);

/// The address that the loader found for an exported name, which may be another library's or
/// the program's. By name: for a function of this crate, the compiler may take another one of
/// equal code, and the linker the one in this library.
macro_rules! resolved {
    ($name:ident) => {{
        let address: usize;
        // SAFETY: loads an entry of the global offset table, which the loader filled.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            core::arch::asm!(
                concat!("mov {}, qword ptr [rip + ", stringify!($name), "@GOTPCREL]"),
                out(reg) address,
                options(nostack, preserves_flags, pure, readonly)
            );
            #[cfg(target_arch = "aarch64")]
            core::arch::asm!(
                concat!("adrp {0}, :got:", stringify!($name)),
                concat!("ldr {0}, [{0}, :got_lo12:", stringify!($name), "]"),
                out(reg) address,
                options(nostack, preserves_flags, pure, readonly)
            );
        }
        address
    }};
}

macro_rules! forms {
    ($($(#[$doc:meta])* $form:ident($block:ident $(, $arg:ident: $type:ty)*)
        => $next:ident, ($($pass:ident: $pass_type:ty),*);)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// As `free`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $form($block: *mut u8 $(, $arg: $type)*) {
            if OURS.load(Relaxed) {
                // SAFETY: by the caller's promise.
                return unsafe { give_back($block) };
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
    _ZdlPv(block) => free, (block: *mut u8);
    /// `delete[](p)`.
    _ZdaPv(block) => _ZdlPv, (block: *mut u8);
    /// `delete(p, size)`.
    _ZdlPvm(block, _size: usize) => _ZdlPv, (block: *mut u8);
    /// `delete[](p, size)`.
    _ZdaPvm(block, _size: usize) => _ZdaPv, (block: *mut u8);
    /// `delete(p, nothrow)`.
    _ZdlPvRKSt9nothrow_t(block, _tag: *const u8) => _ZdlPv, (block: *mut u8);
    /// `delete[](p, nothrow)`.
    _ZdaPvRKSt9nothrow_t(block, _tag: *const u8) => _ZdaPv, (block: *mut u8);
    /// `delete(p, align)`.
    _ZdlPvSt11align_val_t(block, _align: usize) => free, (block: *mut u8);
    /// `delete[](p, align)`.
    _ZdaPvSt11align_val_t(block, align: usize)
        => _ZdlPvSt11align_val_t, (block: *mut u8, align: usize);
    /// `delete(p, size, align)`.
    _ZdlPvmSt11align_val_t(block, _size: usize, align: usize)
        => _ZdlPvSt11align_val_t, (block: *mut u8, align: usize);
    /// `delete[](p, size, align)`.
    _ZdaPvmSt11align_val_t(block, _size: usize, align: usize)
        => _ZdaPvSt11align_val_t, (block: *mut u8, align: usize);
    /// `delete(p, align, nothrow)`.
    _ZdlPvSt11align_val_tRKSt9nothrow_t(block, align: usize, _tag: *const u8)
        => _ZdlPvSt11align_val_t, (block: *mut u8, align: usize);
    /// `delete[](p, align, nothrow)`.
    _ZdaPvSt11align_val_tRKSt9nothrow_t(block, align: usize, _tag: *const u8)
        => _ZdaPvSt11align_val_t, (block: *mut u8, align: usize);
}

/// Finds out whether the names are ours.
pub(crate) fn start() {
    let names = [
        resolved!(free),
        resolved!(_ZdlPv),
        resolved!(_ZdaPv),
        resolved!(_ZdlPvSt11align_val_t),
        resolved!(_ZdaPvSt11align_val_t),
    ];
    let image = own_image();
    let ours = names.iter().all(|name| image.contains(name));
    OURS.store(ours, Relaxed);
}

/// The addresses at which this library is loaded, from its own program headers. (`dladdr` says
/// the same, at the price of 90 KiB of libc that a small program otherwise never loads.)
fn own_image() -> Range<usize> {
    let header: *const libc::Elf64_Ehdr;
    // SAFETY: computes the address of the linker's own hidden symbol, where the image begins.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("lea {}, [rip + __ehdr_start]", out(reg) header,
             options(nostack, nomem, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        asm!("adrp {0}, __ehdr_start", "add {0}, {0}, :lo12:__ehdr_start", out(reg) header,
             options(nostack, nomem, preserves_flags));
    }
    // SAFETY: the loader mapped the headers with the image; the program headers lie behind, and
    // there are as many as the header says.
    let segments = unsafe {
        let first = header.cast::<u8>().add((*header).e_phoff as usize);
        core::slice::from_raw_parts(first.cast::<libc::Elf64_Phdr>(), (*header).e_phnum.into())
    };
    let loaded = segments.iter().filter(|segment| segment.p_type == libc::PT_LOAD);
    let end = loaded.map(|segment| (segment.p_vaddr + segment.p_memsz) as usize).max();
    header.addr()..header.addr() + end.unwrap_or(0)
}

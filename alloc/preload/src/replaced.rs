//! Functions that others of ours go to, and whose they are.
//!
//! ```text
//!  reallocarray ──────────► realloc        a program that has a malloc of its own may leave
//!  cfree, free_sized, … ──► free           out what is drawn left, or some operators: libc's
//!  operator delete … ─────► free, delete   and libstdc++'s then go on to the program's
//! ```
//!
//! The library's must do the same, or blocks of the program's heap come to this one. So it is
//! found out once, when the library starts, who owns the names on the right; while all of them
//! are ours, the way is direct.

use core::arch::asm;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

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
pub(crate) use resolved;

/// As [`resolved`], of a name that there need not be: 0 then.
macro_rules! resolved_if_any {
    ($name:ident) => {{
        let address: usize;
        // SAFETY: as above; the loader leaves 0 where a weak name is nowhere.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            core::arch::asm!(
                concat!(".weak ", stringify!($name)),
                concat!("mov {}, qword ptr [rip + ", stringify!($name), "@GOTPCREL]"),
                out(reg) address,
                options(nostack, preserves_flags, pure, readonly)
            );
            #[cfg(target_arch = "aarch64")]
            core::arch::asm!(
                concat!(".weak ", stringify!($name)),
                concat!("adrp {0}, :got:", stringify!($name)),
                concat!("ldr {0}, [{0}, :got_lo12:", stringify!($name), "]"),
                out(reg) address,
                options(nostack, preserves_flags, pure, readonly)
            );
        }
        address
    }};
}
pub(crate) use resolved_if_any;

/// Whether `malloc` means the one of this library in this process.
pub(crate) fn is_malloc() -> bool {
    own_image().contains(&resolved!(malloc))
}

/// Whether every name that one of our functions goes to is ours.
#[inline(always)]
pub(crate) fn all_ours() -> bool {
    OURS.load(Relaxed)
}

/// Finds out whether the names are ours. Until then they are looked up at each call.
pub(crate) fn start() {
    let names = [
        resolved!(free),
        resolved!(realloc),
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

//! Who registered this process's rseq areas, where they are, and what the kernel fills in.
//!
//! ```text
//!   __rseq_size (libc)     owner      area of each thread                  mm_cid valid
//!   absent or 0            Own        our .tdata variable, rseq(2) lazily  auxv feature ≥ 28
//!   20 or 32               Libc       thread pointer + __rseq_offset       auxv feature ≥ 28
//!   other                  Libc       thread pointer + __rseq_offset       size ≥ 28
//!   rseq(2) → ENOSYS …     Nobody     our variable, never registered       —
//! ```
//!
//! glibc 2.35 registers every thread. 2.35 to 2.39 say 32 whatever the kernel fills, 2.40 and
//! distributions' backports say 20, 2.41 and later the kernel's feature size.
//! With `GLIBC_TUNABLES=glibc.pthread.rseq=0`, an older glibc, or another libc, there is no
//! registration, and each thread makes its own at its first slow path.
//!
//! With glibc our area needs no unregistration at thread exit: it lies in the thread's static TLS
//! block, beside the one that glibc itself would use and never unregisters. That block is reused
//! only after the kernel has cleared the thread's tid, when it no longer returns to user mode.
//! A detached thread of musl unmaps that block itself, shortly before it ends, and must have
//! called [`unregister_thread`] before.
#![allow(unsafe_code)]

use crate::abi::{self, Rseq};
use crate::area;
use crate::syscall::{nr, syscall4};
#[cfg(target_arch = "x86_64")]
use core::arch::asm;
use core::arch::global_asm;

/// Whose areas are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// libc registered them; we write nothing but `rseq_cs` there.
    Libc,
    /// We register each thread's own variable, at that thread's first slow path.
    Own,
    /// The kernel refuses rseq: `cpu_id` of our variable stays negative.
    Nobody,
}

/// The result of [`detect`].
#[derive(Debug, Clone, Copy)]
pub struct Registration {
    /// Whose areas are in use.
    pub owner: Owner,
    /// From the thread pointer to the thread's area, in bytes.
    pub offset: isize,
    /// Whether the kernel fills `node_id` and `mm_cid`.
    pub has_mm_cid: bool,
}

// The variable of threads that libc did not register. `.tdata`, not `.tbss`: cpu_id must
// read -1 (RSEQ_CPU_ID_UNINITIALIZED) until the kernel fills it.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".pushsection .tdata.cidalloc_rseq_area, \"awT\", @progbits",
    ".balign 32",
    ".hidden cidalloc_rseq_area",
    ".globl cidalloc_rseq_area",
    ".type cidalloc_rseq_area, @object",
    "cidalloc_rseq_area:",
    ".long 0, -1, 0, 0, 0, 0, 0, 0",
    ".size cidalloc_rseq_area, 32",
    ".popsection",
);
#[cfg(target_arch = "aarch64")]
global_asm!(include_str!("cs/aarch64_area.S"));

/// From the thread pointer to our own variable, in bytes.
#[cfg(target_arch = "x86_64")]
#[must_use]
pub fn own_offset() -> isize {
    let offset: isize;
    // SAFETY: an initial-exec TLS access; the loader filled the GOT entry with the offset.
    unsafe {
        asm!("mov {}, qword ptr [rip + cidalloc_rseq_area@GOTTPOFF]", out(reg) offset,
             options(nostack, readonly, preserves_flags));
    }
    offset
}

/// `(__rseq_offset, __rseq_size)` where libc defines them.
#[cfg(target_arch = "x86_64")]
fn libc_words() -> Option<(isize, u32)> {
    let (offset, size): (*const isize, *const u32);
    // SAFETY: loads the two GOT entries of weak symbols: their address, or null.
    unsafe {
        asm!(".weak __rseq_offset",
             ".weak __rseq_size",
             "mov {}, qword ptr [rip + __rseq_offset@GOTPCREL]",
             "mov {}, qword ptr [rip + __rseq_size@GOTPCREL]",
             out(reg) offset, out(reg) size, options(nostack, readonly, preserves_flags));
    }
    if offset.is_null() || size.is_null() {
        return None;
    }
    // SAFETY: libc's constants of these types (sys/rseq.h), set before any code of ours ran.
    Some(unsafe { (offset.read(), size.read()) })
}

/// From the thread pointer to our own variable, in bytes.
#[cfg(target_arch = "aarch64")]
#[must_use]
pub fn own_offset() -> isize {
    unsafe extern "C" {
        fn cidalloc_rseq_own_offset() -> isize;
    }
    // SAFETY: returns the initial-exec TLS offset and touches nothing.
    unsafe { cidalloc_rseq_own_offset() }
}

#[cfg(target_arch = "aarch64")]
fn libc_words() -> Option<(isize, u32)> {
    unsafe extern "C" {
        fn cidalloc_rseq_libc_offset() -> *const isize;
        fn cidalloc_rseq_libc_size() -> *const u32;
    }
    // SAFETY: return the addresses of weak symbols, or null.
    let (offset, size) = unsafe { (cidalloc_rseq_libc_offset(), cidalloc_rseq_libc_size()) };
    if offset.is_null() || size.is_null() {
        return None;
    }
    // SAFETY: libc's constants of these types (sys/rseq.h), set before any code of ours ran.
    Some(unsafe { (offset.read(), size.read()) })
}

/// Finds the process's registration. `feature_size` is the value of `AT_RSEQ_FEATURE_SIZE`
/// in the auxiliary vector, 0 where it is absent.
///
/// Without a registration by libc the calling thread is registered, which is also the test
/// whether the kernel has rseq at all. The feature size alone proves nothing: under a seccomp
/// filter that refuses rseq(2) it still stands in the auxiliary vector.
#[must_use]
pub fn detect(feature_size: u32) -> Registration {
    if cfg!(cidalloc_model) {
        return Registration { owner: Owner::Libc, offset: 0, has_mm_cid: true };
    }
    match libc_words() {
        Some((offset, size)) if size != 0 => Registration {
            owner: Owner::Libc,
            offset,
            has_mm_cid: active_size(size, feature_size) >= abi::FEATURE_SIZE_MM_CID,
        },
        _ => {
            let offset = own_offset();
            let owner = if register_thread(offset) { Owner::Own } else { Owner::Nobody };
            let has_mm_cid = owner == Owner::Own && feature_size >= abi::FEATURE_SIZE_MM_CID;
            Registration { owner, offset, has_mm_cid }
        }
    }
}

/// How many bytes of the area the kernel fills: libc's word where it is meaningful.
fn active_size(libc_size: u32, feature_size: u32) -> u32 {
    match libc_size {
        20 | abi::ORIG_SIZE => feature_size.min(abi::ORIG_SIZE),
        size => size,
    }
}

/// `cpu_id` of a variable that was given back: not to be registered again. The kernel's word for a
/// registration that failed (`RSEQ_CPU_ID_REGISTRATION_FAILED`).
const GIVEN_BACK: i32 = -2;

/// Registers the calling thread's own variable; true also where it already was, and false after
/// [`unregister_thread`].
///
/// Only for a process whose [`Registration::owner`] is [`Owner::Own`], or from [`detect`].
/// Async-signal-safe; does not touch `errno`.
pub fn register_thread(offset: isize) -> bool {
    const EBUSY: isize = -16;
    // SAFETY: the offset of this thread's own variable.
    if unsafe { area::cpu_id(offset) } == GIVEN_BACK {
        return false;
    }
    let area = area::thread_pointer().wrapping_add_signed(offset);
    // SAFETY: `area` is this thread's own 32-byte variable, aligned to 32, which lives until
    // the thread no longer returns to user mode.
    let ret = unsafe { syscall4(nr::RSEQ, area, size_of::<Rseq>(), 0, abi::SIGNATURE as usize) };
    ret == 0 || ret == EBUSY
}

/// Gives the registration of the calling thread's own variable back, and for good: nothing
/// registers it again, whatever the thread still does until its end.
///
/// As [`register_thread`], and no handler of the thread may interrupt it.
pub fn unregister_thread(offset: isize) {
    const UNREGISTER: usize = 1;
    let area = area::thread_pointer().wrapping_add_signed(offset);
    let (length, signature) = (size_of::<Rseq>(), abi::SIGNATURE as usize);
    // SAFETY: the kernel writes to this thread's own variable now, and never again.
    unsafe { syscall4(nr::RSEQ, area, length, UNREGISTER, signature) };
    let area: *mut Rseq = core::ptr::with_exposed_provenance_mut(area);
    // SAFETY: as above; the variable is ours, not the kernel's, while it is not registered.
    unsafe { (&raw mut (*area).cpu_id).write_volatile(GIVEN_BACK) };
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn historic_libc_sizes_defer_to_the_kernel() {
        assert_eq!(active_size(20, 28), 28);
        assert_eq!(active_size(32, 28), 28);
        assert_eq!(active_size(32, 0), 0);
        assert_eq!(active_size(20, 33), 32);
        assert_eq!(active_size(28, 0), 28);
        assert_eq!(active_size(33, 33), 33);
    }

    #[test]
    fn own_variable_starts_unregistered() {
        let offset = own_offset();
        // SAFETY: our own variable's offset.
        let cpu = unsafe { area::cpu_id(offset) };
        let libc_registers = libc_words().is_some_and(|(_, size)| size != 0);
        if libc_registers {
            assert_eq!(cpu, -1);
        }
        assert_eq!((area::thread_pointer() as isize + offset) % 32, 0);
    }

    #[test]
    fn a_variable_that_was_given_back_is_never_registered_again() {
        let in_a_thread = || {
            let offset = own_offset();
            let first = register_thread(offset);
            // SAFETY: our own variable's offset.
            let is_filled = unsafe { area::cpu_id(offset) } >= 0;
            unregister_thread(offset);
            // SAFETY: as above.
            let cpu = unsafe { area::cpu_id(offset) };
            (first == is_filled, cpu, register_thread(offset))
        };
        let seen = std::thread::spawn(in_a_thread).join().unwrap();
        assert_eq!(seen, (true, GIVEN_BACK, false));
    }
}

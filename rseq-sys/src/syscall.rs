//! Raw system calls. They leave `errno` alone, since malloc's callers look at it.
//!
//! # Safety
//! The file holds the system call instructions; each caller states why its arguments are valid.
#![allow(unsafe_code)]
#![cfg_attr(cidalloc_model, allow(dead_code, reason = "a model makes the fences itself"))]

use core::arch::asm;

#[cfg(target_arch = "x86_64")]
pub(crate) mod nr {
    pub(crate) const RSEQ: usize = 334;
    pub(crate) const MEMBARRIER: usize = 324;
}
#[cfg(target_arch = "aarch64")]
pub(crate) mod nr {
    pub(crate) const RSEQ: usize = 293;
    pub(crate) const MEMBARRIER: usize = 283;
}

/// As [`syscall6`], for calls of at most four arguments.
///
/// # Safety
/// The arguments must be valid for that system call.
pub(crate) unsafe fn syscall4(nr: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    // SAFETY: the caller's promise; the kernel ignores the rest.
    unsafe { syscall6(nr, [a, b, c, d, 0, 0]) }
}

/// Calls system call `nr` and returns its value, or a negative errno.
///
/// # Safety
/// The arguments must be valid for that system call.
pub(crate) unsafe fn syscall6(nr: usize, args: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = args;
    let ret: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the kernel clobbers rax, rcx and r11 only; the arguments are the caller's duty.
    unsafe {
        asm!("syscall", inlateout("rax") nr as isize => ret, in("rdi") a, in("rsi") b,
             in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
             lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the kernel clobbers x0 only; the arguments are the caller's duty.
    unsafe {
        asm!("svc #0", in("x8") nr, inlateout("x0") a as isize => ret, in("x1") b,
             in("x2") c, in("x3") d, in("x4") e, in("x5") f, options(nostack));
    }
    ret
}

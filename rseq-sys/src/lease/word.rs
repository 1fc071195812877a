//! What a lease needs of libc and the loader: a word for each thread, and whether there is a second.
//!
//! The word lies in static TLS (initial-exec): found by the thread pointer alone, in handlers and in
//! threads that are about to end, at no call and no allocation.
#![allow(unsafe_code)]

use super::Lease;
use crate::area::thread_pointer;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering::Relaxed};

/// The thread's own word for its lease.
#[inline(always)]
pub(super) fn word() -> &'static AtomicPtr<Lease> {
    let address = thread_pointer().wrapping_add_signed(word_offset());
    // SAFETY: the variable below, in the calling thread's static TLS block, which only this
    // thread reads and writes.
    unsafe { AtomicPtr::from_ptr(core::ptr::with_exposed_provenance_mut(address)) }
}

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".pushsection .tbss.cidalloc_lease, \"awT\", @nobits",
    ".balign 8",
    ".hidden cidalloc_lease",
    ".globl cidalloc_lease",
    ".type cidalloc_lease, @object",
    "cidalloc_lease:",
    ".zero 8",
    ".size cidalloc_lease, 8",
    ".popsection",
);

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn word_offset() -> isize {
    let offset: isize;
    // SAFETY: an initial-exec TLS access; the loader filled the GOT entry with the offset.
    unsafe {
        core::arch::asm!("mov {}, qword ptr [rip + cidalloc_lease@GOTTPOFF]", out(reg) offset,
             options(nostack, pure, readonly, preserves_flags));
    }
    offset
}

/// `__libc_single_threaded` (sys/single_threaded.h, glibc 2.32), or null.
#[cfg(target_arch = "x86_64")]
pub(super) fn libc_single_threaded() -> *const AtomicU8 {
    let word: *const AtomicU8;
    // SAFETY: loads the GOT entry of a weak symbol: its address, or null.
    unsafe {
        core::arch::asm!(".weak __libc_single_threaded",
             "mov {}, qword ptr [rip + __libc_single_threaded@GOTPCREL]",
             out(reg) word, options(nostack, pure, readonly, preserves_flags));
    }
    word
}

#[cfg(target_arch = "aarch64")]
fn word_offset() -> isize {
    unsafe extern "C" {
        fn cidalloc_lease_offset() -> isize;
    }
    // SAFETY: returns the initial-exec TLS offset and touches nothing.
    unsafe { cidalloc_lease_offset() }
}

#[cfg(target_arch = "aarch64")]
pub(super) fn libc_single_threaded() -> *const AtomicU8 {
    unsafe extern "C" {
        fn cidalloc_libc_single_threaded() -> *const AtomicU8;
    }
    // SAFETY: returns the address of a weak symbol, or null.
    unsafe { cidalloc_libc_single_threaded() }
}

/// Whether libc knows that the process has one thread.
pub(super) fn single_threaded() -> bool {
    // SAFETY: null, or libc's variable of this type.
    unsafe { libc_single_threaded().as_ref() }.is_some_and(|word| word.load(Relaxed) != 0)
}

//! The system calls of the self-test: two processes, a page between them, one CPU.
//!
//! ```text
//!   caller ──clone──► watcher ──clone──► ticker
//!     │ wait4            │ wait4 ◄── exit ──┘
//!     ◄────── exit ──────┘
//! ```
//!
//! Plain clone(2) without flags: a copy of the calling thread alone, whose rseq area is
//! registered as the original's was, and whose end raises no signal.
//!
//! # Safety
//! The children run on a copy of the caller's memory and end by exit_group(2): nothing of the
//! program runs in them but the function they are given.
#![allow(unsafe_code)]

use crate::syscall::syscall6 as syscall;

#[cfg(target_arch = "x86_64")]
mod nr {
    pub(super) const MMAP: usize = 9;
    pub(super) const RT_SIGPROCMASK: usize = 14;
    pub(super) const NANOSLEEP: usize = 35;
    pub(super) const CLONE: usize = 56;
    pub(super) const WAIT4: usize = 61;
    pub(super) const SCHED_SETAFFINITY: usize = 203;
    pub(super) const CLOCK_GETTIME: usize = 228;
    pub(super) const EXIT_GROUP: usize = 231;
    pub(super) const GETCPU: usize = 309;
}
#[cfg(target_arch = "aarch64")]
mod nr {
    pub(super) const EXIT_GROUP: usize = 94;
    pub(super) const NANOSLEEP: usize = 101;
    pub(super) const CLOCK_GETTIME: usize = 113;
    pub(super) const SCHED_SETAFFINITY: usize = 122;
    pub(super) const RT_SIGPROCMASK: usize = 135;
    pub(super) const GETCPU: usize = 168;
    pub(super) const CLONE: usize = 220;
    pub(super) const MMAP: usize = 222;
    pub(super) const WAIT4: usize = 260;
}

fn address<T>(value: &mut T) -> usize {
    (&raw mut *value).expose_provenance()
}

/// The size of the kernel's signal sets.
const SIGNALS_BYTES: usize = 8;
const SIG_SETMASK: usize = 2;

/// Blocks all signals; the mask as it was.
pub(super) fn block_signals() -> u64 {
    let (mut all, mut before) = (u64::MAX, 0u64);
    let args = [SIG_SETMASK, address(&mut all), address(&mut before), SIGNALS_BYTES, 0, 0];
    // SAFETY: two signal sets of that size, both ours.
    unsafe { syscall(nr::RT_SIGPROCMASK, args) };
    before
}

/// Sets the mask of blocked signals.
pub(super) fn set_signals(mut mask: u64) {
    let args = [SIG_SETMASK, address(&mut mask), 0, SIGNALS_BYTES, 0, 0];
    // SAFETY: a signal set of that size.
    unsafe { syscall(nr::RT_SIGPROCMASK, args) };
}

/// A child that was not waited for yet.
pub(super) struct Child(usize);

/// Starts a child that runs `f` and exits with what it gives.
pub(super) fn start_child(f: impl FnOnce() -> u8) -> Option<Child> {
    // SAFETY: no flags and no stack: a copy of this process, on a copy of this stack.
    let pid = unsafe { syscall(nr::CLONE, [0; 6]) };
    if pid == 0 {
        let status = usize::from(f());
        loop {
            // SAFETY: ends the process.
            unsafe { syscall(nr::EXIT_GROUP, [status, 0, 0, 0, 0, 0]) };
        }
    }
    usize::try_from(pid).ok().map(Child)
}

impl Child {
    /// Its exit status; `None` when a signal ended it.
    pub(super) fn wait(self) -> Option<u8> {
        const WALL: usize = 0x4000_0000;
        const EINTR: isize = -4;
        let mut status = 0i32;
        loop {
            let args = [self.0, address(&mut status), WALL, 0, 0, 0];
            // SAFETY: the kernel writes one int.
            let pid = unsafe { syscall(nr::WAIT4, args) };
            if pid != EINTR {
                return (pid > 0 && status & 0x7f == 0).then_some((status >> 8) as u8);
            }
        }
    }
}

/// Runs `f` in a child; its exit status.
pub(super) fn in_child(f: impl FnOnce() -> u8) -> Option<u8> {
    start_child(f)?.wait()
}

/// Zeros that children share with us, for as long as the process lives.
///
/// Only for types that zeros are a value of and that are changed through `&`.
pub(super) fn shared_zeros<T>() -> Option<&'static T> {
    const READ_WRITE: usize = 1 | 2;
    const SHARED_ANONYMOUS: usize = 0x01 | 0x20;
    const { assert!(align_of::<T>() <= 4096 && size_of::<T>() != 0) };
    let args = [0, size_of::<T>(), READ_WRITE, SHARED_ANONYMOUS, usize::MAX, 0];
    // SAFETY: a new mapping where the kernel wants it.
    let address = unsafe { syscall(nr::MMAP, args) };
    let address = usize::try_from(address).ok()?;
    // SAFETY: mapped, zero, aligned to a page, never unmapped; nobody has it by `&mut`.
    Some(unsafe { &*core::ptr::with_exposed_provenance(address) })
}

/// The CPU we run on.
pub(super) fn current_cpu() -> Option<u32> {
    let mut cpu = 0u32;
    // SAFETY: the kernel writes one unsigned int.
    let ret = unsafe { syscall(nr::GETCPU, [address(&mut cpu), 0, 0, 0, 0, 0]) };
    (ret == 0).then_some(cpu)
}

/// Ties this process to the CPU it runs on, and tells which.
pub(super) fn pin_where_we_are() -> Option<u32> {
    let cpu = current_cpu()?;
    let mut mask = [0usize; 8192 / usize::BITS as usize];
    *mask.get_mut((cpu / usize::BITS) as usize)? |= 1 << (cpu % usize::BITS);
    let args = [0, size_of_val(&mask), address(&mut mask), 0, 0, 0];
    // SAFETY: the kernel reads that many bytes.
    let ret = unsafe { syscall(nr::SCHED_SETAFFINITY, args) };
    (ret == 0).then_some(cpu)
}

const NS_PER_S: u64 = 1_000_000_000;

/// The monotonic clock.
pub(super) fn now_ns() -> u64 {
    const MONOTONIC: usize = 1;
    let mut time = [0u64; 2];
    // SAFETY: the kernel writes two words.
    unsafe { syscall(nr::CLOCK_GETTIME, [MONOTONIC, address(&mut time), 0, 0, 0, 0]) };
    time[0] * NS_PER_S + time[1]
}

/// Sleeps for less than a second.
pub(super) fn sleep_ns(ns: u64) {
    let mut time = [0, ns];
    // SAFETY: the kernel reads two words.
    unsafe { syscall(nr::NANOSLEEP, [address(&mut time), 0, 0, 0, 0, 0]) };
}

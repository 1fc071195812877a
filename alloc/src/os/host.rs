//! What the system says of the moment: time, CPU and node, signals; and waiting for other threads.
//!
//! ```text
//!  otherwise              this file
//!  --cfg cidalloc_model   `model.rs`, where the model's world answers
//! ```
#![allow(unsafe_code)]

use core::ptr::{null, null_mut};
pub use numa_sys::topology::{possible_cpus, possible_nodes};
use rseq_sys::sync::AtomicU64;

/// Sets in `mask` a bit for each CPU that the calling thread is allowed; false when the kernel
/// does not say.
#[must_use]
pub fn allowed_cpus(mask: &mut [u64; 128]) -> bool {
    // SAFETY: the buffer is as long as told; 0 is the calling thread.
    let bytes = unsafe {
        libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(mask), mask.as_mut_ptr())
    };
    bytes > 0
}

/// The node of the CPU that the calling thread runs on; 0 when the kernel does not say.
#[must_use]
pub fn current_node() -> usize {
    let mut node = 0u32;
    // SAFETY: fills one word; the CPU is not asked for, and the third argument is unused.
    unsafe { libc::syscall(libc::SYS_getcpu, null_mut::<u32>(), &raw mut node, null_mut::<u8>()) };
    node as usize
}

/// Number of the calling thread.
#[must_use]
pub fn thread_id() -> i32 {
    // SAFETY: gettid reads a number.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// Whether the kernel says that `process`, which is the calling one, has no thread `thread`.
#[must_use]
pub fn is_thread_gone(process: i32, thread: i32) -> bool {
    // SAFETY: signal 0 is none.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, 0) };
    result == -1 && super::errno() == libc::ESRCH
}

/// Milliseconds of a clock that runs since boot, at the resolution of the kernel's tick.
#[must_use]
pub fn now_ms() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime fills the structure; through the vDSO, no system call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut t) };
    t.tv_sec as u64 * 1000 + t.tv_nsec as u64 / 1_000_000
}

/// Sleeps while the low half of `word` is `expected`, until [`futex_wake`] or for no reason.
pub fn futex_wait(word: &AtomicU64, expected: u32) {
    let op = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word lives in a static; little endian puts its low half at its address.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), op, expected, null::<u8>()) };
}

/// Wakes one thread that waits at `word`.
pub fn futex_wake(word: &AtomicU64) {
    let op = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: as in `futex_wait`.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), op, 1) };
}

/// Blocks all signals of the calling thread until dropped, with those that libc keeps for itself
/// (it cancels threads by one). Holds the mask of before; none where the kernel refused to change
/// it, for then it told none either.
#[derive(Debug)]
pub struct SignalsBlocked(Option<u64>);

impl SignalsBlocked {
    /// Blocks them.
    #[must_use]
    pub fn new() -> Self {
        let mut old = 0;
        let done = set_signal_mask(&u64::MAX, Some(&mut old));
        Self(done.then_some(old))
    }
}

impl Default for SignalsBlocked {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        if let Some(mask) = &self.0 {
            set_signal_mask(mask, None);
        }
    }
}

/// Sets the calling thread's signal mask, in the kernel's form: a bit per signal. Whether it did.
fn set_signal_mask(mask: &u64, old: Option<&mut u64>) -> bool {
    let old: *mut u64 = old.map_or(null_mut(), core::ptr::from_mut);
    // SAFETY: reads one word, and writes the other where there is one.
    unsafe {
        let mask = core::ptr::from_ref(mask);
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, mask, old, size_of::<u64>()) == 0
    }
}

/// Lets another thread run.
pub fn yield_now() {
    // SAFETY: takes nothing.
    unsafe { libc::syscall(libc::SYS_sched_yield) };
}

/// Sleeps for a millisecond, or until a signal.
pub fn nap() {
    let time = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    // SAFETY: reads the time, and writes nothing back.
    unsafe { libc::syscall(libc::SYS_nanosleep, &raw const time, null::<u8>()) };
}

//! Wall time, CPU time and the kernel's counts of the timed part of a workload.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Barrier, Mutex, PoisonError};
use std::time::Instant;

use crate::proc::Usage;
use crate::threads::crew;

/// What a workload took.
#[derive(Clone, Copy, Default)]
pub(crate) struct Timed {
    pub(crate) wall_ns: u64,
    pub(crate) cpu_ns: u64,
    pub(crate) ops: u64,
    pub(crate) usage: Usage,
    /// The child processes' part, where the work is theirs.
    pub(crate) children: Option<Usage>,
}

impl Timed {
    pub(crate) fn per_op(&self, ns: u64) -> f64 {
        ns as f64 / self.ops.max(1) as f64
    }
}

fn cpu_ns(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `clock_gettime` writes one timespec.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

fn since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Times `work`, which returns the number of operations it did, with all the threads
/// that it starts itself.
pub(crate) fn timed(work: impl FnOnce() -> u64) -> Timed {
    let before = Usage::of_self();
    let cpu = cpu_ns(libc::CLOCK_PROCESS_CPUTIME_ID);
    let start = Instant::now();
    let ops = work();
    let wall_ns = since(start);
    let cpu_ns = cpu_ns(libc::CLOCK_PROCESS_CPUTIME_ID) - cpu;
    Timed { wall_ns, cpu_ns, ops, usage: Usage::of_self().since(before), children: None }
}

/// Times `work` in `threads` threads, from the first that starts to the last that ends.
/// Each thread `prepare`s its own state before all begin together, and drops it after
/// the last has ended. `work` returns its number of operations.
///
/// One thread means the main thread: such a process stays single-threaded, which some
/// allocators are faster at.
pub(crate) fn race<S>(
    threads: usize,
    prepare: impl Fn(usize) -> S + Sync,
    work: impl Fn(usize, &mut S) -> u64 + Sync,
) -> Timed {
    if threads == 1 {
        let mut state = prepare(0);
        return timed(|| work(0, &mut state));
    }
    let (base, barrier) = (Instant::now(), Barrier::new(threads));
    let (first, last) = (AtomicU64::new(u64::MAX), AtomicU64::new(0));
    let (cpu, ops) = (AtomicU64::new(0), AtomicU64::new(0));
    let usage = Mutex::new((Usage::default(), Usage::default()));
    crew(threads, |index| {
        let mut state = prepare(index);
        if barrier.wait().is_leader() {
            usage.lock().unwrap_or_else(PoisonError::into_inner).0 = Usage::of_self();
        }
        barrier.wait();
        let began = cpu_ns(libc::CLOCK_THREAD_CPUTIME_ID);
        first.fetch_min(since(base), Relaxed);
        ops.fetch_add(work(index, &mut state), Relaxed);
        last.fetch_max(since(base), Relaxed);
        cpu.fetch_add(cpu_ns(libc::CLOCK_THREAD_CPUTIME_ID) - began, Relaxed);
        if barrier.wait().is_leader() {
            usage.lock().unwrap_or_else(PoisonError::into_inner).1 = Usage::of_self();
        }
        // Nobody drops its state before the end was noted.
        barrier.wait();
    });
    let (before, after) = usage.into_inner().unwrap_or_else(PoisonError::into_inner);
    Timed {
        wall_ns: last.into_inner() - first.into_inner(),
        cpu_ns: cpu.into_inner(),
        ops: ops.into_inner(),
        usage: after.since(before),
        children: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_wait_in_the_timed_part_are_counted() {
        let nap = core::time::Duration::from_millis(1);
        let time = race(
            2,
            |_| (),
            |_, ()| {
                (0..5).for_each(|_| std::thread::sleep(nap));
                5
            },
        );
        assert_eq!(time.ops, 10);
        assert!(time.wall_ns >= 5_000_000 && time.per_op(time.wall_ns) >= 500_000.0);
        assert!(time.usage.vcsw >= 10, "{}", time.usage.vcsw);
    }
}

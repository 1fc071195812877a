//! Threads that do one thing over and over for an interval.
//!
//! ```text
//!   main      ├─ ready ─┤sleep ……………………………┤stop
//!   thread 1  prepare, warm up ├begin────────────┤end     operations, CPU time
//!   thread 2  prepare, warm up    ├begin──────────────┤end
//!                              └────── wall ───────┘
//! ```
//!
//! With more threads than CPUs they take turns; so an operation's time is what it took of the CPUs
//! that there are for them: wall time × min(threads, CPUs) / operations. With one thread, and while
//! nothing waits, that is the time from the beginning to the end of an operation.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

/// Operations between two looks at whether the interval is over.
const CHUNK: u64 = 128;

/// What one operation took, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) wall_ns: f64,
    pub(crate) cpu_ns: f64,
}

/// How many threads do it, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) threads: usize,
    pub(crate) interval: Duration,
}

/// What a thread did.
struct Done {
    operations: u64,
    cpu_ns: f64,
    begin: Instant,
    end: Instant,
}

/// CPU time of the calling thread so far.
fn cpu_ns() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

impl Load {
    /// Has each thread call `operation` with what `prepare` makes of its number.
    pub(crate) fn run<S>(
        self,
        prepare: impl Fn(usize) -> S + Sync,
        operation: impl Fn(&mut S) + Sync,
    ) -> Cost {
        self.run_beside(prepare, operation, |_| {})
    }

    /// The same, while one more thread runs `beside`, until it is told that all others are done.
    pub(crate) fn run_beside<S>(
        self,
        prepare: impl Fn(usize) -> S + Sync,
        operation: impl Fn(&mut S) + Sync,
        beside: impl FnOnce(&AtomicBool) + Send,
    ) -> Cost {
        let (ready, stop) = (Barrier::new(self.threads + 1), AtomicBool::new(false));
        let all_done = AtomicBool::new(false);
        let work = |number| {
            let mut state = prepare(number);
            (0..CHUNK).for_each(|_| operation(&mut state));
            ready.wait();
            let (begin, cpu_before) = (Instant::now(), cpu_ns());
            let mut operations = 0;
            while !stop.load(Relaxed) {
                for _ in 0..CHUNK {
                    operation(&mut state);
                }
                operations += CHUNK;
            }
            Done { operations, cpu_ns: cpu_ns() - cpu_before, begin, end: Instant::now() }
        };
        let done: Vec<Done> = thread::scope(|scope| {
            scope.spawn(|| beside(&all_done));
            let work = &work;
            let threads: Vec<_> =
                (0..self.threads).map(|number| scope.spawn(move || work(number))).collect();
            ready.wait();
            thread::sleep(self.interval);
            stop.store(true, Relaxed);
            let done = threads.into_iter().map(|t| t.join().expect("no contender panics"));
            let done = done.collect();
            all_done.store(true, Relaxed);
            done
        });
        self.cost(&done)
    }

    fn cost(self, done: &[Done]) -> Cost {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let operations = done.iter().map(|d| d.operations).sum::<u64>().max(1) as f64;
        let begin = done.iter().map(|d| d.begin).min();
        let end = done.iter().map(|d| d.end).max();
        let wall = begin.zip(end).map_or(Duration::ZERO, |(begin, end)| end - begin);
        Cost {
            wall_ns: wall.as_nanos() as f64 * self.threads.min(cpus) as f64 / operations,
            cpu_ns: done.iter().map(|d| d.cpu_ns).sum::<f64>() / operations,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_that_takes_a_while_costs_as_much_in_each_number_of_threads() {
        for threads in [1, 4] {
            let load = Load { threads, interval: Duration::from_millis(5) };
            let spin = |_: &mut ()| {
                let begin = cpu_ns();
                while cpu_ns() - begin < 5_000.0 {}
            };
            let cost = load.run(|_| (), spin);
            assert!(cost.cpu_ns > 5_000.0 && cost.wall_ns > 4_000.0, "{cost:?}");
        }
    }
}

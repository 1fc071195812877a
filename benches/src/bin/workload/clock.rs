//! A clock fine enough for single calls of `malloc`.
//!
//! On x86-64 with an invariant time-stamp counter that is the counter itself, read by
//! `rdtscp` (which waits for the instructions before it) and fenced (against those after
//! it). Elsewhere it is `clock_gettime`, which on arm64 reads the generic timer without a
//! system call.

use std::time::Instant;

/// Ticks of the chosen clock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    #[cfg(target_arch = "x86_64")]
    Counter,
    System,
}

impl Clock {
    pub(crate) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if counter_is_invariant() {
            return Self::Counter;
        }
        Self::System
    }

    #[inline(always)]
    pub(crate) fn now(self) -> u64 {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Counter => {
                let mut cpu = 0;
                // SAFETY: `best` found the instruction; both only read.
                unsafe {
                    let ticks = core::arch::x86_64::__rdtscp(&raw mut cpu);
                    core::arch::x86_64::_mm_lfence();
                    ticks
                }
            }
            Self::System => {
                let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
                // SAFETY: `clock_gettime` writes one timespec.
                unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
                now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
            }
        }
    }

    /// Ticks since `before`; 0 where the thread moved to a CPU whose counter is behind.
    #[inline(always)]
    pub(crate) fn since(self, before: u64) -> u64 {
        self.now().saturating_sub(before)
    }
}

/// Whether the counter runs at one rate in all states of the CPU, and `rdtscp` exists.
#[cfg(target_arch = "x86_64")]
fn counter_is_invariant() -> bool {
    use core::arch::x86_64::__cpuid;
    let (rdtscp, invariant) = (1 << 27, 1 << 8);
    __cpuid(0x8000_0000).eax >= 0x8000_0007
        && __cpuid(0x8000_0001).edx & rdtscp != 0
        && __cpuid(0x8000_0007).edx & invariant != 0
}

/// Finds out how long a tick is, from its making to `ns_per_tick`.
pub(crate) struct Calibration {
    clock: Clock,
    ticks: u64,
    start: Instant,
}

impl Calibration {
    pub(crate) fn start(clock: Clock) -> Self {
        Self { clock, start: Instant::now(), ticks: clock.now() }
    }

    /// Exact to the time since `start` divided by some 50 ns: call it after the work.
    pub(crate) fn ns_per_tick(&self) -> f64 {
        let ticks = self.clock.since(self.ticks);
        self.start.elapsed().as_nanos() as f64 / ticks.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_runs_at_the_rate_that_it_says() {
        let clock = Clock::best();
        let error = || {
            let calibration = Calibration::start(clock);
            std::thread::sleep(core::time::Duration::from_millis(20));
            let ns_per_tick = calibration.ns_per_tick();
            let (ticks, start) = (clock.now(), Instant::now());
            std::thread::sleep(core::time::Duration::from_millis(20));
            let told = clock.since(ticks) as f64 * ns_per_tick;
            (told / start.elapsed().as_nanos() as f64 - 1.0).abs()
        };
        // A thread that was preempted between its two clocks is no fault of theirs.
        let errors: Vec<f64> = (0..5).map(|_| error()).collect();
        assert!(errors.iter().any(|error| *error < 0.05), "{errors:?}");
    }
}

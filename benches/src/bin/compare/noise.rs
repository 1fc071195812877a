//! How much of the machine others took while a run was going on.
//!
//! ```text
//!   busy ticks of all CPUs (/proc/stat) − CPU time of this process and the run's = foreign
//!   steal ticks                                                                  = the hypervisor's
//! ```

use std::time::Instant;

/// Above this share of one core a run counts as disturbed.
pub(crate) const CORE_SHARE_MAX: f64 = 0.2;
/// /proc/stat counts in ticks per CPU: below this many seconds a difference is rounding.
const ROUNDING_S: f64 = 0.04;

/// CPU seconds that others took during a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Noise {
    pub(crate) wall: f64,
    pub(crate) foreign: f64,
    pub(crate) steal: f64,
    pub(crate) disturbed: bool,
}

impl Noise {
    /// Cores that others took, on average over the run.
    pub(crate) fn cores(self) -> f64 {
        (self.foreign + self.steal) / self.wall.max(1e-3)
    }
}

/// CPU seconds of the machine up to now: (busy, stolen).
fn machine() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    parse(&stat)
}

fn parse(stat: &str) -> (f64, f64) {
    let ticks: Vec<f64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    let at = |i: usize| ticks.get(i).copied().unwrap_or(0.0);
    // user nice system idle iowait irq softirq steal
    let busy = at(0) + at(1) + at(2) + at(5) + at(6);
    // SAFETY: reads a constant of the system.
    let hz = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as f64;
    (busy / hz, at(7) / hz)
}

/// CPU seconds of this process and of all that it started and waited for.
fn own() -> f64 {
    used(libc::RUSAGE_SELF) + used(libc::RUSAGE_CHILDREN)
}

fn used(who: i32) -> f64 {
    let mut usage = core::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `getrusage` fills the struct, and all-zero is a valid one.
    let usage = unsafe {
        libc::getrusage(who, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// A run in progress.
pub(crate) struct Watch {
    start: Instant,
    machine: (f64, f64),
    own: f64,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), machine: machine(), own: own() }
    }

    /// Ends the run, whose processes have been waited for.
    pub(crate) fn stop(self) -> Noise {
        let (busy, stolen) = machine();
        judge(
            self.start.elapsed().as_secs_f64(),
            busy - self.machine.0 - (own() - self.own),
            stolen - self.machine.1,
        )
    }
}

/// Verdict on `foreign` and `steal` CPU seconds within `wall` seconds. Rounding can make
/// either difference negative.
fn judge(wall: f64, foreign: f64, steal: f64) -> Noise {
    let (foreign, steal) = (foreign.max(0.0), steal.max(0.0));
    let disturbed = foreign + steal > (CORE_SHARE_MAX * wall).max(ROUNDING_S);
    Noise { wall, foreign, steal, disturbed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_iowait_are_not_busy() {
        let (busy, stolen) = parse("cpu  100 0 50 9000 700 0 50 300 0 0\ncpu0 1 2 3\n");
        assert!((stolen / busy - 1.5).abs() < 1e-9, "{busy} {stolen}");
    }

    #[test]
    fn a_fifth_of_a_core_disturbs_and_rounding_does_not() {
        assert!(!judge(1.0, 0.19, 0.0).disturbed);
        assert!(judge(1.0, 0.11, 0.10).disturbed);
        assert!(!judge(0.05, 0.03, 0.0).disturbed);
        assert_eq!(judge(1.0, -0.02, -0.01).cores(), 0.0);
    }

    #[test]
    fn the_work_of_this_process_and_of_its_children_is_its_own() {
        let spin = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        assert!(std::process::Command::new("sh").args(["-c", spin]).status().unwrap().success());
        let (this, children) = (used(libc::RUSAGE_SELF), used(libc::RUSAGE_CHILDREN));
        assert!(this > 0.0 && children > 0.002, "{this} and {children}");
        assert!(own() >= this + children);
    }
}

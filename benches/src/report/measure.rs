//! What can be tabulated of a sample.

use crate::results::{Metric, Sample};

/// What can be tabulated of a sample; smaller is better in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Measure {
    /// Wall time per operation, or of a whole program
    Time,
    /// CPU time of all threads, likewise
    Cpu,
    /// Resident memory: where that is the row's subject, then; else the highest
    Memory,
    /// Resident memory after everything was freed
    End,
    /// Page faults
    Faults,
    /// Context switches
    Switches,
}

impl Measure {
    /// The number, where a row of this metric has one.
    #[must_use]
    pub fn of(self, metric: Metric, sample: &Sample) -> Option<f64> {
        let timed = metric != Metric::Kib;
        let cpu = sample.user_ns + sample.sys_ns;
        match self {
            Self::Time => timed.then_some(sample.value),
            Self::Cpu if metric == Metric::Seconds => Some(cpu / 1e9),
            Self::Cpu => timed.then_some(cpu),
            // No process has a peak of nothing: it was not seen.
            Self::Memory if timed => (sample.peak_kib > 0).then_some(sample.peak_kib as f64),
            Self::Memory => Some(sample.value),
            Self::End => (metric == Metric::Nanoseconds).then_some(sample.end_kib as f64),
            Self::Faults => timed.then_some((sample.minflt + sample.majflt) as f64),
            Self::Switches => timed.then_some((sample.vcsw + sample.icsw) as f64),
        }
    }

    /// Heading of its table.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Time => "Wall time: ns per operation over all threads; programs in seconds",
            Self::Cpu => "CPU time of all threads: ns per operation; programs in seconds",
            Self::Memory => "Resident memory in KiB: its peak; where memory is the row, then",
            Self::End => "Resident memory after everything was freed, KiB",
            Self::Faults => "Page faults",
            Self::Switches => "Context switches",
        }
    }

    /// Whether load by others moves it.
    #[must_use]
    pub const fn suffers_from_others(self) -> bool {
        matches!(self, Self::Time | Self::Cpu | Self::Switches)
    }
}

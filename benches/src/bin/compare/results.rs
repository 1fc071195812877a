//! All samples of a comparison, by row and column, and the failures.

use std::collections::HashMap;

use cidalloc_benches::record::{Metric, Record};
use cidalloc_benches::stats::{Spread, spread};

use crate::noise::Noise;

/// One record with the noise around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) metric: Metric,
    pub(crate) value: f64,
    pub(crate) cpu: f64,
    pub(crate) ops: u64,
    pub(crate) asked_kib: u64,
    pub(crate) peak_kib: u64,
    pub(crate) end_kib: u64,
    pub(crate) minflt: u64,
    pub(crate) noise: Noise,
}

impl Sample {
    pub(crate) fn new(record: &Record<'_>, noise: Noise) -> Self {
        let Record { metric, value, cpu, ops, asked_kib, peak_kib, end_kib, minflt, .. } = *record;
        Self { metric, value, cpu, ops, asked_kib, peak_kib, end_kib, minflt, noise }
    }
}

/// What can be tabulated of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Measure {
    /// Wall time per operation
    Time,
    /// CPU time of all threads per operation
    Cpu,
    /// Resident memory, where that is the row's subject
    Memory,
    /// Highest resident memory
    Peak,
    /// Resident memory after everything was freed
    End,
    /// Minor page faults
    Faults,
}

impl Measure {
    /// The number, where the sample's row has one of this kind.
    fn of(self, sample: &Sample) -> Option<f64> {
        let timed = sample.metric == Metric::Nanoseconds;
        match self {
            Self::Time => timed.then_some(sample.value),
            Self::Cpu => timed.then_some(sample.cpu),
            Self::Memory => (!timed).then_some(sample.value),
            Self::Peak => timed.then_some(sample.peak_kib as f64),
            Self::End => timed.then_some(sample.end_kib as f64),
            Self::Faults => timed.then_some(sample.minflt as f64),
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Time => "Wall time, ns per operation over all threads",
            Self::Cpu => "CPU time of all threads, ns per operation",
            Self::Memory => "Resident memory, KiB",
            Self::Peak => "Peak resident memory (VmHWM), KiB",
            Self::End => "Resident memory after everything was freed, KiB",
            Self::Faults => "Minor page faults of the process",
        }
    }
}

/// Samples and failures.
#[derive(Default)]
pub(crate) struct Results {
    /// Names of the records in order of first appearance.
    pub(crate) rows: Vec<String>,
    samples: HashMap<(String, usize), Vec<Sample>>,
    /// Row, column, reason.
    pub(crate) failures: Vec<(String, usize, String)>,
    pub(crate) runs: usize,
    pub(crate) disturbed: usize,
    pub(crate) repeated: usize,
}

impl Results {
    fn know(&mut self, row: &str) {
        if !self.rows.iter().any(|known| known == row) {
            self.rows.push(row.to_owned());
        }
    }

    pub(crate) fn add(&mut self, row: &str, column: usize, sample: Sample) {
        self.know(row);
        self.samples.entry((row.to_owned(), column)).or_default().push(sample);
    }

    pub(crate) fn fail(&mut self, row: &str, column: usize, why: String) {
        self.know(row);
        self.failures.push((row.to_owned(), column, why));
    }

    pub(crate) fn samples(&self, row: &str, column: usize) -> &[Sample] {
        self.samples.get(&(row.to_owned(), column)).map_or(&[], Vec::as_slice)
    }

    /// Median and spread of a cell; `None` where the row lacks this measure, or where a
    /// run failed: an allocator that crashes at times has no time.
    pub(crate) fn spread(&self, measure: Measure, row: &str, column: usize) -> Option<Spread> {
        if self.failed(row, column) {
            return None;
        }
        spread(self.samples(row, column).iter().filter_map(|sample| measure.of(sample)))
    }

    pub(crate) fn failed(&self, row: &str, column: usize) -> bool {
        self.failures.iter().any(|(name, at, _)| name == row && *at == column)
    }

    pub(crate) fn disturbed(&self, row: &str, column: usize) -> bool {
        self.samples(row, column).iter().any(|sample| sample.noise.disturbed)
    }
}

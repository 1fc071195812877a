//! The published table: what an increment of 16 KiB takes on two EPYC 9654, by what its area is
//! indexed with.
//!
//! From the message of the kernel's commit "sched: Improve cache locality of RSEQ concurrency IDs
//! for intermittent workloads" (M. Desnoyers, 2024, Linux 6.13); each figure there is an average
//! of five runs.

use super::machine::Machine;

/// Which threads run, each pinned to a CPU of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// The eight cores of one L3.
    EightCores,
    /// One core of each L3.
    OneOfEachL3,
    /// All cores.
    AllCores,
    /// All hardware threads.
    AllThreads,
}

impl Placement {
    /// As the table names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EightCores => "8 cores, 1 L3",
            Self::OneOfEachL3 => "24 cores, 24 L3",
            Self::AllCores => "192 cores, 24 L3",
            Self::AllThreads => "384 threads, 24 L3",
        }
    }

    /// The CPUs that the threads are pinned to.
    #[must_use]
    pub fn cpus(self, machine: &Machine) -> Vec<usize> {
        match self {
            Self::EightCores => (0..machine.cores).collect(),
            Self::OneOfEachL3 => (0..machine.l3_count()).map(|l3| l3 * machine.cores).collect(),
            Self::AllCores => (0..machine.core_count()).collect(),
            Self::AllThreads => (0..machine.cpu_count()).collect(),
        }
    }
}

/// One line of the table, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Time between two threads' bursts.
    pub delay_ms: u32,
    /// Which threads.
    pub placement: Placement,
    /// Indexed by CPU number.
    pub per_cpu: f64,
    /// Indexed by `mm_cid` before the change.
    pub plain: f64,
    /// Indexed by `mm_cid` after it.
    pub cache_local: f64,
    /// How much faster that is, as printed there.
    pub gain: f64,
}

const fn row(delay_ms: u32, placement: Placement, ns: [f64; 3], gain: f64) -> Row {
    Row { delay_ms, placement, per_cpu: ns[0], plain: ns[1], cache_local: ns[2], gain }
}

/// The table.
pub const TABLE: [Row; 8] = [
    row(200, Placement::EightCores, [1374.0, 19_289.0, 1336.0], 14.4),
    row(200, Placement::OneOfEachL3, [2423.0, 26_721.0, 1594.0], 16.7),
    row(200, Placement::AllCores, [2291.0, 15_826.0, 2153.0], 7.3),
    row(200, Placement::AllThreads, [1874.0, 13_234.0, 1907.0], 6.9),
    row(10, Placement::EightCores, [662.0, 756.0, 686.0], 1.1),
    row(10, Placement::OneOfEachL3, [1378.0, 3648.0, 1035.0], 3.5),
    row(10, Placement::AllCores, [1439.0, 10_833.0, 1482.0], 7.3),
    row(10, Placement::AllThreads, [1503.0, 10_570.0, 1556.0], 6.8),
];

#[cfg(test)]
mod tests {
    use super::super::machine::EPYC_9654_TWICE;
    use super::*;

    #[test]
    fn the_printed_gains_are_the_ratios_of_the_printed_times() {
        for row in TABLE {
            let ratio = row.plain / row.cache_local;
            assert!((ratio - row.gain).abs() < 0.1, "{row:?}: {ratio}");
        }
    }

    #[test]
    fn placements_use_the_cpus_that_they_name() {
        let counts = TABLE.map(|row| row.placement.cpus(&EPYC_9654_TWICE).len());
        assert_eq!(counts, [8, 24, 192, 384, 8, 24, 192, 384]);
        let one = Placement::OneOfEachL3.cpus(&EPYC_9654_TWICE);
        assert_eq!((one[1], one[23]), (8, 184));
    }
}

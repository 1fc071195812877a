//! All that one comparison measured, as `compare` keeps it in `results.json`.
//!
//! ```text
//!   Results ─┬─ run          the machine, the command, how quiet it was
//!            ├─ allocators   [0] ours  [1] glibc  [2] …       ◀─┐ indices
//!            ├─ workloads    [0] pair/16/1t  [1] …            ◀─┤
//!            ├─ cells        (workload, allocator) ─ samples, one per round
//!            ├─ latencies    (workload, allocator, malloc|free) ─ percentiles
//!            ├─ timelines    (workload, allocator) ─ resident memory over time
//!            └─ failures     (workload, allocator) ─ why
//! ```
//!
//! Only measurements are stored; every ratio and mean is derived by `report`. Numbers are
//! finite: JSON has no other.

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use crate::record::Op;
use crate::stats::Spread;

/// The form of the file; readers refuse any other.
pub const SCHEMA: u32 = 1;

/// One comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Where, when and how it was measured.
    pub run: Run,
    /// The columns, in the order of the report; also those that were absent.
    pub allocators: Vec<Allocator>,
    /// The rows, in the order of the report.
    pub workloads: Vec<Workload>,
    /// What was measured, at most one cell for a workload and an allocator.
    pub cells: Vec<Cell>,
    /// Latency of single calls.
    pub latencies: Vec<LatencyCell>,
    /// Resident memory over time.
    pub timelines: Vec<Timeline>,
    /// Runs that gave no figures.
    pub failures: Vec<Failure>,
}

/// Where, when and how it was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The commit that was measured, where that is known.
    pub commit: Option<String>,
    /// The working tree differed from it.
    pub dirty: bool,
    /// When it began, in UTC, as ISO 8601.
    pub date: String,
    /// The command line.
    pub command: String,
    /// The processor's name.
    pub cpu: String,
    /// CPUs that the run was allowed to use.
    pub cpus: usize,
    /// Memory of the machine.
    pub memory_kib: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The C library and its version.
    pub libc: String,
    /// Mode of transparent huge pages.
    pub thp: String,
    /// What our library indexed its shards by, from its own statistics.
    pub cid_source: String,
    /// Rounds that were asked for.
    pub rounds: u32,
    /// Times the usual amount of work.
    pub scale: f64,
    /// How quiet the machine was.
    pub noise: NoiseSummary,
    /// Somebody ended the run before its time.
    pub interrupted: bool,
    /// Settings of the environment that bear on the figures, `NAME=value`.
    pub environment: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

/// How much of the machine others took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NoiseSummary {
    /// Processes that were run and measured.
    pub runs: u64,
    /// Runs made again since others took more than `limit`.
    pub repeated: u64,
    /// Runs that stayed disturbed.
    pub disturbed: u64,
    /// Cores that others may take of a run before it counts as disturbed.
    pub limit: f64,
    /// Time that the hypervisor took, over all runs.
    pub steal_ms: f64,
    /// CPU time of other processes, over all runs.
    pub foreign_ms: f64,
}

/// Where an allocator comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// This project's.
    Ours,
    /// The C library's.
    System,
    /// A library of Debian's packages.
    Debian,
    /// Built from the crates registry.
    Crate,
    /// A file named on the command line.
    File,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Allocator {
    /// Unique name.
    pub name: String,
    /// Where it comes from.
    pub kind: Kind,
    /// Its version, or an empty text.
    pub version: String,
    /// The library that is preloaded.
    pub path: Option<String>,
    /// What a reader should know, or an empty text.
    pub note: String,
    /// Why it is missing; such a column has no cells.
    pub absent: Option<String>,
}

/// What the value of a workload counts. Smaller is better in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Wall time in nanoseconds per operation, over all threads.
    Nanoseconds,
    /// Resident memory.
    Kib,
    /// Wall time of a whole program.
    Seconds,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// Unique name, `family/variant/threads`.
    pub name: String,
    /// The kind of work, for rows that belong together.
    pub family: String,
    /// Threads that work at the same time.
    pub threads: usize,
    /// What `Sample::value` counts.
    pub metric: Metric,
    /// A paragraph on what it stresses and where the idea comes from.
    pub about: String,
    /// Operations that were timed; 0 where that has no meaning.
    pub ops: u64,
}

/// One workload with one allocator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Index in [`Results::workloads`].
    pub workload: usize,
    /// Index in [`Results::allocators`].
    pub allocator: usize,
    /// One for each round that gave figures.
    pub samples: Vec<Sample>,
}

/// One run of one workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The round, from 0; ratios are taken within one.
    pub round: u32,
    /// The figure itself, in the workload's metric.
    pub value: f64,
    /// Wall time: per operation, or of the whole program for `Seconds`; 0 for `Kib`.
    pub wall_ns: f64,
    /// Time in user mode of all threads, likewise.
    pub user_ns: f64,
    /// Time in the kernel of all threads, likewise.
    pub sys_ns: f64,
    /// What the workload held from the allocator when a `Kib` row was taken, else 0.
    pub asked_kib: u64,
    /// `VmHWM`, the highest resident set.
    pub peak_kib: u64,
    /// Resident set after the workload freed everything; 0 for `Seconds`.
    pub end_kib: u64,
    /// Minor page faults.
    pub minflt: u64,
    /// Page faults that waited for the disk.
    pub majflt: u64,
    /// Context switches of threads that waited.
    pub vcsw: u64,
    /// Context switches of threads that were preempted.
    pub icsw: u64,
    /// Others took more of the machine than allowed, also in the repetition.
    pub disturbed: bool,
}

/// Latency of one call, in nanoseconds; percentiles are spreads over the rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyCell {
    /// Index in [`Results::workloads`].
    pub workload: usize,
    /// Index in [`Results::allocators`].
    pub allocator: usize,
    /// The call.
    pub op: Op,
    /// What reading the clock costs; it is contained in every figure.
    pub clock_ns: f64,
    /// Calls measured in a round.
    pub n: u64,
    /// Half of the calls took no longer.
    pub p50: Spread,
    /// 90 % of them.
    pub p90: Spread,
    /// 99 % of them.
    pub p99: Spread,
    /// 99.9 % of them.
    pub p999: Spread,
    /// The longest.
    pub max: Spread,
    /// Lower bound of a bucket in ns and its count, of the round with the median p99.
    pub histogram: Vec<(f64, u64)>,
}

/// Resident memory over time, of the first undisturbed round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// Index in [`Results::workloads`].
    pub workload: usize,
    /// Index in [`Results::allocators`].
    pub allocator: usize,
    /// Milliseconds since the start, KiB.
    pub points: Vec<(f64, u64)>,
}

/// A run that gave no figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Index in [`Results::workloads`].
    pub workload: usize,
    /// Index in [`Results::allocators`].
    pub allocator: usize,
    /// What happened.
    pub why: String,
}

impl Results {
    /// No rows yet.
    #[must_use]
    pub const fn new(run: Run, allocators: Vec<Allocator>) -> Self {
        Self {
            schema: SCHEMA,
            run,
            allocators,
            workloads: Vec::new(),
            cells: Vec::new(),
            latencies: Vec::new(),
            timelines: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// As JSON.
    ///
    /// # Errors
    /// One line, should it not be possible.
    pub fn to_json(&self) -> Result<String, String> {
        serde_json::to_string(self).map_err(|e| format!("cannot write results: {e}"))
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// One line that names what is wrong: no JSON, another schema, an index without its row.
    pub fn from_json(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Form {
            schema: u32,
        }
        let bad = |e| format!("not the results of a comparison: {e}");
        let Form { schema } = serde_json::from_str(text).map_err(bad)?;
        if schema != SCHEMA {
            return Err(format!(
                "results have schema {schema}, and this program reads {SCHEMA}: use the program \
                 that wrote them"
            ));
        }
        let results: Self = serde_json::from_str(text).map_err(bad)?;
        results.indices_exist()?;
        Ok(results)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// One line that names the file and what is wrong.
    pub fn read(path: &Path) -> Result<Self, String> {
        let at = |e: String| format!("{}: {e}", path.display());
        let text = std::fs::read_to_string(path).map_err(|e| at(e.to_string()))?;
        Self::from_json(&text).map_err(at)
    }

    fn indices_exist(&self) -> Result<(), String> {
        let pairs = (self.cells.iter().map(|c| (c.workload, c.allocator)))
            .chain(self.latencies.iter().map(|c| (c.workload, c.allocator)))
            .chain(self.timelines.iter().map(|c| (c.workload, c.allocator)))
            .chain(self.failures.iter().map(|c| (c.workload, c.allocator)));
        for (workload, allocator) in pairs {
            if workload >= self.workloads.len() || allocator >= self.allocators.len() {
                return Err(format!(
                    "a figure belongs to workload {workload} and allocator {allocator}, and there \
                     are {} and {} of them: the file is damaged",
                    self.workloads.len(),
                    self.allocators.len()
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "results_tests.rs"]
mod tests;

//! What one cell costs once, and all that a run measured.

use serde::{Deserialize, Serialize};

use super::memory;

/// What contenders are compared in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Adding 1 to a counter.
    Counter,
    /// Taking an object for use, and giving it back.
    List,
    /// Appending a record where the oldest ones make room.
    Ring,
    /// Appending a record that one reader gets.
    Reader,
    /// Allocating an item of a pool, and freeing it.
    Items,
}

impl Group {
    /// All of them, as they are shown.
    pub const ALL: [Self; 5] = [Self::Counter, Self::List, Self::Ring, Self::Reader, Self::Items];

    /// As the command line and the results have it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::List => "list",
            Self::Ring => "ring",
            Self::Reader => "reader",
            Self::Items => "items",
        }
    }

    /// What is done once.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Counter => "A counter's increment",
            Self::List => "An object out of a free list and back",
            Self::Ring => "A record appended, the oldest one overwritten",
            Self::Reader => "A record handed to a reader",
            Self::Items => "A pool's item allocated and freed",
        }
    }
}

/// Where cids come from: the values of `CIDALLOC_CID`.
pub const SOURCES: [&str; 3] = ["kernel", "cpu", "emulated"];

/// One contender with so many threads, for one interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// What it was compared in.
    pub group: Group,
    /// Its name; of those that use no cids the same under every source.
    pub contender: String,
    /// Where its cids came from; none if it uses none.
    pub source: Option<String>,
    /// Threads that did it over and over.
    pub threads: usize,
    /// Which round of the run.
    pub round: u32,
    /// Nanoseconds an operation took of the CPUs that there are for the threads.
    pub wall_ns: f64,
    /// CPU time of an operation, in nanoseconds.
    pub cpu_ns: f64,
}

/// One run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// The program's arguments.
    pub command: String,
    /// Of the sources that it was built from, where there is a repository.
    pub commit: Option<String>,
    /// The CPU's name.
    pub cpu: String,
    /// CPUs that the process may use.
    pub cpus: usize,
    /// The kernel's release.
    pub kernel: String,
    /// Rounds, each with one interval of each contender.
    pub rounds: u32,
    /// Milliseconds of an interval.
    pub interval_ms: u64,
    /// Whether tables show CPU time, which other processes change less than wall time.
    pub by_cpu_time: bool,
    /// Sources that were asked for but are not to be had here, and why.
    pub absent: Vec<String>,
    /// Everything that was measured.
    pub samples: Vec<Sample>,
    /// What sets of counters take.
    pub memory: Vec<memory::Footprint>,
}

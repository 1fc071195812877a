//! What a set of counters for every thread takes.

use serde::{Deserialize, Serialize};

/// Counters of a set.
pub const COUNTERS: usize = 512;
/// CPUs that a per-CPU array is made for.
pub const CPUS: usize = 1024;

/// Ways to keep such sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Each thread has a set.
    Thread,
    /// A set for each of [`CPUS`], each written once when the array was made.
    CpuWritten,
    /// A set for each of [`CPUS`], zero as the system gives them: resident where a CPU added.
    CpuZeroed,
    /// A set for each cid that ran.
    Cid,
}

impl Way {
    /// All of them, as they are shown.
    pub const ALL: [Self; 4] = [Self::Thread, Self::CpuWritten, Self::CpuZeroed, Self::Cid];

    /// As the command line and the results have it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Thread => "thread",
            Self::CpuWritten => "cpu-written",
            Self::CpuZeroed => "cpu-zeroed",
            Self::Cid => "cid",
        }
    }

    /// As tables and plots have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Thread => "thread_local!",
            Self::CpuWritten => "per CPU, written",
            Self::CpuZeroed => "per CPU, zeroed",
            Self::Cid => "per cid",
        }
    }
}

/// Resident memory of a process in which every thread added to each counter of its set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Footprint {
    /// How they were kept.
    pub way: Way,
    /// Threads, all alive.
    pub threads: usize,
    /// KiB resident before there were sets.
    pub before_kib: u64,
    /// KiB resident when all threads had added, and the sets had been summed.
    pub after_kib: u64,
}

impl Footprint {
    /// KiB that the sets take.
    #[must_use]
    pub const fn sets_kib(&self) -> u64 {
        self.after_kib.saturating_sub(self.before_kib)
    }
}

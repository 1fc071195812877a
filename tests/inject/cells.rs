//! What a sweep is made of: each point with each kind of what may happen there.

use rseq_sys::inject::{AFTER, LEASED, Operation, SECTIONS};

/// What happens to a thread that is held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A short while passes.
    Spin,
    /// The window is left for its abort address.
    Leave,
    /// A signal, whose handler allocates and frees.
    Signal,
    /// The thread goes on on another CPU.
    Migrate,
    /// Another thread makes the fence of remote operations.
    Fence,
    /// Another thread drains all shards that it can.
    Drain,
    /// Another thread wants the CPU.
    Preempt,
    /// The thread lets others run.
    Yield,
    /// The thread sleeps.
    Sleep,
}

impl Kind {
    /// Name, and how it is made: within a window, in plain code.
    pub(crate) fn words(self) -> (&'static str, &'static str, &'static str) {
        const AGENT: &str = "another thread does it while the point waits";
        match self {
            Self::Spin => ("delay", "the point spins 300 times", "the point spins 300 times"),
            Self::Leave => ("abort", "the point jumps to the abort address", ""),
            Self::Signal => (
                "signal whose handler allocates and frees",
                "the point spins until another thread's tgkill aborts the window",
                "raise",
            ),
            Self::Migrate => (
                "migration",
                "the point spins while another thread moves this one by sched_setaffinity",
                "sched_setaffinity",
            ),
            Self::Fence => {
                ("rseq fence", "another thread's membarrier while the point spins", AGENT)
            }
            Self::Drain => {
                ("drain of all shards", "another thread's trim while the point spins", AGENT)
            }
            Self::Preempt => ("preemption", "the point spins while others want the CPU", ""),
            Self::Yield => ("yield", "", "sched_yield"),
            Self::Sleep => ("sleep", "", "nanosleep of 50 µs"),
        }
    }

    /// Whether a window that is held up that long must be aborted.
    pub(crate) fn aborts(self) -> bool {
        !matches!(self, Self::Spin)
    }

    /// Whether the agent makes it happen, of a point within a window or not.
    pub(crate) fn is_of_agent(self, in_window: bool) -> bool {
        match self {
            Self::Fence | Self::Drain => true,
            Self::Signal | Self::Migrate => in_window,
            _ => false,
        }
    }
}

const IN_WINDOWS: [Kind; 7] =
    [Kind::Spin, Kind::Leave, Kind::Signal, Kind::Migrate, Kind::Fence, Kind::Drain, Kind::Preempt];
const IN_PLAIN_CODE: [Kind; 7] =
    [Kind::Spin, Kind::Yield, Kind::Sleep, Kind::Signal, Kind::Migrate, Kind::Fence, Kind::Drain];

/// A point, and what happens there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) operation: Operation,
    /// 0 before the operation, [`AFTER`] after it, else after that many accesses.
    pub(crate) place: u32,
    pub(crate) kind: Kind,
    /// Within a window: no code of ours runs there.
    pub(crate) in_window: bool,
    /// It happens to every so manieth operation of a thread.
    pub(crate) every: u32,
    /// How often it happens to each thread.
    pub(crate) quota: u32,
}

impl Cell {
    pub(crate) fn point(&self) -> u32 {
        self.operation.code + self.place
    }

    /// Where the point is, in words.
    pub(crate) fn place_words(&self) -> String {
        let name = self.operation.name;
        match self.place {
            0 => format!("before {name}"),
            AFTER => format!("after {name}"),
            place => format!("{name} after its {}", self.operation.inside[place as usize - 1]),
        }
    }
}

/// The cells of sweep number `sweep`. `leased`: of operations under leases.
pub(crate) fn cells(leased: bool, pinned: bool, cpus: usize, sweep: u32) -> Vec<Cell> {
    let operations: &[Operation] = if leased { &LEASED } else { &SECTIONS };
    let mut cells = Vec::new();
    for &operation in operations {
        let inside = 1..=operation.inside.len() as u32;
        for place in [0].into_iter().chain(inside).chain([AFTER]) {
            let in_window = !leased && place != 0 && place != AFTER;
            for kind in if in_window { IN_WINDOWS } else { IN_PLAIN_CODE } {
                let possible = match kind {
                    Kind::Migrate => cpus > 1,
                    Kind::Preempt => pinned,
                    _ => true,
                };
                if possible {
                    let every = 1 + (cells.len() as u32 + sweep) % 3;
                    let quota = 1 + sweep;
                    cells.push(Cell { operation, place, kind, in_window, every, quota });
                }
            }
        }
    }
    cells
}

//! What a sweep is made of: each point with each kind of what may happen there.

use rseq_sys::inject::{AFTER, LEASED, Operation, SECTIONS, UNARMED};

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
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Spin => "delay",
            Self::Leave => "abort",
            Self::Signal => "signal whose handler allocates and frees",
            Self::Migrate => "migration",
            Self::Fence => "rseq fence",
            Self::Drain => "drain of all shards",
            Self::Preempt => "preemption",
            Self::Yield => "yield",
            Self::Sleep => "sleep",
        }
    }

    /// How it is made to happen at a point of `spot`.
    pub(crate) fn how(self, spot: Spot) -> &'static str {
        match (self, spot == Spot::Plain) {
            (Self::Spin, _) => "the point spins 300 times",
            (Self::Leave, _) => "the point jumps to the abort address",
            (Self::Preempt, _) => "the point spins while other threads want the CPU",
            (Self::Yield, _) => "sched_yield",
            (Self::Sleep, _) => "nanosleep of 50 µs",
            (Self::Signal, true) => "raise",
            (Self::Migrate, true) => "sched_setaffinity",
            (Self::Signal, false) => "another thread's tgkill while the point spins",
            (Self::Migrate, false) => "another thread's sched_setaffinity while the point spins",
            (Self::Fence, _) => "another thread's membarrier while the point waits",
            (Self::Drain, _) => "another thread's trim while the point waits",
        }
    }

    /// Whether the agent makes it happen at a point of `spot`.
    pub(crate) fn is_of_agent(self, spot: Spot) -> bool {
        match self {
            Self::Fence | Self::Drain => true,
            Self::Signal | Self::Migrate => spot != Spot::Plain,
            _ => false,
        }
    }
}

/// What a point is surrounded by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spot {
    /// A window: no code of ours runs there.
    Window,
    /// Instructions of a section before it is armed: nor there, and nothing is aborted.
    Unarmed,
    /// Code like any other.
    Plain,
}

impl Spot {
    pub(crate) fn words(self, leased: bool) -> &'static str {
        match (self, leased) {
            (Self::Window, _) => "within windows",
            (Self::Unarmed, _) => "before a section is armed",
            (Self::Plain, false) => "before and after sections",
            (Self::Plain, true) => "before, within and after operations under leases",
        }
    }

    fn kinds(self) -> &'static [Kind] {
        use Kind::{Drain, Fence, Leave, Migrate, Preempt, Signal, Sleep, Spin, Yield};
        match self {
            Self::Window => &[Spin, Leave, Signal, Migrate, Fence, Drain, Preempt],
            Self::Unarmed => &[Spin, Signal, Migrate, Fence, Drain],
            Self::Plain => &[Spin, Yield, Sleep, Signal, Migrate, Fence, Drain],
        }
    }
}

/// A point, and what happens there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) operation: Operation,
    /// 0 before the operation, [`AFTER`] after it, [`UNARMED`], else after that many accesses.
    pub(crate) place: u16,
    pub(crate) spot: Spot,
    pub(crate) kind: Kind,
    /// It happens to every so manieth operation of a thread.
    pub(crate) every: u32,
    /// How often it happens to each thread.
    pub(crate) quota: u32,
}

impl Cell {
    /// Whether a thread that is held up there long enough must be aborted.
    pub(crate) fn aborts(&self) -> bool {
        self.spot == Spot::Window && self.kind != Kind::Spin
    }

    pub(crate) fn point(&self) -> u16 {
        self.operation.code + self.place
    }

    /// Where the point is, in words.
    pub(crate) fn place_words(&self) -> String {
        let name = self.operation.name;
        match self.place {
            0 => format!("before {name}"),
            AFTER => format!("after {name}"),
            UNARMED => format!("before {name} is armed"),
            place => format!("{name} after its {}", self.operation.inside[place as usize - 1]),
        }
    }
}

/// What the place of a run has for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Means {
    pub(crate) leased: bool,
    /// All workers are on one CPU.
    pub(crate) pinned: bool,
    /// There is another CPU to go to.
    pub(crate) cpus: bool,
    /// The kernel makes rseq fences.
    pub(crate) fences: bool,
}

impl Means {
    fn allow(self, kind: Kind, spot: Spot) -> bool {
        match kind {
            Kind::Migrate => self.cpus,
            Kind::Preempt => self.pinned,
            Kind::Fence => self.fences,
            // Without a fence nobody drains: no window would be aborted.
            Kind::Drain => self.fences || spot != Spot::Window,
            _ => true,
        }
    }
}

/// The cells of sweep number `sweep`: every other one of all, and those between in the next.
pub(crate) fn cells(means: Means, sweep: u32) -> Vec<Cell> {
    let operations: &[Operation] = if means.leased { &LEASED } else { &SECTIONS };
    let mut cells = Vec::new();
    let mut number = 0;
    for &operation in operations {
        let inside = operation.inside.len() as u16;
        for place in 0..=AFTER {
            let spot = match place {
                0 | AFTER => Spot::Plain,
                UNARMED if !means.leased => Spot::Unarmed,
                place if place > inside => continue,
                _ if means.leased => Spot::Plain,
                _ => Spot::Window,
            };
            for &kind in spot.kinds() {
                number += 1;
                // The shortest runs have each cell once for each source, on one CPU or on all.
                let is_next = (number + sweep + u32::from(means.pinned)).is_multiple_of(2);
                if (is_next && kind != Kind::Preempt) || !means.allow(kind, spot) {
                    continue;
                }
                let every = 1 + (number + sweep) % 3;
                cells.push(Cell { operation, place, spot, kind, every, quota: 1 + sweep });
            }
        }
    }
    cells
}

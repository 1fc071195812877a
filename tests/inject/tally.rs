//! What became of the threads that were held up, added up by kind.

use crate::cells::{Cell, Kind, Means, Spot};
use cidalloc_tests::reliability;

/// Of one thread in one cell, and sums of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Times that a thread was held up.
    pub(crate) held: u64,
    /// Of these within a window, those that were aborted.
    pub(crate) aborted: u64,
    /// And those that went on when they had waited long enough.
    pub(crate) passed: u64,
    /// Shards that were drained meanwhile.
    pub(crate) drains: u64,
}

impl Outcome {
    pub(crate) fn add(&mut self, other: Self) {
        self.held += other.held;
        self.aborted += other.aborted;
        self.passed += other.passed;
        self.drains += other.drains;
    }
}

/// Of one kind at the points of one spot.
#[derive(Debug)]
struct Row {
    kind: Kind,
    spot: Spot,
    cells: u64,
    sum: Outcome,
}

/// The rows of a run.
#[derive(Debug, Default)]
pub(crate) struct Tally(Vec<Row>);

impl Tally {
    pub(crate) fn add(&mut self, &Cell { kind, spot, .. }: &Cell, outcome: Outcome) {
        match self.0.iter_mut().find(|row| row.kind == kind && row.spot == spot) {
            Some(row) => {
                row.cells += 1;
                row.sum.add(outcome);
            }
            None => self.0.push(Row { kind, spot, cells: 1, sum: outcome }),
        }
    }

    pub(crate) fn print(&self, source: &str, means: Means) {
        let cpus = if means.pinned { "threads of one CPU" } else { "threads of all CPUs" };
        for &Row { kind, spot, cells, sum: Outcome { held, aborted, passed, drains } } in &self.0 {
            let fault =
                format!("{} {}, {cpus}, cid={source}", kind.name(), spot.words(means.leased));
            let windows = match spot {
                Spot::Window => format!("{aborted} windows aborted, {passed} went on; "),
                _ => String::new(),
            };
            let drains = match kind {
                Kind::Drain => format!("{drains} shards drained; "),
                _ => String::new(),
            };
            let outcome =
                format!("{windows}{drains}nothing lost, nothing twice after any of {cells} cells");
            reliability::line("injection", &fault, kind.how(spot), held, &outcome);
        }
    }
}

//! What became of the threads that were held up, added up by kind.

use crate::cells::{Cell, Kind};
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
}

impl Outcome {
    pub(crate) fn add(&mut self, other: Self) {
        self.held += other.held;
        self.aborted += other.aborted;
        self.passed += other.passed;
    }
}

/// A row for each kind, within windows and in plain code.
#[derive(Debug, Default)]
pub(crate) struct Tally(Vec<(Kind, bool, u64, Outcome)>);

impl Tally {
    pub(crate) fn add(&mut self, cell: &Cell, outcome: Outcome) {
        let same = |row: &&mut (Kind, bool, _, _)| row.0 == cell.kind && row.1 == cell.in_window;
        match self.0.iter_mut().find(same) {
            Some((_, _, cells, sum)) => {
                *cells += 1;
                sum.add(outcome);
            }
            None => self.0.push((cell.kind, cell.in_window, 1, outcome)),
        }
    }

    pub(crate) fn print(&self, source: &str, pinned: bool) {
        let cpus = if pinned { "threads of one CPU" } else { "threads of all CPUs" };
        for &(kind, in_window, cells, Outcome { held, aborted, passed }) in &self.0 {
            let (name, in_windows, in_plain_code) = kind.words();
            let (place, how) = match (in_window, source) {
                (true, _) => ("within windows", in_windows),
                (false, "emulated") => ("within and around operations under leases", in_plain_code),
                (false, _) => ("before and after sections", in_plain_code),
            };
            let fault = format!("{name} {place}, {cpus}, cid={source}");
            let windows = if in_window {
                format!("{aborted} windows aborted, {passed} went on; ")
            } else {
                String::new()
            };
            let outcome = format!("{windows}nothing lost, nothing twice in any of {cells} cells");
            reliability::line("injection", &fault, how, held, &outcome);
        }
    }
}

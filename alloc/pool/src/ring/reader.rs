//! Who takes records out of the rings.
//!
//! ```text
//!  drain:  each copy ─► snapshot, tail = head ─► records of all copies in time order ─► the caller
//!
//!  read_by   0 ──► this process ──► 0        a reader is made; it is dropped
//!            an ancestor ──► this process    a reader is made in a child of `fork`, or one that it
//!                                            inherited drains: whichever comes first
//! ```

use super::{Record, Ring, Snapshot};
use crate::fork;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// There is no reader.
pub(super) const NOBODY: u32 = 0;

/// What a ring is read by, if its reader is of this process.
fn this_process() -> u32 {
    fork::generation().wrapping_add(1)
}

/// The one reader of a [`Ring`]; there may be another one when it is dropped.
#[derive(Debug)]
pub struct Reader<'a> {
    ring: &'a Ring,
    snapshot: Snapshot,
    /// What it left in the ring.
    process: u32,
}

/// What came of [`Reader::drain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Records that the caller got.
    pub records: u64,
    /// Records that were overwritten, as far as it is known: before the first of these, and after the
    /// last one that a reader got earlier.
    pub lost: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(ring: &'a Ring) -> Option<Self> {
        let process = this_process();
        // Of an ancestor: its thread is not here, or has not drained here.
        let claim = |now| (now != process).then_some(process);
        ring.read_by.try_update(Acquire, Relaxed, claim).ok()?;
        Some(Self { ring, snapshot: Snapshot::new(ring), process })
    }

    /// Whether it is the ring's reader; one that a child inherited may become so now.
    fn is_it(&mut self) -> bool {
        let process = this_process();
        if self.process != process {
            let claim = self.ring.read_by.compare_exchange(self.process, process, Acquire, Relaxed);
            if claim.is_err() {
                return false;
            }
            self.process = process;
        }
        true
    }

    /// Takes out all records that are there now, and calls `look` with each, the earliest one first.
    /// Those that are appended meanwhile come the next time, and may be earlier than the last of these.
    pub fn drain(&mut self, mut look: impl FnMut(Record<'_>)) -> Drained {
        if !self.is_it() {
            return Drained::default();
        }
        self.snapshot.fill(self.ring, true);
        let mut drained = Drained { records: 0, lost: self.snapshot.lost() };
        for record in self.snapshot.records() {
            drained.records += 1;
            look(record);
        }
        drained
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        // In a child there may be another one by now.
        let _ = self.ring.read_by.compare_exchange(self.process, NOBODY, Release, Relaxed);
    }
}

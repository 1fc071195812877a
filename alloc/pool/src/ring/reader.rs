//! Who takes records out of the rings.
//!
//! ```text
//!  drain:  each copy ─► snapshot, tail = head ─► records of all copies in time order ─► the caller
//! ```

use super::{Record, Ring, Snapshot};
use core::sync::atomic::Ordering::Release;

/// The one reader of a [`Ring`]; there may be another one when it is dropped.
#[derive(Debug)]
pub struct Reader<'a> {
    ring: &'a Ring,
    snapshot: Snapshot,
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
    pub(super) fn new(ring: &'a Ring) -> Self {
        Self { ring, snapshot: Snapshot::new(ring) }
    }

    /// Takes out all records that are there now, and calls `look` with each, the earliest one first.
    /// Those that are appended meanwhile come the next time.
    pub fn drain(&mut self, mut look: impl FnMut(Record<'_>)) -> Drained {
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
        self.ring.is_read.store(false, Release);
    }
}

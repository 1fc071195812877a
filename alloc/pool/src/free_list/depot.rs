//! Batches of addresses that wait for whichever cid needs them first.
//!
//! ```text
//!   batches   0        1        2        3              full     0 1 0 0
//!           ┌──────┐ ┌──────┐ ┌──────┐ ┌──────┐         partial  0 0 1 0
//!           │ ·    │ │ a b c│ │ d    │ │      │         vacant   0 0 0 1
//!           └──────┘ └──────┘ └──────┘ └──────┘         batch 0 is in somebody's hands
//! ```
//!
//! BIT-IS-BATCH: a batch is nobody's while one of its three bits is set, and whoever clears that bit has
//! it alone, until they set one of the three. Nobody waits: a batch in somebody's hands is just not
//! there. So it is for signal handlers too, and allocates nothing. A child of `fork` has not the
//! batches that other threads had in hands: what was in them is lost to it.

use core::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// Batches of one depot: bits of a word.
pub(super) const BATCHES_MAX: usize = u64::BITS as usize;

#[derive(Debug)]
pub(super) struct Depot {
    full: AtomicU64,
    partial: AtomicU64,
    vacant: AtomicU64,
    lengths: Box<[AtomicUsize]>,
    addresses: Box<[AtomicU64]>,
    batch: usize,
}

impl Depot {
    /// For `batches` of `batch` addresses each.
    pub(super) fn new(batches: usize, batch: usize) -> Self {
        let batches = batches.min(BATCHES_MAX);
        let vacant = if batches == BATCHES_MAX { u64::MAX } else { (1 << batches) - 1 };
        Self {
            full: AtomicU64::new(0),
            partial: AtomicU64::new(0),
            vacant: AtomicU64::new(vacant),
            lengths: (0..batches).map(|_| AtomicUsize::new(0)).collect(),
            addresses: (0..batches * batch).map(|_| AtomicU64::new(0)).collect(),
            batch,
        }
    }

    /// A batch with as much in it as there is.
    pub(super) fn fullest(&self) -> Option<Batch<'_>> {
        self.claim(&self.full).or_else(|| self.claim(&self.partial))
    }
    /// A batch with something in it, not a full one if there is another.
    pub(super) fn begun(&self) -> Option<Batch<'_>> {
        self.claim(&self.partial).or_else(|| self.claim(&self.full))
    }
    /// A batch with room, not a vacant one if there is another.
    pub(super) fn roomy(&self) -> Option<Batch<'_>> {
        self.claim(&self.partial).or_else(|| self.vacant())
    }
    /// A batch with nothing in it.
    pub(super) fn vacant(&self) -> Option<Batch<'_>> {
        self.claim(&self.vacant)
    }

    /// Addresses that a batch has room for.
    pub(super) fn batch_len(&self) -> usize {
        self.batch
    }

    fn claim(&self, bits: &AtomicU64) -> Option<Batch<'_>> {
        let without_lowest = |bits: u64| (bits != 0).then(|| bits & (bits - 1));
        let before = bits.try_update(Acquire, Relaxed, without_lowest).ok()?;
        Some(Batch { depot: self, index: before.trailing_zeros() as usize })
    }

    /// How many addresses are in it, but for those in somebody's hands.
    pub(super) fn len(&self) -> usize {
        let occupied = self.full.load(Acquire) | self.partial.load(Acquire);
        let is_occupied = |index: &usize| occupied >> index & 1 == 1;
        (0..self.lengths.len()).filter(is_occupied).map(|i| self.lengths[i].load(Relaxed)).sum()
    }
}

/// A batch that is the caller's alone, until it is dropped.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    depot: &'a Depot,
    index: usize,
}

impl Batch<'_> {
    fn length(&self) -> &AtomicUsize {
        &self.depot.lengths[self.index]
    }
    pub(super) fn len(&self) -> usize {
        self.length().load(Relaxed)
    }

    /// The addresses in it.
    pub(super) fn addresses(&self) -> &[AtomicU64] {
        let begin = self.index * self.depot.batch;
        &self.depot.addresses[begin..begin + self.len()]
    }

    /// Adds an address, if there is room.
    pub(super) fn push(&self, address: u64) -> bool {
        let length = self.len();
        if length == self.depot.batch {
            return false;
        }
        self.depot.addresses[self.index * self.depot.batch + length].store(address, Relaxed);
        self.length().store(length + 1, Relaxed);
        true
    }

    pub(super) fn pop(&self) -> Option<u64> {
        let last = self.addresses().last()?.load(Relaxed);
        self.forget(1);
        Some(last)
    }

    /// Takes the last `count` addresses out.
    pub(super) fn forget(&self, count: usize) {
        self.length().store(self.len() - count, Relaxed);
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let depot = self.depot;
        let bits = match self.len() {
            0 => &depot.vacant,
            length if length == depot.batch => &depot.full,
            _ => &depot.partial,
        };
        // Release: who claims it next sees what is in it.
        bits.fetch_or(1 << self.index, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_claimed_once_and_comes_back_by_what_is_in_it() {
        let depot = Depot::new(2, 3);
        assert!(depot.fullest().is_none() && depot.begun().is_none());
        let first = depot.vacant().unwrap();
        let second = depot.vacant().unwrap();
        assert!(depot.vacant().is_none());
        assert!(first.push(7) && first.push(8) && first.push(9) && !first.push(10));
        drop((first, second));
        assert_eq!(depot.len(), 3);
        let batch = depot.fullest().unwrap();
        assert!(depot.begun().is_none());
        assert_eq!(batch.pop(), Some(9));
        batch.forget(2);
        assert_eq!(batch.pop(), None);
        drop(batch);
        assert!(depot.begun().is_none() && depot.len() == 0);
        assert!(depot.vacant().is_some());
    }

    #[test]
    fn one_at_a_time_fills_batches_one_after_the_other() {
        let depot = Depot::new(3, 2);
        for address in 1..=6 {
            assert!(depot.roomy().is_some_and(|batch| batch.push(address)));
        }
        assert!(depot.roomy().is_none());
        assert_eq!(depot.begun().unwrap().pop(), Some(2), "the lowest one");
        assert_eq!(depot.begun().unwrap().len(), 1, "the one that was begun");
        assert_eq!(depot.fullest().unwrap().len(), 2);
    }

    #[test]
    fn a_depot_has_as_many_batches_as_a_word_has_bits() {
        let depot = Depot::new(BATCHES_MAX + 1, 1);
        let all: Vec<_> = core::iter::from_fn(|| depot.vacant()).collect();
        assert_eq!(all.len(), BATCHES_MAX);
    }
}

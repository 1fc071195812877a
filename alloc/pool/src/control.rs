//! For each cid the few items that it alone hands out, and how others get them back.
//!
//! ```text
//!  copy of a cid    word { closed, group, mask }          closed: nobody but the thief changes it
//!                          ─────────────┬──────
//!                                       └ free items of one group, this cid's alone
//!
//!  take   look ─► compare_store(as it was ► without the item)
//!  give   look ─► compare_store(as it was ► with the item)
//!
//!  thief  words with items: compare-exchange, closed ─► fence ─► still closed? it is the thief's: 0
//!                                                         │      not? a section that began before
//!                                                         │           was faster: it stays
//!                                                         └ no section is left that saw it open
//! ```
//!
//! The closed state is in the word itself: a section that sees any part of a theft sees all of it.
//! (A gate beside the word would be read before or after it, and a section could see the old word
//! and then the gate when it is open again.)
//!
//! A word is compared by its value, and may have been another one in between: equal words are equal
//! sets of items, of which each is free, and this cid's alone. That is all a section needs to know
//! to take one out of it, so that there is nothing that ABA could hurt.

#![allow(unsafe_code)]

use crate::cids::{self, Shape};
use crate::fork::{Fork, Locked};
use crate::group::Group;
use crate::here::settled_copy_number;
use crate::populate::Populate;
use crate::range::{Plan, Range};
use cidalloc::os;
use cidalloc::percid::{self, Cids};
use core::ffi::CStr;
use numa_sys::policy::BindMode;
use rseq_sys::copies::Outcome;
use rseq_sys::sync::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};
use std::io;

/// The control words of one pool.
pub(crate) struct Control {
    _range: Range,
    cids: &'static Cids,
    shape: Shape,
    word: *mut u64,
}

// SAFETY: an owned range; its words are changed in sections, or by atomics.
unsafe impl Send for Control {}
// SAFETY: as above.
unsafe impl Sync for Control {}

/// What came of a change of the current cid's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Made,
    /// The word is another one by now.
    Missed,
    NoCid,
}

/// Set in a word that a thief has closed. Numbers of groups are smaller.
const CLOSED: u64 = 1 << 63;
const LINE: usize = 64;

impl Control {
    pub(crate) fn new(name: &CStr, cids: &'static Cids, bind: BindMode) -> io::Result<Self> {
        let shift = os::page_size().trailing_zeros();
        let shape = Shape { nodes: cids.nodes, cids: cids.cids, shift };
        let plan = Plan { name, shape, populate: Populate::Zero, bind, fork: Fork::Copied };
        let range = Range::map(&plan)?;
        // Not the same cache set for all pools.
        static POOLS: AtomicUsize = AtomicUsize::new(0);
        let line = POOLS.fetch_add(1, Relaxed) % (shape.stride() / LINE);
        let word = range.base().as_ptr().wrapping_add(line * LINE).cast();
        Ok(Self { _range: range, cids, shape, word })
    }

    /// The items of the cid that seems to be the current one; `None` without one, or while they are
    /// being stolen.
    #[inline]
    pub(crate) fn look(&self) -> Option<Group> {
        let word = self.at(settled_copy_number(self.cids)?).load(Relaxed);
        (word & CLOSED == 0).then(|| Group::of(word))
    }

    /// Makes them others, if they are as they were, on whatever cid the thread has now.
    #[inline]
    pub(crate) fn change(&self, from: Group, to: Group) -> Change {
        // SAFETY: the word of copy 0 of our range.
        let outcome = unsafe {
            let (from, to) = (from.word(), to.word());
            cids::compare_store(self.cids, self.shape.shift, self.word, from, to)
        };
        match outcome {
            Outcome::Done(_) => Change::Made,
            Outcome::Differs(_) => Change::Missed,
            Outcome::NoCid => Change::NoCid,
        }
    }

    fn at(&self, copy: usize) -> &AtomicU64 {
        // SAFETY: the word of one of the range's copies.
        unsafe { AtomicU64::from_ptr(self.word.wrapping_byte_add(copy << self.shape.shift)) }
    }

    /// What all cids have, and thieves are about to take.
    #[cfg(cidalloc_model)]
    pub(crate) fn groups(&self) -> impl Iterator<Item = Group> {
        let group = |copy| Group::of(self.at(copy).load(Relaxed) & !CLOSED);
        (0..self.shape.copies()).map(group)
    }

    /// How many items all cids have, at a glance.
    pub(crate) fn cached(&self) -> usize {
        let count = |copy| Group::of(self.at(copy).load(Relaxed)).mask.count_ones() as usize;
        (0..self.shape.copies()).map(count).sum()
    }

    /// Takes what all cids have, and hands it to `put`: nothing when there was no fence.
    pub(crate) fn steal(&self, _: &Locked, mut put: impl FnMut(Group)) {
        let mut is_any_closed = false;
        for word in (0..self.shape.copies()).map(|copy| self.at(copy)) {
            let open = word.load(Relaxed);
            // One without items is not written to: it may be a cid's that nobody ever had.
            if Group::of(open).mask != 0 {
                is_any_closed |=
                    word.compare_exchange(open, open | CLOSED, SeqCst, Relaxed).is_ok();
            }
        }
        if !is_any_closed {
            return;
        }
        // A thread that was preempted inside a lease's operation is not worth it that all pools wait;
        // it may itself be waiting for them, in a handler.
        let is_fenced = percid::fence_within(4);
        for word in (0..self.shape.copies()).map(|copy| self.at(copy)) {
            let closed = word.load(Acquire);
            if closed & CLOSED == 0 {
                continue;
            }
            let group = Group::of(closed & !CLOSED);
            if is_fenced {
                word.store(0, Release);
                put(group);
            } else {
                // A section may still be under way, and write over it, as if nothing had been.
                let _ = word.compare_exchange(closed, group.word(), Release, Relaxed);
            }
        }
    }
}

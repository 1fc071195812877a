//! For each cid the few items that it alone hands out, and how others get them back.
//!
//! ```text
//!  copy of a cid      word { group, mask }    gate
//!                     ──────────┬─────────    0: open; else nobody changes the word but the thief
//!                               └ free items of one group, this cid's alone
//!
//!  take   word ─► compare_two_store(word: as it was ► without the item, gate: open)
//!  give   word ─► compare_two_store(word: as it was ► with the item,    gate: open)
//!
//!  thief  gates = closed ─► fence ─► words are the thief's: 0 ─► gates = open
//!         (no section that saw an open gate is left)
//! ```
//!
//! A word is compared by its value, and may have been another one in between: equal words are equal
//! sets of items, of which each is free, and this cid's alone. That is all a section needs to know
//! to take one out of it, so that there is nothing that ABA could hurt.

#![allow(unsafe_code)]

use crate::cids::{self, Shape};
use crate::fork::{Fork, Locked};
use crate::group::Group;
use crate::populate::Populate;
use crate::range::{Plan, Range};
use cidalloc::os;
use cidalloc::percid::{self, Cids};
use core::ffi::CStr;
use core::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};
use numa_sys::policy::BindMode;
use rseq_sys::copies::Outcome;
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
    /// The word is another one by now, or the gate is closed.
    Missed,
    NoCid,
}

const OPEN: u64 = 0;
const CLOSED: u64 = 1;
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

    fn gate(&self) -> *mut u64 {
        self.word.wrapping_add(1)
    }

    /// The items of the current cid; `None` without one.
    #[inline]
    pub(crate) fn load(&self) -> Option<Group> {
        // SAFETY: the word of copy 0 of our range.
        match unsafe { cids::load(self.cids, self.shape.shift, self.word) } {
            Outcome::Done(word) => Some(Group::of(word)),
            _ => None,
        }
    }

    /// Makes them others, if they are as they were, on whatever cid the thread has now.
    #[inline]
    pub(crate) fn change(&self, from: Group, to: Group) -> Change {
        let (shift, word, gate) = (self.shape.shift, self.word, self.gate());
        // SAFETY: two words of copy 0 of our range.
        let outcome = unsafe {
            cids::compare_two_store(self.cids, shift, word, from.word(), gate, OPEN, to.word())
        };
        match outcome {
            Outcome::Done(_) => Change::Made,
            Outcome::Differs(_) => Change::Missed,
            Outcome::NoCid => Change::NoCid,
        }
    }

    fn at(&self, word: *mut u64, copy: usize) -> &AtomicU64 {
        // SAFETY: a word of one of the range's copies.
        unsafe { AtomicU64::from_ptr(word.wrapping_byte_add(copy << self.shape.shift)) }
    }

    /// How many items all cids have, at a glance.
    pub(crate) fn cached(&self) -> usize {
        (0..self.shape.copies()).map(|copy| self.peek(copy).mask.count_ones() as usize).sum()
    }

    fn peek(&self, copy: usize) -> Group {
        Group::of(self.at(self.word, copy).load(Acquire))
    }

    /// Takes what all cids have, and hands it to `put`. How many items that were: none when the
    /// kernel has no fence.
    pub(crate) fn steal(&self, _: &Locked, mut put: impl FnMut(Group)) -> usize {
        let copies = 0..self.shape.copies();
        // A copy without items is not written to: it may be a cid's that nobody ever had.
        for copy in copies.clone().filter(|&copy| self.peek(copy).mask != 0) {
            self.at(self.gate(), copy).store(CLOSED, SeqCst);
        }
        let is_fenced = percid::fence();
        let mut count = 0;
        for copy in copies.filter(|&copy| self.at(self.gate(), copy).load(Relaxed) == CLOSED) {
            let word = self.at(self.word, copy);
            let group = Group::of(word.load(Acquire));
            if is_fenced && group.mask != 0 {
                word.store(0, Relaxed);
                count += group.mask.count_ones() as usize;
                put(group);
            }
            self.at(self.gate(), copy).store(OPEN, Release);
        }
        count
    }
}

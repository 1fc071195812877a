//! What all copies of an item hold: made so when it is allocated, poisoned when it is free.
//!
//! ```text
//!  fill     image first, where there is one ► faults under way are over ► each copy that differs
//!  poison   each copy that is not as if it had never been written
//!  check    each copy: all poison, or all as if it had never been written
//! ```
//!
//! Words are compared before they are written: what is as it should be is not made resident. All
//! accesses are atomic, word by word: the item is the caller's, but what copies of other items do to
//! the page is not.

#![allow(unsafe_code)]

use crate::group::Index;
use crate::range::Range;
use crate::robust::{self, POISON};
use crate::shared::Shared;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The word number `index` of `value`, which is zero behind its end.
fn word_of(value: &[u8], index: usize) -> u64 {
    let rest = value.get(index * 8..).unwrap_or_default();
    let mut bytes = [0; 8];
    let len = rest.len().min(8);
    bytes[..len].copy_from_slice(&rest[..len]);
    u64::from_ne_bytes(bytes)
}

impl Shared {
    /// The word of `copy` at `offset` in the range.
    fn word(&self, range: &Range, copy: usize, offset: usize) -> &AtomicU64 {
        let at = range.base().as_ptr().wrapping_add((copy << self.items.shape.shift) + offset);
        // SAFETY: an aligned word of a copy of the range, which the caller's item keeps there.
        unsafe { AtomicU64::from_ptr(at.cast()) }
    }

    fn range_and_offset(&self, item: Index) -> (&Range, usize) {
        // SAFETY: the item is the caller's.
        let range = unsafe { self.items.range(self.items.slot_of(item)) };
        (range, self.items.offset_of(item))
    }

    /// Makes every copy of the caller's item `value`, and zero behind it.
    pub(crate) fn fill(&self, item: Index, value: &[u8]) {
        let (range, offset) = self.range_and_offset(item);
        let words = self.items.len / 8;
        let is_fresh = !self.items.is_recycled(item);
        let is_as_at_first = match &range.image {
            None => value.iter().all(|&byte| byte == 0),
            Some(image) => {
                let changed = image.write(offset, (0..words).map(|word| word_of(value, word)));
                if changed == Some(true) {
                    range.settle_faults();
                }
                changed == Some(false)
            }
        };
        if is_fresh && is_as_at_first {
            return;
        }
        for copy in 0..self.items.shape.copies() {
            for index in 0..words {
                let (word, new) =
                    (self.word(range, copy, offset + index * 8), word_of(value, index));
                if word.load(Relaxed) != new {
                    word.store(new, Relaxed);
                }
            }
        }
    }

    /// Whether `copy` of the item is as if it had never been written.
    fn is_untouched(&self, range: &Range, copy: usize, offset: usize) -> bool {
        (0..self.items.len).step_by(8).map(|at| offset + at).all(|at| {
            let initial = range.image.as_ref().map_or(0, |image| image.word(at));
            self.word(range, copy, at).load(Relaxed) == initial
        })
    }

    /// Poisons what was written of an item that is about to be free.
    pub(crate) fn poison(&self, item: Index) {
        let (range, offset) = self.range_and_offset(item);
        for copy in 0..self.items.shape.copies() {
            if !self.is_untouched(range, copy, offset) {
                for at in (0..self.items.len).step_by(8) {
                    self.word(range, copy, offset + at).store(POISON, Relaxed);
                }
            }
        }
    }

    /// Ends the process if somebody wrote to an item while it was free.
    pub(crate) fn check_poison(&self, item: Index) {
        let (range, offset) = self.range_and_offset(item);
        for copy in 0..self.items.shape.copies() {
            let is_poison = (0..self.items.len)
                .step_by(8)
                .all(|at| self.word(range, copy, offset + at).load(Relaxed) == POISON);
            if !is_poison && !self.is_untouched(range, copy, offset) {
                let address = range.base().as_ptr().addr() + offset;
                robust::write_after_free(self.name(), address, self.items.shape.place(copy));
            }
        }
    }
}

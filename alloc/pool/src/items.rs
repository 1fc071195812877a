//! Which items there are, which are free, and to which range an address belongs.
//!
//! ```text
//!  slots   ┌ base, range ┬ base, range ┬ …        one for each range that there may be
//!  table   base, slot + 1 in a word                open addressing by a hash of the base; written
//!                                                  under the lock
//!  free    ┌── 64 bits ──┬─────────────┬ …         a bit for each item, all ranges in one line:
//!          └ group ┴ group ┘                       half a word is a group, numbered from 0
//!  recycled, live                                  a bit each: was free before; is allocated
//! ```
//!
//! All of it lies in one mapping, which is as large as the most ranges need, and resident where there
//! are some. So nothing here is ever freed while somebody looks: a range that was given back has no
//! free bits and no base, and its slot goes to another.
//!
//! A bit is set in one place at a time: `free`, or a cid's [`Group`] of items that it alone hands out.
//! Who clears a bit with an atomic has the item.

#![allow(unsafe_code)]

use crate::cids::Shape;
use crate::group::{Group, Index};
use crate::range::Range;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use memmap2::{MmapOptions, MmapRaw};
use rseq_sys::sync::{
    AtomicBool, AtomicPtr, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
    fence,
};
use std::io;

struct Slot {
    base: AtomicPtr<u8>,
    /// There while there is a base; changed under the lock, or when nobody else has the pool.
    range: UnsafeCell<MaybeUninit<Range>>,
}

/// The books of one pool.
pub(crate) struct Items {
    _map: MmapRaw,
    slots: *const Slot,
    table: *const AtomicU64,
    table_mask: usize,
    bits: *const AtomicU64,
    ranges_max: usize,
    /// Slots that were ever in use: all bits of later ones are clear.
    used: AtomicUsize,
    /// Slots before it have ranges; changed under the lock alone.
    vacant_from: AtomicUsize,
    /// Nobody has put a bit since a search that found none.
    is_exhausted: AtomicBool,
    /// A word that had free bits lately.
    hint: AtomicUsize,
    pub(crate) shape: Shape,
    /// Bytes from one item to the next.
    pub(crate) len: usize,
    /// Items per range.
    pub(crate) per_range: usize,
    words_per_range: usize,
    /// Of the bits of one kind.
    words: usize,
    /// 2⁶⁴ / len, rounded up: a multiplication instead of a division in each free.
    reciprocal: u64,
    /// The same of the numbers that a slot has: in each allocation.
    slot_reciprocal: u64,
}

// SAFETY: the mapping is owned; what it holds are atomics, and ranges that the lock guards.
unsafe impl Send for Items {}
// SAFETY: as above.
unsafe impl Sync for Items {}

/// An entry of the table whose range was given back: of a slot that there cannot be.
const TOMBSTONE: u64 = u64::MAX;
/// Bits of a table's entry for the slot, below those of the base's address that are not always 0.
const SLOT_BITS: u32 = 28;
const ADDRESS_BITS: u32 = 48;
const LEAST_STRIDE_BITS: u32 = 12;
const _: () = assert!(ADDRESS_BITS - LEAST_STRIDE_BITS + SLOT_BITS == u64::BITS);

/// The entry of the range that begins at `base`.
fn entry_of(base: usize, slot: usize) -> u64 {
    (base as u64) << (SLOT_BITS - LEAST_STRIDE_BITS) | (slot as u64 + 1)
}

/// 2⁶⁴ / `n`, rounded up.
fn reciprocal(n: usize) -> u64 {
    (u64::MAX / n as u64).wrapping_add(1)
}

/// The slot in an entry, if the range in it begins at `base`.
#[inline]
fn slot_in(entry: u64, base: usize) -> Option<usize> {
    let rest = entry ^ (base as u64) << (SLOT_BITS - LEAST_STRIDE_BITS);
    let is_slot = (1..TOMBSTONE & ((1 << SLOT_BITS) - 1)).contains(&rest);
    (is_slot && base >> ADDRESS_BITS == 0).then(|| rest as usize - 1)
}

/// Which of the three bits of an item.
#[derive(Clone, Copy)]
enum Kind {
    Free,
    Recycled,
    Live,
}

/// Why an address is no item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoItem {
    Foreign,
    Interior,
}

impl Items {
    /// Books for `ranges_max` ranges of items of `len` bytes; `None` for more than have numbers.
    pub(crate) fn new(shape: Shape, len: usize, ranges_max: usize) -> Option<io::Result<Self>> {
        let per_range = shape.stride() / len;
        let words_per_range = per_range.div_ceil(64);
        let words = words_per_range.checked_mul(ranges_max)?;
        // Numbers of items are u32.
        if words > (u32::MAX / 64) as usize {
            return None;
        }
        let table_len = (2 * ranges_max).next_power_of_two();
        let slots_bytes = ranges_max * size_of::<Slot>();
        let bits_bytes = words * 3 * 8;
        let map = MmapOptions::new()
            .len(slots_bytes + bits_bytes + table_len * 8)
            .no_reserve_swap()
            .map_anon();
        let map = match map {
            Ok(map) => MmapRaw::from(map),
            Err(error) => return Some(Err(error)),
        };
        let start = map.as_mut_ptr();
        Some(Ok(Self {
            slots: start.cast(),
            bits: start.wrapping_add(slots_bytes).cast(),
            table: start.wrapping_add(slots_bytes + bits_bytes).cast(),
            table_mask: table_len - 1,
            _map: map,
            ranges_max,
            used: AtomicUsize::new(0),
            vacant_from: AtomicUsize::new(0),
            is_exhausted: AtomicBool::new(false),
            hint: AtomicUsize::new(0),
            shape,
            len,
            per_range,
            words_per_range,
            words,
            reciprocal: reciprocal(len),
            slot_reciprocal: reciprocal(words_per_range * 64),
        }))
    }

    fn slot(&self, slot: usize) -> &Slot {
        debug_assert!(slot < self.ranges_max);
        // SAFETY: within the mapping, which is zero at first: a null base, and no range.
        unsafe { &*self.slots.add(slot) }
    }
    fn word(&self, kind: Kind, word: usize) -> &AtomicU64 {
        debug_assert!(word < self.words);
        // SAFETY: within the mapping.
        unsafe { &*self.bits.add(kind as usize * self.words + word) }
    }
    fn entry(&self, index: usize) -> &AtomicU64 {
        // SAFETY: within the mapping.
        unsafe { &*self.table.add(index & self.table_mask) }
    }

    fn hash(&self, base: usize) -> usize {
        // Fibonacci hashing: bases are multiples of the stride, often neighbours.
        let mixed = ((base >> self.shape.shift) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as usize
    }

    /// Slots that ranges may be in.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Acquire)
    }
    pub(crate) fn ranges_max(&self) -> usize {
        self.ranges_max
    }
    /// Where the range in `slot` begins, if there is one.
    pub(crate) fn base(&self, slot: usize) -> Option<NonNull<u8>> {
        NonNull::new(self.slot(slot).base.load(Acquire))
    }
    /// The range in `slot`.
    ///
    /// # Safety
    /// It is there, and stays so: one of its items is the caller's, or the lock is.
    pub(crate) unsafe fn range(&self, slot: usize) -> &Range {
        // SAFETY: by the caller's promise.
        unsafe { (*self.slot(slot).range.get()).assume_init_ref() }
    }

    #[inline]
    pub(crate) fn slot_of(&self, item: Index) -> usize {
        // Exact, as items have numbers of 32 bits.
        ((u128::from(item.0) * u128::from(self.slot_reciprocal)) >> 64) as usize
    }
    /// The offset of an item in its range's copies.
    #[inline]
    pub(crate) fn offset_of(&self, item: Index) -> usize {
        (item.0 as usize - self.slot_of(item) * self.words_per_range * 64) * self.len
    }

    /// The address of `item` in copy 0.
    ///
    /// # Safety
    /// The item is the caller's, so that its range is there.
    pub(crate) unsafe fn address(&self, item: Index) -> NonNull<u8> {
        let base = self.slot(self.slot_of(item)).base.load(Relaxed);
        // SAFETY: a range has a base, and the item lies in its copy 0.
        unsafe { NonNull::new_unchecked(base.add(self.offset_of(item))) }
    }

    /// The item at `address` in copy 0.
    #[inline]
    pub(crate) fn locate(&self, address: usize) -> Result<Index, NoItem> {
        let base = address & !(self.shape.stride() - 1);
        let slot = self.find(base).ok_or(NoItem::Foreign)?;
        let offset = (address - base) as u64;
        // Exact for offsets below 2³²: the builder refuses longer strides.
        let index = ((u128::from(offset) * u128::from(self.reciprocal)) >> 64) as u64;
        if index >= self.per_range as u64 || index * self.len as u64 != offset {
            return Err(NoItem::Interior);
        }
        Ok(Index((slot * self.words_per_range * 64) as u32 + index as u32))
    }

    #[inline]
    fn find(&self, base: usize) -> Option<usize> {
        let start = self.hash(base);
        slot_in(self.entry(start).load(Acquire), base).or_else(|| self.find_behind(start, base))
    }

    #[cold]
    fn find_behind(&self, start: usize, base: usize) -> Option<usize> {
        (start..=start + self.table_mask)
            .map(|index| self.entry(index).load(Acquire))
            .take_while(|&entry| entry != 0)
            .find_map(|entry| slot_in(entry, base))
    }

    /// The first slot without a range. Under the lock.
    pub(crate) fn vacant(&self) -> Option<usize> {
        let from = self.vacant_from.load(Relaxed);
        let slot = (from..self.ranges_max).find(|&slot| self.base(slot).is_none());
        self.vacant_from.store(slot.unwrap_or(self.ranges_max), Relaxed);
        slot
    }

    /// Makes the items of `range` allocatable, all but up to `most`, which are the caller's.
    ///
    /// # Safety
    /// The slot is vacant, and the lock is held.
    pub(crate) unsafe fn install(&self, slot: usize, range: Range, most: u32) -> Group {
        let base = range.base();
        // SAFETY: nobody reads what has no base; the lock is the caller's.
        unsafe { (*self.slot(slot).range.get()).write(range) };
        self.slot(slot).base.store(base.as_ptr(), Release);
        let start = self.hash(base.as_ptr().addr());
        // There are twice as many entries as slots, so one is to be had.
        let entry = (0..=self.table_mask)
            .map(|step| self.entry(start + step))
            .find(|entry| matches!(entry.load(Relaxed), 0 | TOMBSTONE));
        if let Some(entry) = entry {
            entry.store(entry_of(base.as_ptr().addr(), slot), Release);
        }
        let first = slot * self.words_per_range;
        let number = 2 * first as u32;
        let mine = Group { number, mask: self.full(0) as u32 }.split(most).0;
        for word in 0..self.words_per_range {
            let taken = if word == 0 { u64::from(mine.mask) } else { 0 };
            self.word(Kind::Recycled, first + word).store(0, Relaxed);
            self.word(Kind::Free, first + word).store(self.full(word) & !taken, Release);
        }
        self.used.fetch_max(slot + 1, Release);
        if self.per_range > mine.mask.count_ones() as usize {
            self.hint.store(first, Relaxed);
            // As in `put`: who searches sees the bits, or this sees the flag.
            fence(SeqCst);
            self.look_again();
        }
        mine
    }

    /// The bits of all items in a range's word number `word`.
    fn full(&self, word: usize) -> u64 {
        match self.per_range - (word * 64).min(self.per_range) {
            64.. => u64::MAX,
            rest => (1 << rest) - 1,
        }
    }

    /// Takes a range out whose items are all free, and nobody's any more. Under the lock.
    pub(crate) fn retire(&self, slot: usize) -> Option<Range> {
        self.base(slot)?;
        let first = slot * self.words_per_range;
        for word in 0..self.words_per_range {
            let (bits, full) = (self.word(Kind::Free, first + word), self.full(word));
            if bits.compare_exchange(full, 0, AcqRel, Relaxed).is_err() {
                for undone in 0..word {
                    self.word(Kind::Free, first + undone).fetch_or(self.full(undone), Release);
                }
                fence(SeqCst);
                self.look_again();
                return None;
            }
        }
        Some(self.take_out(slot))
    }

    /// Takes the range out of `slot`, where there is one. Under the lock, or when nobody else has the pool;
    /// nobody has its items.
    pub(crate) fn take_out(&self, slot: usize) -> Range {
        let base = self.slot(slot).base.swap(core::ptr::null_mut(), AcqRel);
        let start = self.hash(base.addr());
        let at = (start..=start + self.table_mask)
            .find(|&at| self.entry(at).load(Relaxed) == entry_of(base.addr(), slot));
        if let Some(at) = at {
            self.bury(at);
        }
        self.vacant_from.fetch_min(slot, Relaxed);
        // SAFETY: a slot with a base has a range, which nobody reads without an item, or the lock.
        unsafe { (*self.slot(slot).range.get()).assume_init_read() }
    }

    /// Takes an entry out of the table. With nothing behind it no search goes on through it, nor through
    /// the tombstones before it: these entries are vacant again, last one first, so that a search that
    /// is under way finds an end or a tombstone. Else a table that ranges come and go in would be full
    /// of them, and each miss go through all of it.
    fn bury(&self, at: usize) {
        self.entry(at).store(TOMBSTONE, Release);
        if self.entry(at + 1).load(Relaxed) != 0 {
            return;
        }
        let mut at = at;
        while self.entry(at).load(Relaxed) == TOMBSTONE {
            self.entry(at).store(0, Release);
            at = at.wrapping_sub(1);
        }
    }

    /// The free items of some group that has any.
    pub(crate) fn take_group(&self) -> Option<Group> {
        self.search(|word, bits| {
            // The half with more of them is the longer way to the next search.
            let low = (bits as u32).count_ones() >= ((bits >> 32) as u32).count_ones();
            let half = if low { u64::from(u32::MAX) } else { !u64::from(u32::MAX) };
            let was = self.word(Kind::Free, word).fetch_and(!half, AcqRel) & half;
            let mask = if low { was as u32 } else { (was >> 32) as u32 };
            (mask != 0).then_some(Group { number: 2 * word as u32 + u32::from(!low), mask })
        })
    }

    /// Up to `most` free items, of one group.
    pub(crate) fn take_some(&self, most: u32) -> Option<Group> {
        self.search(|word, bits| {
            let (low, high) = (bits as u32, (bits >> 32) as u32);
            let number = 2 * word as u32;
            let group = if low != 0 {
                Group { number, mask: low }
            } else {
                Group { number: number + 1, mask: high }
            };
            let wanted = group.split(most).0;
            let wide = wanted.wide();
            let was = self.word(Kind::Free, word).fetch_and(!wide, AcqRel) & wide;
            let mask = (was >> (32 * (wanted.number & 1))) as u32;
            (mask != 0).then_some(Group { mask, ..wanted })
        })
    }

    /// Goes through the words with free bits, from the hint on, until `take` got some. Fails at once
    /// where nothing was found and nothing came since: a pool of many ranges that grows would go
    /// through all of them for each new one.
    fn search(&self, take: impl Fn(usize, u64) -> Option<Group>) -> Option<Group> {
        if self.is_exhausted.load(Relaxed) {
            return None;
        }
        self.scan(&take).or_else(|| {
            // Who puts a bit looks at the flag afterwards, and this looks at the bits after the
            // flag: one of the two sees the other.
            self.is_exhausted.store(true, SeqCst);
            fence(SeqCst);
            let found = self.scan(&take);
            if found.is_some() {
                self.is_exhausted.store(false, Relaxed);
            }
            found
        })
    }

    fn scan(&self, take: impl Fn(usize, u64) -> Option<Group>) -> Option<Group> {
        let words = self.used() * self.words_per_range;
        let start = self.hint.load(Relaxed);
        for word in (start.min(words)..words).chain(0..start.min(words)) {
            // Until there are none: who was slower for some of them may have the others.
            loop {
                let bits = self.word(Kind::Free, word).load(Relaxed);
                if bits == 0 {
                    break;
                }
                if let Some(group) = take(word, bits) {
                    if word != start {
                        self.hint.store(word, Relaxed);
                    }
                    return Some(group);
                }
            }
        }
        None
    }

    /// Forgets that nothing was found: the next search goes through everything.
    pub(crate) fn look_again(&self) {
        self.is_exhausted.store(false, Relaxed);
    }

    /// Makes items free for everybody. False when one of them was.
    pub(crate) fn put(&self, group: Group) -> bool {
        let word = group.number as usize / 2;
        let wide = group.wide();
        let was_allocated = self.word(Kind::Free, word).fetch_or(wide, SeqCst) & wide == 0;
        if self.is_exhausted.load(SeqCst) {
            self.look_again();
        }
        if self.hint.load(Relaxed) != word {
            self.hint.store(word, Relaxed);
        }
        was_allocated
    }

    /// Whether the item was free once before: else it still holds what its range began with.
    pub(crate) fn is_recycled(&self, item: Index) -> bool {
        self.word(Kind::Recycled, item.0 as usize / 64).load(Relaxed) >> (item.0 % 64) & 1 == 1
    }
    /// Notes that the items are used ones.
    pub(crate) fn set_recycled(&self, group: Group) {
        let (word, wide) = (self.word(Kind::Recycled, group.number as usize / 2), group.wide());
        if word.load(Relaxed) & wide != wide {
            word.fetch_or(wide, Relaxed);
        }
    }
    /// Notes that the items are allocated.
    pub(crate) fn set_live(&self, group: Group) {
        self.word(Kind::Live, group.number as usize / 2).fetch_or(group.wide(), Relaxed);
    }
    /// Notes that the item is not allocated any more. False when it was not.
    pub(crate) fn clear_live(&self, item: Index) -> bool {
        let wide = Group::one(item).wide();
        self.word(Kind::Live, item.0 as usize / 64).fetch_and(!wide, AcqRel) & wide != 0
    }
    /// An allocated item, if the pool notes which are.
    pub(crate) fn first_live(&self) -> Option<Index> {
        (0..self.used() * self.words_per_range).find_map(|word| {
            let bits = self.word(Kind::Live, word).load(Relaxed);
            (bits != 0).then(|| Index(word as u32 * 64 + bits.trailing_zeros()))
        })
    }

    /// The items that are free for everybody.
    #[cfg(cidalloc_model)]
    pub(crate) fn free_groups(&self) -> impl Iterator<Item = Group> {
        (0..2 * (self.used() * self.words_per_range) as u32).map(|number| {
            let bits = self.word(Kind::Free, number as usize / 2).load(Relaxed);
            Group { number, mask: (bits >> (32 * (number & 1))) as u32 }
        })
    }
    /// Whether searches fail at once.
    #[cfg(cidalloc_model)]
    pub(crate) fn is_exhausted(&self) -> bool {
        self.is_exhausted.load(Relaxed)
    }

    /// How many items are free for everybody.
    pub(crate) fn free(&self) -> usize {
        self.count(Kind::Free)
    }
    /// How many items are allocated, if the pool notes it.
    pub(crate) fn live(&self) -> usize {
        self.count(Kind::Live)
    }
    fn count(&self, kind: Kind) -> usize {
        (0..self.used() * self.words_per_range)
            .map(|word| self.word(kind, word).load(Relaxed).count_ones() as usize)
            .sum()
    }
    /// How many ranges there are.
    pub(crate) fn ranges(&self) -> usize {
        (0..self.used()).filter(|&slot| self.base(slot).is_some()).count()
    }
}

#[cfg(test)]
#[path = "items_tests.rs"]
mod tests;

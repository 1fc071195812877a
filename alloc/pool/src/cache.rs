//! A small cache per cid, without locks, without order: one slot for each key that may go there.
//!
//! ```text
//!  key ─ hash ─► slot, in the copy of the current cid
//!               ┌─────────┬──────────────────────────┬──────────────────────────┐
//!               │ version │ generation, key, value   │ generation, key, value   │
//!               └────┬────┴──────────────────────────┴──────────────────────────┘
//!                    └── odd: the second entry is the slot's; even: the first one
//!   get: version, entry, version again        insert: one section: if the version is as it was, write
//!        the same? then it was whole                  the other entry, and store the next version
//! ```
//!
//! OTHER-ENTRY: while a slot has a version, only the entry that is not the slot's is written to. So who
//! finds the version as before has loaded an entry that nobody wrote to meanwhile, wherever they
//! loaded it from: a get needs no cid, only a hint which copy is a warm one.
//!
//! Copies do not know of each other. What was inserted under one cid is not there under another, where
//! something else may be for the same key: so it is for what does not change (as what was computed
//! from the key), or goes by [`Cache::clear`], which all copies see.

use crate::block::{Block, NewError};
use crate::cids;
use crate::field::WORD;
use crate::here::{copy_number, settled_copy_number};
use crate::pool::Pool;
use bytemuck::Pod;
use core::marker::PhantomData;
use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};
use rseq_sys::copies::Outcome;

/// Words of the longest entry.
const ENTRY_WORDS_MAX: usize = 64;

/// A direct-mapped cache per cid, from keys to values of plain types. See the [module](self).
///
/// ```
/// use cidpool::{Cache, Pool};
///
/// let pool = Pool::builder(4096).name("squares").build()?;
/// let squares = Cache::<u64, u64>::new(&pool)?;
/// assert_eq!(squares.get_or_insert_with(12, |key| key * key), 144);
/// assert!(squares.get(12).is_none_or(|square| square == 144));
/// squares.clear();
/// assert_eq!(squares.get(12), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Values are loaded word by word, whatever others do meanwhile, so they are plain ones:
///
/// ```compile_fail
/// # let pool = cidpool::Pool::builder(4096).build().unwrap();
/// let names = cidpool::Cache::<u64, String>::new(&pool); // error: `String` is not `Pod`
/// ```
#[derive(Debug)]
pub struct Cache<K: Pod, V: Pod> {
    slots: Block,
    /// How many.
    count: usize,
    /// Of entries that count; 0 is that of slots without one.
    generation: AtomicU64,
    entries: PhantomData<(K, V)>,
}

// SAFETY: keys and values go from thread to thread as values.
#[allow(unsafe_code)]
unsafe impl<K: Pod + Send, V: Pod + Send> Sync for Cache<K, V> {}

#[allow(unsafe_code)]
impl<K: Pod, V: Pod> Cache<K, V> {
    const KEY_WORDS: usize = size_of::<K>().div_ceil(WORD);
    const ENTRY_WORDS: usize = {
        let words = 1 + Self::KEY_WORDS + size_of::<V>().div_ceil(WORD);
        assert!(words <= ENTRY_WORDS_MAX, "a key and its value are 500 bytes at most");
        words
    };
    const SLOT_WORDS: usize = 1 + 2 * Self::ENTRY_WORDS;

    /// Bytes of an item for `slots` slots.
    #[must_use]
    pub const fn item_len(slots: usize) -> usize {
        slots * Self::SLOT_WORDS * WORD
    }

    /// Empty, with as many slots per cid as fit into an item of `pool`.
    ///
    /// # Errors
    /// As [`PerCid::new`](crate::PerCid::new); an item must have room for a slot.
    pub fn new(pool: &Pool) -> Result<Self, NewError> {
        let slots = Block::zeroed(pool, Self::SLOT_WORDS)?;
        let count = slots.words() / Self::SLOT_WORDS;
        Ok(Self { slots, count, generation: AtomicU64::new(1), entries: PhantomData })
    }

    /// Slots of each cid.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.count
    }

    /// The first word of the slot of a key.
    #[inline]
    fn slot_of(&self, key: &[u64]) -> usize {
        let mut hash = 0u64;
        for &word in key {
            // Folded multiplication by an odd number without a pattern: high bits are of all of them.
            let product = u128::from(hash ^ word) * 0x9e37_79b9_7f4a_7c15;
            hash = (product as u64) ^ (product >> 64) as u64;
        }
        let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((u128::from(mixed) * self.count as u128) >> u64::BITS) as usize * Self::SLOT_WORDS
    }

    /// What is cached for `key` under the current cid.
    #[inline]
    #[must_use]
    pub fn get(&self, key: K) -> Option<V> {
        self.get_of(self.generation.load(Acquire), key)
    }

    #[inline]
    fn get_of(&self, generation: u64, key: K) -> Option<V> {
        let mut buffer = [0; ENTRY_WORDS_MAX];
        let words = words_of(&key, &mut buffer);
        let slot = self.slot_of(words);
        let copy = self.slots.copy(copy_number(self.slots.cids())?);
        let version = copy[slot].load(Acquire);
        let entry = &copy[slot + Self::entry(version)..][..Self::ENTRY_WORDS];
        let is_it = entry[0].load(Relaxed) == generation
            && words.iter().zip(&entry[1..]).all(|(&word, at)| at.load(Relaxed) == word);
        if !is_it {
            return None;
        }
        let mut value = V::zeroed();
        for (to, from) in
            bytemuck::bytes_of_mut(&mut value).chunks_mut(WORD).zip(&entry[1 + Self::KEY_WORDS..])
        {
            to.copy_from_slice(&from.load(Relaxed).to_ne_bytes()[..to.len()]);
        }
        // Pairs with the commits of sections: what a loaded word was overwritten by was written after a
        // version that we see now.
        fence(Acquire);
        (copy[slot].load(Relaxed) == version).then_some(value)
    }

    /// Where the entry that is a slot's begins, from the slot on.
    #[inline]
    fn entry(version: u64) -> usize {
        1 + (version & 1) as usize * Self::ENTRY_WORDS
    }

    /// Caches `value` for `key` under the current cid; false if it did not come to that.
    pub fn insert(&self, key: K, value: V) -> bool {
        self.insert_of(self.generation.load(Acquire), key, value)
    }

    fn insert_of(&self, generation: u64, key: K, value: V) -> bool {
        let mut entry = [0; ENTRY_WORDS_MAX];
        entry[0] = generation;
        let slot = self.slot_of(words_of(&key, &mut entry[1..]));
        words_of(&value, &mut entry[1 + Self::KEY_WORDS..]);
        let (cids, shift) = (self.slots.cids(), self.slots.shift());
        let Some(here) = settled_copy_number(cids) else { return false };
        let version = self.slots.copy(here)[slot].load(Acquire);
        let next = version.wrapping_add(1);
        let to = self.slots.word(slot + Self::entry(next)).cast();
        let (from, bytes) = (entry.as_ptr().cast(), Self::ENTRY_WORDS * WORD);
        // SAFETY: words of the item, and of the entry; nobody trusts what is written before they see the
        // next version (OTHER-ENTRY).
        let outcome = unsafe {
            let version_at = self.slots.word(slot);
            cids::compare_copy_store(cids, shift, version_at, version, next, to, from, bytes)
        };
        matches!(outcome, Outcome::Done(_))
    }

    /// What is cached for `key`, or what `make` makes of it, which is cached then: unless all was
    /// cleared meanwhile.
    pub fn get_or_insert_with(&self, key: K, make: impl FnOnce(K) -> V) -> V {
        let generation = self.generation.load(Acquire);
        self.get_of(generation, key).unwrap_or_else(|| {
            let value = make(key);
            self.insert_of(generation, key, value);
            value
        })
    }

    /// Forgets all entries, of all cids: a get that begins after it finds nothing that was inserted
    /// before it, nor what [`Self::get_or_insert_with`] had begun to make before it.
    pub fn clear(&self) {
        self.generation.fetch_add(1, Release);
    }
}

/// The bytes of `value` in the first words of `buffer`, the last one filled up with 0; those words.
#[inline]
fn words_of<'a, T: Pod>(value: &T, buffer: &'a mut [u64]) -> &'a [u64] {
    let words = &mut buffer[..size_of::<T>().div_ceil(WORD)];
    for (word, bytes) in words.iter_mut().zip(bytemuck::bytes_of(value).chunks(WORD)) {
        let mut whole = [0; WORD];
        whole[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_ne_bytes(whole);
    }
    words
}

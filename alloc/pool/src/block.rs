//! An item of a pool with an owner: what every structure of this crate is made of.
//!
//! ```text
//!  Block ─┬─► item, in copy 0   ┌───┬───┬───┬───┐  word(i): its address, for sections
//!         ├─► shift, cids       │ 0 │ 1 │ 2 │ … │  for_each: each copy as atomic words
//!         └─► pool, kept alive  └───┴───┴───┴───┘  quiescent: each copy as words, to who has it alone
//! ```
//!
//! ITEM-OWNED: the item is live from the making of the block to its drop, nobody else has it, and
//! its `words` are there in every copy that sections may find, aligned to 8. As long as the block is
//! shared they change by sections and atomics only.

use crate::cids::Place;
use crate::field::WORD;
use crate::pool::{AllocateError, Item, Pool};
use crate::populate::Populate;
use cidalloc::percid::Cids;
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::AtomicU64;

/// Why a structure cannot be in a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NewError {
    /// The pool's items are too short.
    TooShort {
        /// Bytes that the structure takes at least.
        needed: usize,
        /// Of an item.
        item_len: usize,
    },
    /// The pool's items are not aligned as the type has to be.
    Misaligned {
        /// Of the type.
        align: usize,
        /// Of an item: not a multiple of that.
        item_len: usize,
    },
    /// The pool's items have one copy for all cids.
    OneCopy,
    /// The pool begins as an image, and the structure as zero.
    Image,
    /// There is no item to be had.
    Allocate(AllocateError),
}

impl fmt::Display for NewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { needed, item_len } => {
                write!(f, "an item of {item_len} bytes is too short: {needed} are needed")
            }
            Self::Misaligned { align, item_len } => {
                write!(f, "an item of {item_len} bytes is not aligned to {align}")
            }
            Self::OneCopy => f.write_str("the pool's items have one copy for all cids"),
            Self::Image => f.write_str("the pool's items begin as an image, and not as zero"),
            Self::Allocate(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for NewError {}

impl From<AllocateError> for NewError {
    fn from(error: AllocateError) -> Self {
        Self::Allocate(error)
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Block {
    item: Item,
    words: usize,
    shift: u32,
    cids: &'static Cids,
    pool: Pool,
}

#[allow(unsafe_code)]
impl Block {
    /// An item of `pool`, zero in all copies, as long as the pool's items are: `words` at least.
    pub(crate) fn zeroed(pool: &Pool, words: usize) -> Result<Self, NewError> {
        // What a child of `fork` finds there instead, if it is told to, is to be zero as well.
        if pool.0.populate() != Populate::Zero {
            return Err(NewError::Image);
        }
        let all = pool.item_len().div_ceil(WORD);
        Self::of(pool, words.max(all), WORD, Pool::allocate_zeroed)
    }

    /// An item of `pool` aligned to `align`, which begins with `bytes` in all copies.
    pub(crate) fn of_bytes(pool: &Pool, bytes: &[u8], align: usize) -> Result<Self, NewError> {
        let words = bytes.len().div_ceil(WORD);
        if bytes.iter().all(|&byte| byte == 0) {
            return Self::of(pool, words, align, Pool::allocate_zeroed);
        }
        Self::of(pool, words, align, |pool| pool.allocate_init(bytes))
    }

    fn of(
        pool: &Pool,
        words: usize,
        align: usize,
        allocate: impl FnOnce(&Pool) -> Result<Item, AllocateError>,
    ) -> Result<Self, NewError> {
        let item_len = pool.item_len();
        if pool.is_global() {
            return Err(NewError::OneCopy);
        }
        if words * WORD > item_len.next_multiple_of(WORD) {
            return Err(NewError::TooShort { needed: words * WORD, item_len });
        }
        if align > WORD && !item_len.is_multiple_of(align) {
            return Err(NewError::Misaligned { align, item_len });
        }
        let item = allocate(pool)?;
        assert!(
            item.as_ptr().as_ptr().addr().is_multiple_of(align),
            "items of a multiple of it are"
        );
        Ok(Self { item, words, shift: pool.shift(), cids: pool.cids(), pool: pool.clone() })
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }
    /// Whether there are copies: not in a child of `fork` that has not the pool.
    #[inline]
    pub(crate) fn is_usable(&self) -> bool {
        self.pool.0.is_usable()
    }
    /// Words of each copy.
    #[inline(always)]
    pub(crate) fn words(&self) -> usize {
        self.words
    }
    #[inline(always)]
    pub(crate) fn shift(&self) -> u32 {
        self.shift
    }
    #[inline(always)]
    pub(crate) fn cids(&self) -> &'static Cids {
        self.cids
    }
    /// The address of word `index` in copy 0.
    #[inline(always)]
    pub(crate) fn word(&self, index: usize) -> *mut u64 {
        debug_assert!(index < self.words);
        self.item.as_ptr().as_ptr().cast::<u64>().wrapping_add(index)
    }

    /// How many copies there can be.
    pub(crate) fn copies(&self) -> usize {
        self.cids.nodes * self.cids.cids
    }
    /// Whose copy `number` is.
    pub(crate) fn place(&self, number: usize) -> Place {
        Place { node: number / self.cids.cids, cid: number % self.cids.cids }
    }
    /// Which copy is that of `place`, if there can be one.
    pub(crate) fn number(&self, place: Place) -> Option<usize> {
        let is_there = place.node < self.cids.nodes && place.cid < self.cids.cids;
        is_there.then(|| place.node * self.cids.cids + place.cid)
    }

    /// The words of copy `number`.
    ///
    /// # Panics
    /// If there is no such copy.
    #[inline(always)]
    pub(crate) fn copy(&self, number: usize) -> &[AtomicU64] {
        assert!(number < self.copies());
        // SAFETY: words of a copy of a live item (ITEM-OWNED).
        unsafe {
            let copy = self.word(0).wrapping_byte_add(number << self.shift);
            core::slice::from_raw_parts(copy.cast(), self.words)
        }
    }

    /// All copies, for who has the block alone. None where it is not usable.
    pub(crate) fn quiescent(&mut self) -> Quiescent<'_> {
        let copies = if self.is_usable() { self.copies() } else { 0 };
        Quiescent { numbers: 0..copies, block: self, words: PhantomData }
    }
}

#[allow(unsafe_code)]
impl Drop for Block {
    fn drop(&mut self) {
        // In a child that has not the pool there is nothing to free.
        if self.is_usable() {
            // SAFETY: allocated by the block, whose operations are all over, and freed once.
            unsafe { self.pool.free(self.item) };
        }
    }
}

/// The copies of a block that nobody else has.
#[derive(Debug)]
pub(crate) struct Quiescent<'a> {
    numbers: core::ops::Range<usize>,
    block: &'a Block,
    words: PhantomData<&'a mut [u64]>,
}

#[allow(unsafe_code)]
impl<'a> Iterator for Quiescent<'a> {
    type Item = (Place, &'a mut [u64]);

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.numbers.next()?;
        let copy = self.block.word(0).wrapping_byte_add(number << self.block.shift);
        // SAFETY: as in `Block::copy`; the block is borrowed mutably for as long as the words, and no
        // two are of one copy.
        let words = unsafe { core::slice::from_raw_parts_mut(copy, self.block.words) };
        Some((self.block.place(number), words))
    }
}

//! Indices as types, and the only conversions between them.

use crate::config::PAGE_SHIFT;
use crate::size_class::{CLASS, ClassInfo};
use rseq_sys::cs::{CID_BITS, CIDS_PER_NODE};

/// A size class, from 1. See [`crate::size_class`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeClass(pub u8);

impl SizeClass {
    /// The class's constants.
    #[inline(always)]
    #[must_use]
    #[allow(unsafe_code)]
    pub fn info(self) -> &'static ClassInfo {
        debug_assert!((self.0 as usize) < CLASS.len());
        // SAFETY: every SizeClass was made from a table of existing classes.
        unsafe { CLASS.get_unchecked(self.0 as usize) }
    }
    /// As an array index.
    #[inline(always)]
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A page of the region, counted from its base. Page 0 is never used: 0 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageId(pub u32);

impl PageId {
    /// No page.
    pub const NONE: Self = Self(0);
    /// The page at a byte offset in the region.
    #[inline(always)]
    #[must_use]
    pub fn of_offset(offset: usize) -> Self {
        Self((offset >> PAGE_SHIFT) as u32)
    }
    /// Its byte offset in the region.
    #[inline(always)]
    #[must_use]
    pub fn offset(self) -> usize {
        (self.0 as usize) << PAGE_SHIFT
    }
    /// The page `n` further.
    #[inline(always)]
    #[must_use]
    pub fn plus(self, n: u32) -> Self {
        Self(self.0 + n)
    }
}

/// A shard: its index in the table, as the sections compute it. The row is the node and the
/// column the cid; where CPU numbers index shards, both are the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardId(pub u32);

impl ShardId {
    /// Owner of the spans of threads without a cid: no section ever computes it.
    pub const ORPHAN: Self = Self(u32::MAX);
    /// Owner while a span changes hands: nobody's, not even the orphan arena's.
    pub const NOBODY: Self = Self(u32::MAX - 1);

    /// Above all indices: the owner is a group of shards.
    const SHARED: u32 = 1 << 30;

    /// The shard at `row` and `column`.
    #[must_use]
    pub fn new(row: usize, column: usize) -> Self {
        Self((row << CID_BITS | column) as u32)
    }
    /// The owner of the spans that a group shares whose first shard this is: like no index that a
    /// section computes, so that nobody uses their local bitmaps.
    #[must_use]
    pub fn shared(self) -> Self {
        Self(self.0 | Self::SHARED)
    }
    /// Whether a section of some thread may find itself to be the owner.
    #[must_use]
    pub fn has_local_bits(self) -> bool {
        self.0 & Self::SHARED == 0
    }
    /// The shard whose arena has the spans of this owner, which is not ORPHAN.
    #[must_use]
    pub fn of_arena(self) -> Self {
        Self(self.0 & !Self::SHARED)
    }
    /// Its row in the table.
    #[must_use]
    pub fn row(self) -> usize {
        (self.0 >> CID_BITS) as usize
    }
    /// Its column in the table: the cid, or the CPU.
    #[must_use]
    pub fn column(self) -> usize {
        self.0 as usize & (CIDS_PER_NODE - 1)
    }
}

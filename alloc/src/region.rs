//! The region and its metadata: one reservation of address space, committed from the left.
//!
//! ```text
//!  ┌────────┬─────────┬────────────┬────────────┬───────┬───────┬────────┬─────────────────┐
//!  │ page   │ spans   │ bits, 256 B│ bits, 1 KiB│ nodes │ shard │ shards │ region (2 MiB   │
//!  │ map 1 B│ 64 B    │ a page     │ a page     │ 1 B   │ table │        │ aligned)        │
//!  └────────┴─────────┴────────────┴────────────┴───────┴───────┴────────┴─────────────────┘
//!   └── an entry per page of the region ───────┘ └ per extent    committed ─┘   ▲
//!                                                                        `next` ┘
//! ```
//!
//! Pages are handed out to page heaps in ascending order and never come back here. Handing out
//! is lock-free: commit is idempotent, so whoever needs more makes it so, then moves `next`.
//! The first extent is never used, so that page 0 means none and every handed out page has a
//! left neighbour. With several nodes, whole extents are handed out, each to one node for ever.
//! Metadata is committed in step with its pages; only what is written becomes resident.
//!
//! The page map is readable over its whole length from the beginning (zero: not ours), so that
//! any address in the region may be looked up, however wild.
#![allow(unsafe_code)]

use crate::config::{
    EXTENT_PAGES, PAGE, PAGE_SHIFT, REGION_BYTES_MAX, REGION_BYTES_MIN, SHARD_BYTES,
};
use crate::hardened::state;
use crate::ids::{PageId, ShardId, SizeClass};
use crate::os::{self, OutOfMemory};
use crate::span::{Bitmaps, INLINE_WORDS, Span};
use core::ptr::NonNull;
use rseq_sys::cs::CIDS_PER_NODE;
use rseq_sys::sync::{AtomicU8, AtomicU32, Ordering};

/// Bytes of bitmaps per page for classes of at most 1024 objects a span.
pub const BITS_SMALL: usize = 256;
/// Bytes of bitmaps per page for the classes below 64 B.
pub const BITS_TINY: usize = 1024;
/// The page map begins this far into its memory: its lines and those of shard headers, both
/// used by every free, must not meet in the same 4 KiB-aliased sets of the first-level cache.
const PAGE_MAP_SKEW: usize = 2048;
const HUGE: usize = 2 << 20;
const COMMIT_MIN: u32 = (4 << 20 >> PAGE_SHIFT) as u32;
const COMMIT_MAX: u32 = (64 << 20 >> PAGE_SHIFT) as u32;

/// Address space of the heap. Addresses and lengths are constant after [`Region::reserve`].
#[derive(Debug)]
pub struct Region {
    base: *mut u8,
    pages: u32,
    page_map: *mut u8,
    spans: *mut Span,
    bits_small: *mut u8,
    bits_tiny: *mut u8,
    nodes: *mut u8,
    shard_table: *mut *mut u64,
    shard_states: *mut u8,
    shards: *mut u8,
    next: AtomicU32,
    committed: AtomicU32,
}

// SAFETY: the pointers are constants; what they lead to is atomic or has its own rules.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

/// Byte offsets of the parts of a reservation for `bytes` of region.
struct Layout {
    spans: usize,
    bits_small: usize,
    bits_tiny: usize,
    nodes: usize,
    shard_table: usize,
    shards: usize,
    region: usize,
    total: usize,
}

impl Layout {
    fn new(bytes: usize, nodes: usize, shards: usize) -> Self {
        let pages = bytes >> PAGE_SHIFT;
        let round = |n: usize| n.next_multiple_of(PAGE);
        let spans = round(PAGE_MAP_SKEW + pages);
        let bits_small = spans + round(pages * size_of::<Span>());
        let bits_tiny = bits_small + round(pages * BITS_SMALL);
        let nodes_at = bits_tiny + round(pages * BITS_TINY);
        let shard_table = nodes_at + round(pages / EXTENT_PAGES as usize + 1);
        let entry = size_of::<usize>() + size_of::<AtomicU8>();
        let shards_at = shard_table + round(nodes * CIDS_PER_NODE * entry);
        let region = shards_at + shards * SHARD_BYTES;
        Self {
            spans,
            bits_small,
            bits_tiny,
            nodes: nodes_at,
            shard_table,
            shards: shards_at,
            region,
            total: region + bytes + HUGE,
        }
    }
}

/// How large a region to ask for first, in bytes.
fn first_try() -> usize {
    let roomy = os::physical_memory().saturating_mul(16).next_power_of_two();
    let bytes = roomy.clamp(1 << 40, REGION_BYTES_MAX);
    match os::address_space_limit() {
        // The program's stacks, files and libraries need the other half.
        Some(limit) => bytes.min((limit / 2).next_multiple_of(PAGE)),
        None => bytes,
    }
}

/// The page that is the next one.
#[derive(Debug, Clone, Copy)]
pub struct Elsewhere(pub PageId);

impl Region {
    /// Reserves the region with metadata and the address space of `shards` shards.
    ///
    /// # Errors
    /// [`OutOfMemory`] when not even a small one can be had.
    pub fn reserve(nodes: usize, shards: usize) -> Result<Self, OutOfMemory> {
        Self::reserve_at_most(first_try(), nodes, shards)
    }

    /// As [`Self::reserve`], but no more than `bytes`, a multiple of the page.
    ///
    /// # Errors
    /// As [`Self::reserve`].
    pub fn reserve_at_most(
        mut bytes: usize,
        nodes: usize,
        shards: usize,
    ) -> Result<Self, OutOfMemory> {
        loop {
            let layout = Layout::new(bytes, nodes, shards);
            match os::reserve(layout.total) {
                Ok(start) => {
                    return Self::lay_out(start, bytes, nodes, &layout).inspect_err(|_| {
                        // SAFETY: nobody knows of it; the next try reserves anew.
                        unsafe { os::release(start.as_ptr(), layout.total) };
                    });
                }
                Err(OutOfMemory) if bytes / 2 >= REGION_BYTES_MIN => {
                    bytes = (bytes / 2).next_multiple_of(PAGE);
                }
                Err(OutOfMemory) => return Err(OutOfMemory),
            }
        }
    }

    fn lay_out(
        start: NonNull<u8>,
        bytes: usize,
        nodes: usize,
        at: &Layout,
    ) -> Result<Self, OutOfMemory> {
        let start = start.as_ptr();
        let part = |offset: usize| start.wrapping_add(offset);
        let region = part(at.region);
        let base = region.wrapping_add(region.addr().next_multiple_of(HUGE) - region.addr());
        // SAFETY: the whole page map, in the reservation, not written yet.
        unsafe { os::commit_read_only(start, at.spans)? };
        // SAFETY: the whole shard table with the states behind it.
        unsafe { os::commit(part(at.shard_table), at.shards - at.shard_table)? };
        Ok(Self {
            base,
            pages: (bytes >> PAGE_SHIFT) as u32,
            page_map: part(PAGE_MAP_SKEW),
            spans: part(at.spans).cast(),
            bits_small: part(at.bits_small),
            bits_tiny: part(at.bits_tiny),
            nodes: part(at.nodes),
            shard_table: part(at.shard_table).cast(),
            shard_states: part(at.shard_table + nodes * CIDS_PER_NODE * size_of::<usize>()),
            shards: part(at.shards),
            next: AtomicU32::new(EXTENT_PAGES),
            committed: AtomicU32::new(EXTENT_PAGES),
        })
    }

    /// Address of the region.
    #[must_use]
    pub fn base(&self) -> *mut u8 {
        self.base
    }
    /// Length of the region in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        (self.pages as usize) << PAGE_SHIFT
    }
    /// Bytes committed so far, metadata not counted.
    #[must_use]
    pub fn committed_bytes(&self) -> usize {
        ((self.committed.load(Ordering::Relaxed) - EXTENT_PAGES) as usize) << PAGE_SHIFT
    }
    /// The page after the last one handed out.
    #[must_use]
    pub fn end(&self) -> PageId {
        PageId(self.next.load(Ordering::Relaxed))
    }
    /// Where the page map begins, for the fast path.
    #[must_use]
    pub fn page_map(&self) -> *mut u8 {
        self.page_map
    }
    /// The table of shard bases.
    #[must_use]
    pub fn shard_table(&self) -> *mut *mut u64 {
        self.shard_table
    }
    /// The state of the shard with index `id` in the table.
    #[inline]
    #[must_use]
    pub fn shard_state(&self, id: ShardId) -> &AtomicU8 {
        // SAFETY: the table has a state for each id below the nodes' last, all committed.
        unsafe { AtomicU8::from_ptr(self.shard_states.wrapping_add(id.0 as usize)) }
    }
    /// Address space of shard number `slot`.
    #[must_use]
    pub fn shard_memory(&self, slot: usize) -> *mut u8 {
        self.shards.wrapping_add(slot * SHARD_BYTES)
    }

    /// Address of `page`.
    #[inline(always)]
    #[must_use]
    pub fn address(&self, page: PageId) -> *mut u8 {
        self.base.wrapping_add(page.offset())
    }

    /// The node for which `page` was handed out. No node at all (a number beyond the possible
    /// ones) as long as who took the page did not say: it is nobody's neighbour until then.
    #[must_use]
    pub fn node_of(&self, page: PageId) -> usize {
        let extent = (page.0 / EXTENT_PAGES) as usize;
        // SAFETY: the entries of extents handed out are committed.
        let entry = unsafe { AtomicU8::from_ptr(self.nodes.wrapping_add(extent)) };
        entry.load(Ordering::Acquire).wrapping_sub(1).into()
    }

    /// Notes that the whole extents from `page` on are of `node`.
    pub fn set_node(&self, page: PageId, n: u32, node: usize) {
        for extent in page.0 / EXTENT_PAGES..(page.0 + n).div_ceil(EXTENT_PAGES) {
            // SAFETY: as in `node_of`.
            unsafe { AtomicU8::from_ptr(self.nodes.wrapping_add(extent as usize)) }
                .store(node as u8 + 1, Ordering::Release);
        }
    }

    /// Offset of `address` in the region, if it is in it.
    #[inline(always)]
    #[must_use]
    pub fn offset_of(&self, address: usize) -> Option<usize> {
        let offset = address.wrapping_sub(self.base.addr());
        (offset < self.bytes()).then_some(offset)
    }

    /// The descriptor of `page`, which must have been handed out.
    #[inline(always)]
    #[must_use]
    pub fn span(&self, page: PageId) -> &Span {
        debug_assert!(page < self.end() && page != PageId::NONE);
        // SAFETY: descriptors of pages handed out are committed; all their fields are atomic,
        // and zeroed memory is a valid descriptor.
        unsafe { &*self.spans.wrapping_add(page.0 as usize) }
    }

    /// The bitmaps of a span of `class` at `page`, which must have been handed out.
    #[inline(always)]
    #[must_use]
    pub fn bitmaps(&self, page: PageId, class: SizeClass) -> Bitmaps {
        let words = class.info().words as usize;
        let i = page.0 as usize;
        let (memory, apart) = if words <= INLINE_WORDS {
            (self.span(page).inline_words(), INLINE_WORDS)
        } else if words * 16 <= BITS_SMALL {
            (self.bits_small.wrapping_add(i * BITS_SMALL).cast(), BITS_SMALL / 16)
        } else {
            (self.bits_tiny.wrapping_add(i * BITS_TINY).cast(), BITS_TINY / 16)
        };
        // SAFETY: the page's own part of one of three tables, committed since it was handed out.
        unsafe { Bitmaps::new(class, memory, apart) }
    }

    /// The page map's entry for `page`: its class, or what else it is.
    #[must_use]
    pub fn entry(&self, page: PageId) -> u8 {
        debug_assert!(page.0 < self.pages);
        // SAFETY: the map is readable over its whole length; entries are accessed atomically.
        unsafe { AtomicU8::from_ptr(self.page_map.wrapping_add(page.0 as usize)) }
            .load(Ordering::Relaxed)
    }

    /// What the page map says of `address`, and its offset in its page; `None` outside.
    #[inline(always)]
    #[must_use]
    pub fn look_up(&self, address: usize) -> Option<(usize, usize)> {
        let offset = self.offset_of(address)?;
        Some((self.entry(PageId::of_offset(offset)).into(), offset & (PAGE - 1)))
    }

    /// Sets the entries of `n` pages from `page`, which were handed out.
    pub fn set_entries(&self, page: PageId, n: u32, entry: u8) {
        debug_assert!(page.0 + n <= self.end().0);
        for i in page.0..page.0 + n {
            // SAFETY: entries of pages handed out are committed.
            unsafe { AtomicU8::from_ptr(self.page_map.wrapping_add(i as usize)) }
                .store(entry, Ordering::Release);
        }
    }

    /// Offset of `address` among the pages handed out so far, whatever they are now.
    #[must_use]
    pub fn handed_out(&self, address: usize) -> Option<PageId> {
        let page = PageId::of_offset(self.offset_of(address)?);
        (page < self.end() && page.0 >= EXTENT_PAGES).then_some(page)
    }

    /// Hands out `n` fresh pages, committed, reading as zero. Lock-free.
    ///
    /// # Errors
    /// [`OutOfMemory`] when the region is used up or the system refuses.
    pub fn take_pages(&self, n: u32) -> Result<PageId, OutOfMemory> {
        let mut at = self.end();
        loop {
            match self.take_pages_at(at, n)? {
                Ok(()) => return Ok(at),
                Err(Elsewhere(end)) => at = end,
            }
        }
    }

    /// As [`Self::take_pages`], the pages from `at` on, if they are the next ones.
    ///
    /// # Errors
    /// As there; and within, [`Elsewhere`] when other pages are the next ones.
    pub fn take_pages_at(&self, at: PageId, n: u32) -> Result<Result<(), Elsewhere>, OutOfMemory> {
        let end = at.0.checked_add(n).filter(|&end| end <= self.pages).ok_or(OutOfMemory)?;
        self.commit_up_to(end)?;
        let taken = self.next.compare_exchange(at.0, end, Ordering::AcqRel, Ordering::Relaxed);
        Ok(taken.map(drop).map_err(|next| Elsewhere(PageId(next))))
    }

    fn commit_up_to(&self, end: u32) -> Result<(), OutOfMemory> {
        let from = self.committed.load(Ordering::Acquire);
        if end <= from {
            return Ok(());
        }
        // A quarter more than there is, so that system calls grow with the logarithm.
        let step = (from / 4).clamp(COMMIT_MIN, COMMIT_MAX);
        let roomy = end.max(from.saturating_add(step)).min(self.pages);
        let to = match self.commit_range(from, roomy) {
            Ok(()) => roomy,
            Err(OutOfMemory) => {
                self.commit_range(from, end)?;
                end
            }
        };
        self.committed.fetch_max(to, Ordering::AcqRel);
        Ok(())
    }

    /// Commits the pages `from..to` and their metadata; a page already committed stays as it is.
    fn commit_range(&self, from: u32, to: u32) -> Result<(), OutOfMemory> {
        state::cover(to)?;
        let (from, to) = (from as usize, to as usize);
        let tables = [
            (self.page_map.wrapping_sub(PAGE_MAP_SKEW), 1, PAGE_MAP_SKEW),
            (self.spans.cast(), size_of::<Span>(), 0),
            (self.bits_small, BITS_SMALL, 0),
            (self.bits_tiny, BITS_TINY, 0),
        ];
        let nodes_end = (to / EXTENT_PAGES as usize + 1).next_multiple_of(PAGE);
        // SAFETY: within the table of nodes.
        unsafe { os::commit(self.nodes, nodes_end)? };
        for (table, entry, skew) in tables {
            let low = (from * entry) / PAGE * PAGE;
            let high = (skew + to * entry).next_multiple_of(PAGE);
            // SAFETY: within the table, whose parts are multiples of PAGE.
            unsafe { os::commit(table.wrapping_add(low), high - low)? };
        }
        let start = self.base.wrapping_add(from << PAGE_SHIFT);
        // SAFETY: within the region.
        unsafe { os::commit(start, (to - from) << PAGE_SHIFT) }
    }
}

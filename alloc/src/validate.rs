//! Conservation: whether every object, span and page is in exactly one place.
//!
//! ```text
//!  object   slots of one shard │ local bit │ remote bit │ a hand          ONE-PLACE
//!  span     current │ queued │ unqueued, and then without a set bit       POSSESSION
//!  page     span │ large object │ dirty run │ clean run                   of one page heap
//! ```
//!
//! Only while nobody else allocates: objects on their way from one place to another, which a
//! busy heap always has, look lost. The walk notes what it has seen in bits of its own, one per
//! grain of the region, in memory that it reserves for itself; it allocates nothing.

use crate::bins::{BINS, Bins, bin_of};
use crate::config::{EXTENT_PAGES, GRAIN, PAGE, PAGE_SHIFT};
use crate::heap::Heap;
use crate::ids::{PageId, ShardId, SizeClass};
use crate::marks::Marks;
use crate::shard::{self, Shard};
use crate::size_class::{CLASSES, LARGE, LARGE_BODY, is_object_start, object_index};
use crate::snapshot::{arenas, classes};
use crate::span::{RunKind, full_word};
use core::fmt;
use core::sync::atomic::Ordering::Relaxed;
use rseq_sys::cs::INACTIVE;

/// What is broken, at which address, page or shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are where; the variant's line says what")]
pub enum Violation {
    /// The system has no memory for the marks.
    NoMemory,
    /// The caller interrupted the holder of a page heap's lock.
    LockHeld,
    /// An object is in two places: two caches, a cache and a bit, free and in a hand.
    ObjectTwice { address: usize, class: u8 },
    /// An object's local and remote bit are both set.
    BothBits { page: u32, word: usize, bits: u64 },
    /// Bits are set that stand for no object.
    BitsBeyondObjects { page: u32, word: usize, bits: u64 },
    /// A span of the orphan arena has local bits, which nobody can ever take.
    OrphanLocalBits { page: u32, word: usize },
    /// A shard holds what is no object of the class.
    CachedForeign { address: usize, class: u8, shard: u32 },
    /// A header's bounds lie outside its class's slots.
    HeaderBounds { shard: u32, class: u8, current: u16, end: u16 },
    /// A shard was left in the middle of being built or drained.
    ShardBusy { shard: u32 },
    /// A span's owner is nobody.
    OwnerUnknown { page: u32, owner: u32 },
    /// A span is in the list of an arena, or of a class, that it does not belong to.
    ListedWrongly { page: u32, arena: u32, class: u8 },
    /// A span is in two lists, or twice in one.
    ListedTwice { page: u32 },
    /// A span in a list has a clear flag.
    ListedUnflagged { page: u32 },
    /// A span's flag is set, but it is in no list: nobody will ever look at it.
    FlaggedUnlisted { page: u32 },
    /// A span with free objects is in no list, and nobody will queue it.
    Stranded { page: u32, free: u32 },
    /// A page in use is not marked so, or not with its run's length.
    BusyWrongly { page: u32, run_pages: u32 },
    /// A large object's page map entries do not cover its run.
    LargeEntries { page: u32, run_pages: u32 },
    /// A page is in no run at all.
    PageNowhere { page: u32 },
    /// A page is in two runs.
    PageTwice { page: u32 },
    /// A free run is in the wrong bin, or its bin's bit is wrong.
    Bin { bin: usize, page: u32, pages: u32 },
    /// The two ends of a free run do not agree.
    RunEnds { page: u32, pages: u32 },
    /// Two neighbouring runs of one kind were not merged.
    Unmerged { page: u32 },
    /// A page heap's counter differs from what was counted.
    Counter { name: &'static str, counter: usize, counted: usize },
    /// What a hand is said to hold is not a block.
    HeldForeign { address: usize },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "heap not conserved: {self:x?}")
    }
}

impl core::error::Error for Violation {}

/// What the walk counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Pages that are spans.
    pub spans: usize,
    /// Objects in all spans.
    pub objects: usize,
    /// Of these, in shards.
    pub cached: usize,
    /// In spans: bits that are set.
    pub free: usize,
    /// In the hands that the caller named.
    pub held: usize,
    /// Large objects.
    pub large: usize,
    /// Their pages.
    pub large_pages: usize,
    /// Of the large objects, in the hands that the caller named.
    pub large_held: usize,
    /// Pages in dirty runs.
    pub dirty_pages: usize,
    /// Pages in clean runs.
    pub clean_pages: usize,
    /// Bytes by which shards' books of their capacity differ from their headers, all shards
    /// together. A thread that moves to another cid between the two makes it so; it bends the
    /// budget and endangers nothing.
    pub capacity_drift_bytes: usize,
}

impl Census {
    /// Objects that are in hands which the caller did not name: lost ones, if it named all.
    #[must_use]
    pub fn elsewhere(&self) -> usize {
        self.objects - self.cached - self.free - self.held
    }
    /// Large objects that are in hands which the caller did not name.
    #[must_use]
    pub fn large_elsewhere(&self) -> usize {
        self.large - self.large_held
    }
}

/// Walks over everything. `held` are the addresses of blocks that the caller knows to be live:
/// none of them may be free.
///
/// # Errors
/// The first [`Violation`] found. While others allocate, that need not be one.
pub fn validate(heap: &Heap, held: impl Iterator<Item = usize>) -> Result<Census, Violation> {
    let end = heap.region.end();
    let pages = end.0 as usize;
    let mut objects = Marks::new(pages * (PAGE / GRAIN)).ok_or(Violation::NoMemory)?;
    let mut runs = Marks::new(pages).ok_or(Violation::NoMemory)?;
    let mut listed = Marks::new(pages).ok_or(Violation::NoMemory)?;
    let mut census = Census::default();
    let mut walk = Walk { heap, end, objects: &mut objects, census: &mut census };
    walk.pages_in_use(&mut runs)?;
    walk.shards()?;
    walk.lists(&mut listed)?;
    walk.flags(&listed)?;
    walk.hands(held)?;
    page_heaps(heap, end, &mut runs, &mut census)?;
    match (EXTENT_PAGES..end.0).find(|&page| !runs.is_set(page as usize)) {
        Some(page) => Err(Violation::PageNowhere { page }),
        None => Ok(census),
    }
}

struct Walk<'a> {
    heap: &'a Heap,
    end: PageId,
    /// Objects seen in some place, by the grain at which they begin.
    objects: &'a mut Marks,
    census: &'a mut Census,
}

fn is_class(entry: u8) -> bool {
    entry != 0 && usize::from(entry) < CLASSES
}

impl Walk<'_> {
    /// Marks the object at `address`, which is one of `class`.
    fn place(&mut self, address: usize, class: SizeClass) -> Result<(), Violation> {
        let grain = (address - self.heap.region.base().addr()) / GRAIN;
        if self.objects.set(grain) {
            return Err(Violation::ObjectTwice { address, class: class.0 });
        }
        Ok(())
    }

    /// The class of the object that begins at `address`, if there is one.
    fn object_class(&self, address: usize) -> Option<SizeClass> {
        let page = self.heap.region.handed_out(address)?;
        let entry = self.heap.region.entry(page);
        let offset = (address - self.heap.region.base().addr()) % PAGE;
        let class = SizeClass(entry);
        (is_class(entry)
            && is_object_start(entry.into(), offset)
            && object_index(class, offset) < class.info().objects.into())
        .then_some(class)
    }

    fn pages_in_use(&mut self, runs: &mut Marks) -> Result<(), Violation> {
        let region = &self.heap.region;
        let mut page = PageId(EXTENT_PAGES);
        while page < self.end {
            let entry = region.entry(page);
            let (span, run_pages) = (region.span(page), region.span(page).run_pages.load(Relaxed));
            let busy = span.run_kind() == RunKind::Busy;
            let n = match entry {
                0 => {
                    page = page.plus(1);
                    continue;
                }
                LARGE => {
                    let last = page.plus(run_pages.max(1) - 1);
                    let bodies = (page.0 + 1..=last.0).map(PageId);
                    if last >= self.end
                        || bodies.into_iter().any(|p| region.entry(p) != LARGE_BODY)
                        || (last.plus(1) < self.end && region.entry(last.plus(1)) == LARGE_BODY)
                        || span.large_bytes() > (run_pages as usize) << PAGE_SHIFT
                    {
                        return Err(Violation::LargeEntries { page: page.0, run_pages });
                    }
                    self.census.large += 1;
                    self.census.large_pages += run_pages as usize;
                    run_pages
                }
                LARGE_BODY => return Err(Violation::LargeEntries { page: page.0, run_pages: 0 }),
                entry => {
                    self.span_bits(page, SizeClass(entry))?;
                    1
                }
            };
            let last = region.span(page.plus(n - 1));
            let ends_agree = busy
                && run_pages == n
                && last.run_kind() == RunKind::Busy
                && last.run_pages.load(Relaxed) == n;
            if !ends_agree {
                return Err(Violation::BusyWrongly { page: page.0, run_pages });
            }
            mark_run(runs, page, n)?;
            page = page.plus(n);
        }
        Ok(())
    }

    fn span_bits(&mut self, page: PageId, class: SizeClass) -> Result<(), Violation> {
        let region = &self.heap.region;
        let owner = region.span(page).owner();
        let known = owner == ShardId::ORPHAN
            || (owner != ShardId::NOBODY && Shard::arena_of(self.heap, owner).is_some());
        if !known || region.span(page).class() != class {
            return Err(Violation::OwnerUnknown { page: page.0, owner: owner.0 });
        }
        let (info, bits) = (class.info(), region.bitmaps(page, class));
        let base = region.address(page).addr();
        for word in 0..info.words.into() {
            let (local, remote) = (bits.local(word), bits.remote(word).load(Relaxed));
            if local & remote != 0 {
                return Err(Violation::BothBits { page: page.0, word, bits: local & remote });
            }
            let beyond = (local | remote) & !full_word(info.objects.into(), word);
            if beyond != 0 {
                return Err(Violation::BitsBeyondObjects { page: page.0, word, bits: beyond });
            }
            if owner == ShardId::ORPHAN && local != 0 {
                return Err(Violation::OrphanLocalBits { page: page.0, word });
            }
            let free = local | remote;
            for i in (0..64).filter(|i| free >> i & 1 == 1) {
                self.place(base + (word * 64 + i) * info.size as usize, class)?;
            }
            self.census.free += free.count_ones() as usize;
        }
        self.census.spans += 1;
        self.census.objects += usize::from(info.objects);
        Ok(())
    }

    fn shards(&mut self) -> Result<(), Violation> {
        if let Some(id) = self.heap.ids().find(|&id| shard::is_busy(self.heap, id)) {
            return Err(Violation::ShardBusy { shard: id.0 });
        }
        for shard in shard::all_ready(self.heap) {
            let id = shard.arena.id().0;
            let mut capacity = 0;
            for class in classes() {
                let Some(header) = shard.header(class).filter(|h| h.shape() != INACTIVE.shape())
                else {
                    continue;
                };
                let (begin, info) = (class.info().begin, class.info());
                let (current, end) = (header.current(), header.end());
                if current < begin || current > end || end > begin + info.capacity_max {
                    let class = class.0;
                    return Err(Violation::HeaderBounds { shard: id, class, current, end });
                }
                capacity += usize::from(end - begin) * info.size as usize;
                let mut result = Ok(());
                shard.for_each_cached(class, |address| {
                    if result.is_ok() {
                        self.census.cached += 1;
                        result = if self.object_class(address) == Some(class) {
                            self.place(address, class)
                        } else {
                            Err(Violation::CachedForeign { address, class: class.0, shard: id })
                        };
                    }
                });
                result?;
            }
            let booked = shard.arena.capacity_bytes.load(Relaxed);
            self.census.capacity_drift_bytes +=
                booked.wrapping_sub(capacity).cast_signed().unsigned_abs();
        }
        Ok(())
    }

    fn lists(&self, listed: &mut Marks) -> Result<(), Violation> {
        let region = &self.heap.region;
        for arena in arenas(self.heap) {
            for class in classes() {
                let [current, mut page] = arena.listed(class);
                let mut next = if current == PageId::NONE { page } else { current };
                while next != PageId::NONE {
                    let at = next.0;
                    let arena = arena.id();
                    let right = next < self.end
                        && next.0 >= EXTENT_PAGES
                        && region.entry(next) == class.0
                        && region.span(next).owner() == arena;
                    if !right {
                        let (arena, class) = (arena.0, class.0);
                        return Err(Violation::ListedWrongly { page: at, arena, class });
                    }
                    if listed.set(at as usize) {
                        return Err(Violation::ListedTwice { page: at });
                    }
                    if !region.span(next).is_flagged() {
                        return Err(Violation::ListedUnflagged { page: at });
                    }
                    if next != current {
                        page = PageId(region.span(next).next.load(Relaxed));
                    }
                    next = page;
                }
            }
        }
        Ok(())
    }

    fn flags(&self, listed: &Marks) -> Result<(), Violation> {
        let region = &self.heap.region;
        for page in (EXTENT_PAGES..self.end.0).map(PageId) {
            let entry = region.entry(page);
            if !is_class(entry) || listed.is_set(page.0 as usize) {
                continue;
            }
            if region.span(page).is_flagged() {
                return Err(Violation::FlaggedUnlisted { page: page.0 });
            }
            let free = region.bitmaps(page, SizeClass(entry)).count_free();
            if free != 0 {
                return Err(Violation::Stranded { page: page.0, free });
            }
        }
        Ok(())
    }

    fn hands(&mut self, held: impl Iterator<Item = usize>) -> Result<(), Violation> {
        for address in held {
            if let Some(class) = self.object_class(address) {
                self.place(address, class)?;
                self.census.held += 1;
                continue;
            }
            let region = &self.heap.region;
            let large = region.handed_out(address).filter(|&page| {
                region.entry(page) == LARGE && region.address(page).addr() == address
            });
            if large.is_none() {
                return Err(Violation::HeldForeign { address });
            }
            self.place(address, SizeClass(LARGE))?;
            self.census.large_held += 1;
        }
        Ok(())
    }
}

fn mark_run(runs: &mut Marks, page: PageId, pages: u32) -> Result<(), Violation> {
    match (page.0..page.0 + pages).find(|&page| runs.set(page as usize)) {
        Some(page) => Err(Violation::PageTwice { page }),
        None => Ok(()),
    }
}

fn page_heaps(
    heap: &Heap,
    end: PageId,
    runs: &mut Marks,
    census: &mut Census,
) -> Result<(), Violation> {
    let mut busy = 0;
    for i in 0..heap.page_heaps() {
        let (page_heap, home) = heap.page_heap(i);
        let (dirty, clean) = page_heap
            .inspect(home, |dirty, clean| {
                free_runs(heap, end, i, dirty, runs)?;
                free_runs(heap, end, i, clean, runs)?;
                Ok((dirty.pages(), clean.pages()))
            })
            .map_err(|_| Violation::LockHeld)??;
        census.dirty_pages += dirty;
        census.clean_pages += clean;
        let counter = page_heap.counters.dirty_pages.load(Relaxed);
        if counter != dirty {
            return Err(Violation::Counter { name: "dirty_pages", counter, counted: dirty });
        }
        busy += page_heap.counters.busy_pages.load(Relaxed);
    }
    let counted = census.spans + census.large_pages;
    if busy != counted {
        return Err(Violation::Counter { name: "busy_pages", counter: busy, counted });
    }
    Ok(())
}

fn free_runs(
    heap: &Heap,
    end: PageId,
    node: usize,
    bins: &Bins,
    runs: &mut Marks,
) -> Result<(), Violation> {
    let (region, kind) = (&heap.region, bins.kind());
    if let Some(bin) = (0..BINS).find(|&bin| !bins.bit_is_right(bin)) {
        return Err(Violation::Bin { bin, page: 0, pages: 0 });
    }
    let mut counted = 0;
    for (bin, page, pages) in bins.runs(region) {
        if bin_of(pages) != bin {
            return Err(Violation::Bin { bin, page: page.0, pages });
        }
        let after = page.plus(pages);
        if after > end || page.0 < EXTENT_PAGES {
            return Err(Violation::RunEnds { page: page.0, pages });
        }
        let last = region.span(page.plus(pages - 1));
        if region.span(page).run_kind() != kind
            || last.run_kind() != kind
            || last.run_pages.load(Relaxed) != pages
        {
            return Err(Violation::RunEnds { page: page.0, pages });
        }
        // Another page heap's neighbour stays apart.
        let ours = |p: PageId| heap.page_heaps() == 1 || region.node_of(p) == node;
        if after < end
            && ours(after)
            && region.entry(after) == 0
            && region.span(after).run_kind() == kind
        {
            return Err(Violation::Unmerged { page: after.0 });
        }
        mark_run(runs, page, pages)?;
        counted += pages as usize;
    }
    if counted != bins.pages() {
        return Err(Violation::Counter { name: "free pages", counter: bins.pages(), counted });
    }
    Ok(())
}

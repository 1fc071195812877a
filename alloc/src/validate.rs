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

mod page_heaps;

use crate::config::{EXTENT_PAGES, GRAIN, PAGE, PAGE_SHIFT};
use crate::hardened::{self, rings, state};
use crate::heap::Heap;
use crate::ids::{PageId, ShardId, SizeClass};
use crate::marks::Marks;
use crate::parts::Parts;
use crate::shard::{self, Shard};
use crate::size_class::{
    CLASSES, GUARD, HOMEWARD, HOMEWARD_BEGIN, HOMEWARD_SLOTS, LARGE, LARGE_BODY, WAITING,
    is_object_start, object_index,
};
use crate::snapshot::{arenas, classes};
use crate::span::{RunKind, full_word};
pub use crate::violation::{Census, Violation};
use rseq_sys::cs::INACTIVE;
use rseq_sys::sync::Ordering::Relaxed;

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
    walk.quarantine()?;
    walk.lists(&mut listed)?;
    walk.flags(&listed)?;
    walk.hands(held)?;
    page_heaps::walk(heap, end, &mut runs, &mut census)?;
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

    /// As [`Self::place`], of a block whose state bit must say `live`, where there are such bits.
    fn place_as(&mut self, address: usize, class: SizeClass, live: bool) -> Result<(), Violation> {
        if hardened::parts().has(Parts::STATE) && state::is_live(address) != live {
            return Err(Violation::State { address, live: !live });
        }
        self.place(address, class)
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
                    let body = |p: PageId| {
                        region.entry(p) == LARGE_BODY || (p == last && region.entry(p) == GUARD)
                    };
                    if last >= self.end
                        || !bodies.into_iter().all(body)
                        || (last.plus(1) < self.end && region.entry(last.plus(1)) == LARGE_BODY)
                        || span.large_bytes() > (run_pages as usize) << PAGE_SHIFT
                    {
                        return Err(Violation::LargeEntries { page: page.0, run_pages });
                    }
                    self.census.large += 1;
                    self.census.large_pages += run_pages as usize;
                    run_pages
                }
                // A guard that the system did not lower, and a large block that waits.
                GUARD | WAITING => {
                    let n = if entry == GUARD { 1 } else { run_pages.max(1) };
                    self.census.closed_pages += n as usize;
                    n
                }
                LARGE_BODY => return Err(Violation::LargeEntries { page: page.0, run_pages: 0 }),
                entry => {
                    self.span_bits(page, SizeClass(entry))?;
                    let guards = u32::from(run_pages == 2 && region.entry(page.plus(1)) == GUARD);
                    self.census.closed_pages += guards as usize;
                    1 + guards
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
            || (owner != ShardId::NOBODY && Shard::arena_of(self.heap, owner.of_arena()).is_some());
        if !known || region.span(page).class() != class {
            return Err(Violation::OwnerUnknown { page: page.0, owner: owner.0 });
        }
        let home = self.heap.page_heap_of(page).1.node;
        if owner != ShardId::ORPHAN
            && self.heap.heap_of_node(self.heap.node_of(owner.of_arena())) != home
        {
            return Err(Violation::SpanElsewhere { page: page.0, owner: owner.0 });
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
            if !owner.has_local_bits() && local != 0 {
                return Err(Violation::OrphanLocalBits { page: page.0, word });
            }
            let free = local | remote;
            for i in (0..64).filter(|i| free >> i & 1 == 1) {
                self.place_as(base + (word * 64 + i) * info.size as usize, class, false)?;
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
                        result = if self.object_class(address) != Some(class) {
                            Err(Violation::CachedForeign { address, class: class.0, shard: id })
                        } else if self.heap.home_of(address) != shard.heap_index() {
                            Err(Violation::CachedElsewhere { address, shard: id })
                        } else {
                            self.place_as(address, class, false)
                        };
                    }
                });
                result?;
            }
            self.homeward(&shard)?;
            let booked = shard.arena.capacity_bytes.load(Relaxed);
            self.census.capacity_drift_bytes +=
                booked.wrapping_sub(capacity).cast_signed().unsigned_abs();
        }
        Ok(())
    }

    /// What waits in the hardened mode: objects, counted as cached, and large blocks.
    fn quarantine(&mut self) -> Result<(), Violation> {
        let mut result = Ok(());
        if !hardened::is_on() {
            return result;
        }
        rings::for_each(|address| {
            if result.is_ok()
                && let Some(class) = self.object_class(address)
            {
                self.census.cached += 1;
                self.census.quarantined += 1;
                result = self.place_as(address, class, false);
            }
        });
        result
    }

    /// Header 0, and what waits for its way to another node: objects of any class and node.
    fn homeward(&mut self, shard: &Shard<'_>) -> Result<(), Violation> {
        let shard_id = shard.arena.id().0;
        if shard.header_0() != Some(shard.home_header()) {
            return Err(Violation::HomeHeader { shard: shard_id });
        }
        let Some(header) = shard.homeward_header().filter(|h| h.shape() != INACTIVE.shape()) else {
            return Ok(());
        };
        let (current, end) = (header.current(), header.end());
        if current < HOMEWARD_BEGIN || current > end || end != HOMEWARD_BEGIN + HOMEWARD_SLOTS {
            let class = HOMEWARD as u8;
            return Err(Violation::HeaderBounds { shard: shard_id, class, current, end });
        }
        let mut result = Ok(());
        shard.for_each_homeward(|address| {
            if result.is_ok() {
                self.census.cached += 1;
                self.census.homeward += 1;
                result = match self.object_class(address) {
                    Some(class) => self.place_as(address, class, false),
                    None => {
                        let class = HOMEWARD as u8;
                        Err(Violation::CachedForeign { address, class, shard: shard_id })
                    }
                };
            }
        });
        result
    }

    fn lists(&self, listed: &mut Marks) -> Result<(), Violation> {
        let region = &self.heap.region;
        for arena in arenas(self.heap) {
            for class in classes() {
                let [current, mut page] = arena.listed(class);
                let mut next = if current == PageId::NONE { page } else { current };
                while next != PageId::NONE {
                    let at = next.0;
                    let arena = self.heap.owner_of(arena.id());
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
                self.place_as(address, class, true)?;
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
            self.place_as(address, SizeClass(LARGE), true)?;
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

//! The heap in numbers, counted by walking over it.
//!
//! ```text
//!  page map ──► spans: objects, free bits      ┐
//!          └──► large objects                  │  live = objects − free bits − cached
//!  shards ────► headers: cached, capacity, ops ├─►
//!          └──► arenas: counters               │
//!  page heaps ► dirty, clean, purged           ┘
//! ```
//!
//! Nothing is stopped for it. Each number is one that was true at some instant of the walk,
//! their sums need not be: an object that moves meanwhile is counted twice, or not at all.

use crate::arena::Arena;
use crate::config::{EXTENT_PAGES, PAGE_SHIFT};
use crate::hardened::{self, rings};
use crate::heap::{Heap, Source};
use crate::ids::{PageId, ShardId, SizeClass};
use crate::mixed;
use crate::os;
use crate::region::{BITS_SMALL, BITS_TINY};
use crate::shard::{self, Shard};
use crate::size_class::{CLASSES, LARGE};
use crate::span::{INLINE_WORDS, Span};
use crate::supply;
use rseq_sys::cs::{HEADERS, INACTIVE};
use rseq_sys::sync::Ordering::Relaxed;

/// What there is of one class.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClassTotals {
    /// Its spans.
    pub spans: usize,
    /// Objects that are in their spans.
    pub free: usize,
    /// Objects that shards keep.
    pub cached: usize,
    /// Objects that the program has, or that are on their way.
    pub live: usize,
}

/// The numbers.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot {
    /// Per class, by its number; 0 is unused.
    pub classes: [ClassTotals; CLASSES],
    /// Objects of classes that the program has.
    pub live_objects: usize,
    /// Their bytes, rounded up to their classes' sizes.
    pub live_bytes: usize,
    /// Large objects that the program has.
    pub large_objects: usize,
    /// Their bytes, rounded up to whole kernel pages.
    pub large_bytes: usize,
    /// Free bytes that shards keep.
    pub cached_bytes: usize,
    /// Free bytes in spans.
    pub free_in_spans_bytes: usize,
    /// Free pages that may be backed, in bytes.
    pub dirty_bytes: usize,
    /// Free pages that read as zero, in bytes.
    pub clean_bytes: usize,
    /// Bytes that were asked of the system, touched or not, metadata not counted.
    pub committed_bytes: usize,
    /// About how many bytes of metadata are resident.
    pub metadata_bytes: usize,
    /// Resident bytes of the whole process, 0 where /proc cannot be read.
    pub resident_bytes: usize,
    /// Runs of pages that were given back to the system.
    pub purges: u64,
    /// Their bytes.
    pub purged_bytes: u64,
    /// Ranges that are bound to their node.
    pub binds: u64,
    /// Ranges that the kernel refused to bind to their node.
    pub bind_refusals: u64,
    /// Frees on another node than the object's.
    pub foreign_frees: u64,
    /// Batches in which such objects were sent home.
    pub foreign_batches: u64,
    /// Such objects that wait in shards.
    pub foreign_waiting: usize,
    /// Shards in use.
    pub shards_in_use: usize,
    /// Shards that were in use and are drained.
    pub shards_drained: usize,
    /// Ids that had a shard on some node.
    pub ids_used: usize,
    /// The highest of them.
    pub id_max: usize,
    /// Objects in quarantine.
    pub quarantined: usize,
    /// Their bytes.
    pub quarantined_bytes: usize,
    /// What all shards did.
    pub events: Events,
}

/// What happened on a shard, or to a class, so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Events {
    /// Pops and pushes that hit.
    pub fast_ops: u64,
    /// Times that objects were fetched from spans.
    pub refills: u64,
    /// Times that objects were sent to spans.
    pub flushes: u64,
    /// Objects moved by both.
    pub moved: u64,
}

impl Events {
    /// Adds what the arena of one shard counted of `class`.
    pub fn add(&mut self, arena: &Arena, class: SizeClass) {
        let counters = &arena.class(class).counters;
        self.fast_ops += counters.fast_ops.get();
        self.refills += counters.refills.load(Relaxed);
        self.flushes += counters.flushes.load(Relaxed);
        self.moved += counters.refilled.load(Relaxed) + counters.flushed.load(Relaxed);
    }

    /// Whether nothing happened.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.fast_ops + self.refills + self.flushes == 0
    }
}

/// Free objects that one shard keeps, and what it did.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShardTotals {
    /// Free objects in it.
    pub cached: usize,
    /// Their bytes.
    pub cached_bytes: usize,
    /// What it did.
    pub events: Events,
}

/// The classes that exist.
pub fn classes() -> impl Iterator<Item = SizeClass> {
    (1..CLASSES as u8).map(SizeClass)
}

/// The arenas of all shards that ever were, and that of threads without one.
pub fn arenas(heap: &Heap) -> impl Iterator<Item = &Arena> {
    let shards = heap.ids().filter_map(|id| Shard::arena_of(heap, id));
    shards.chain(heap.orphans())
}

/// Objects of `class` in the shard, and the slots that it has for them.
fn cached(shard: &Shard<'_>, class: SizeClass) -> (usize, usize) {
    let begin = class.info().begin;
    let header = shard.header(class).filter(|header| header.shape() != INACTIVE.shape());
    // A shard that is drained meanwhile has zero headers.
    header.map_or((0, 0), |header| {
        (header.current().saturating_sub(begin).into(), header.end().saturating_sub(begin).into())
    })
}

fn see_homeward_ops(shard: &Shard<'_>) {
    if let Some(header) = shard.homeward_header() {
        shard.arena.homeward.waited.see(header.ops());
    }
}

/// What there is of one node.
#[derive(Debug, Clone, Copy, Default)]
pub struct NodeTotals {
    /// Shards that ever were on it.
    pub shards: usize,
    /// Its pages in use, in bytes.
    pub busy_bytes: usize,
    /// Its free pages that may be backed, in bytes.
    pub dirty_bytes: usize,
    /// Ranges that are bound to it.
    pub binds: u64,
    /// Ranges that the kernel refused to bind to it.
    pub bind_refusals: u64,
    /// Frees on it of objects of other nodes.
    pub foreign_frees: u64,
    /// Batches in which such objects were sent home.
    pub batches: u64,
    /// Objects in them, and in shards that were drained.
    pub sent: u64,
    /// Objects that wait in its shards.
    pub waiting: usize,
}

impl NodeTotals {
    /// The totals of the page heap `index` and of the shards that it serves.
    #[must_use]
    pub fn take(heap: &Heap, index: usize) -> Self {
        let counters = &heap.page_heap(index).0.counters;
        let mut totals = Self {
            busy_bytes: counters.busy_pages.load(Relaxed) << PAGE_SHIFT,
            dirty_bytes: counters.dirty_pages.load(Relaxed) << PAGE_SHIFT,
            binds: counters.binds.load(Relaxed),
            bind_refusals: counters.bind_refusals.load(Relaxed),
            ..Self::default()
        };
        for id in heap.ids().filter(|&id| heap.heap_of_node(heap.node_of(id)) == index) {
            let Some(arena) = Shard::arena_of(heap, id) else { continue };
            totals.shards += 1;
            if let Some(shard) = Shard::ready(heap, id) {
                see_homeward_ops(&shard);
                shard.for_each_homeward(|_| totals.waiting += 1);
            }
            totals.foreign_frees += arena.homeward.frees();
            totals.batches += arena.homeward.batches.load(Relaxed);
            totals.sent += arena.homeward.sent.load(Relaxed);
        }
        totals
    }
}

impl ShardTotals {
    /// The totals of the shard that `arena` belongs to.
    #[must_use]
    pub fn take(heap: &Heap, arena: &Arena) -> Self {
        let mut totals = Self::default();
        let id = arena.id();
        let shard = (id != ShardId::ORPHAN).then(|| Shard::ready(heap, id)).flatten();
        for class in classes() {
            if let Some(shard) = &shard {
                let (objects, _) = cached(shard, class);
                totals.cached += objects;
                totals.cached_bytes += objects * class.info().size as usize;
            }
            totals.events.add(arena, class);
        }
        totals
    }
}

impl Snapshot {
    /// Counts. Thread-safe, allocates nothing; takes time in proportion to the heap's pages.
    #[must_use]
    #[cold]
    pub fn take(heap: &Heap) -> Self {
        let mut all = Self::EMPTY;
        all.walk_spans(heap);
        all.walk_large(heap);
        all.walk_shards(heap);
        all.walk_quarantine(heap);
        for class in classes() {
            let size = class.info().size as usize;
            let totals = &mut all.classes[class.index()];
            let objects = totals.spans * class.info().objects as usize;
            totals.live = objects.saturating_sub(totals.free + totals.cached);
            all.live_objects += totals.live;
            all.live_bytes += totals.live * size;
            all.cached_bytes += totals.cached * size;
            all.free_in_spans_bytes += totals.free * size;
        }
        for i in 0..heap.page_heaps() {
            let (page_heap, home) = heap.page_heap(i);
            let counters = &page_heap.counters;
            all.clean_bytes += page_heap.clean_pages(home) << PAGE_SHIFT;
            all.dirty_bytes += counters.dirty_pages.load(Relaxed) << PAGE_SHIFT;
            all.purges += counters.purges.load(Relaxed);
            all.purged_bytes += counters.purged_bytes.load(Relaxed);
            all.binds += counters.binds.load(Relaxed);
            all.bind_refusals += counters.bind_refusals.load(Relaxed);
        }
        all.committed_bytes = heap.region.committed_bytes();
        let pages = (heap.region.end().0 - EXTENT_PAGES) as usize;
        all.metadata_bytes += pages * (1 + size_of::<Span>());
        all.resident_bytes = resident_pages() * heap.os_page;
        all
    }

    const EMPTY: Self = Self {
        classes: [ClassTotals { spans: 0, free: 0, cached: 0, live: 0 }; CLASSES],
        live_objects: 0,
        live_bytes: 0,
        large_objects: 0,
        large_bytes: 0,
        cached_bytes: 0,
        free_in_spans_bytes: 0,
        dirty_bytes: 0,
        clean_bytes: 0,
        committed_bytes: 0,
        metadata_bytes: 0,
        resident_bytes: 0,
        purges: 0,
        purged_bytes: 0,
        binds: 0,
        bind_refusals: 0,
        foreign_frees: 0,
        foreign_batches: 0,
        foreign_waiting: 0,
        shards_in_use: 0,
        shards_drained: 0,
        ids_used: 0,
        id_max: 0,
        quarantined: 0,
        quarantined_bytes: 0,
        events: Events { fast_ops: 0, refills: 0, flushes: 0, moved: 0 },
    };

    fn walk_spans(&mut self, heap: &Heap) {
        supply::for_each_span(heap, |page, span| {
            let class = span.class();
            let info = class.info();
            let totals = &mut self.classes[class.index()];
            totals.spans += 1;
            // The page may become something else while its bits are counted.
            let free = heap.region.bitmaps(page, class).count_free() as usize;
            totals.free += free.min(info.objects.into());
            self.metadata_bytes += match info.words as usize {
                words if words <= INLINE_WORDS => 0,
                words if words * 16 <= BITS_SMALL => BITS_SMALL,
                _ => BITS_TINY,
            };
        });
    }

    fn walk_large(&mut self, heap: &Heap) {
        let mut page = PageId(EXTENT_PAGES);
        while page < heap.region.end() {
            if heap.region.entry(page) == LARGE {
                self.large_objects += 1;
                let span = heap.region.span(page);
                let run = (span.run_pages.load(Relaxed) as usize) << PAGE_SHIFT;
                // The page may become something else meanwhile: no more than its run.
                self.large_bytes += span.large_bytes().min(run);
            }
            page = page.plus(1);
        }
    }

    fn walk_quarantine(&mut self, heap: &Heap) {
        if !hardened::is_on() {
            return;
        }
        rings::for_each(|address| {
            // Large blocks that wait hold no memory.
            if let Some(class) = mixed::class_of(&heap.region, address) {
                self.classes[class.index()].cached += 1;
                self.quarantined += 1;
                self.quarantined_bytes += class.info().size as usize;
            }
        });
    }

    fn walk_shards(&mut self, heap: &Heap) {
        for shard in shard::all_ready(heap) {
            self.shards_in_use += 1;
            self.metadata_bytes += HEADERS * size_of::<u64>();
            for class in classes() {
                if let Some(header) = shard.header(class) {
                    shard.arena.class(class).counters.fast_ops.see(header.ops());
                }
                let (objects, slots) = cached(&shard, class);
                self.classes[class.index()].cached += objects;
                self.metadata_bytes += slots * size_of::<usize>();
            }
            see_homeward_ops(&shard);
            shard.for_each_homeward(|object| {
                self.foreign_waiting += 1;
                if let Some(class) = mixed::class_of(&heap.region, object) {
                    self.classes[class.index()].cached += 1;
                }
            });
        }
        let mut shards = 0;
        for arena in arenas(heap) {
            self.foreign_frees += arena.homeward.frees();
            self.foreign_batches += arena.homeward.batches.load(Relaxed);
            for class in classes() {
                self.events.add(arena, class);
            }
            if arena.id() != ShardId::ORPHAN {
                shards += 1;
                self.metadata_bytes += size_of::<Arena>();
            }
        }
        self.shards_drained = usize::saturating_sub(shards, self.shards_in_use);
        for id in 0..heap.cids {
            let used = |id: ShardId| Shard::arena_of(heap, id).is_some();
            let row = |node| if heap.source == Source::Cpu { id } else { node };
            if (0..heap.nodes).any(|node| used(ShardId::new(row(node), id))) {
                self.ids_used += 1;
                self.id_max = id;
            }
        }
    }
}

/// Resident pages of the process: the second number of `statm`.
fn resident_pages() -> usize {
    let mut buffer = [0; 128];
    let text = os::read_file(c"/proc/self/statm", &mut buffer);
    let number = text.split(|&b| b == b' ').nth(1).unwrap_or(&[]);
    core::str::from_utf8(number).ok().and_then(|n| n.parse().ok()).unwrap_or(0)
}

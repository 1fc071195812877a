//! Where a refill's objects come from, in the order of what it costs.
//!
//! ```text
//!  current span ► queued spans ► empty spans of other classes (sweep) ► spans of idle shards
//!  (adopt) ► a page of the node's heap ► … which takes from the region
//! ```
//!
//! A span in possession gives its local bits to a section, which only works on the owner's
//! cid, and its remote bits to one swap per word, which works anywhere.
#![allow(unsafe_code)]

use crate::arena::Arena;
use crate::batch::{Batch, lowest_bits};
use crate::carve;
use crate::check::{Misuse, misuse};
use crate::hardened::{self, random};
use crate::heap::Heap;
use crate::ids::{PageId, ShardId, SizeClass};
use crate::os;
use crate::parts::Parts;
use crate::purge;
use crate::section;
use crate::shard::{self, Shard};
use crate::size_class::CLASSES;
use crate::span::{RunKind, Span};
use rseq_sys::sync::{Ordering, fence};

/// How a span was left.
enum Left {
    /// The batch is as full as wanted; the span may have more.
    Filled,
    /// No free object is left in it.
    Exhausted,
    /// The thread is no longer on the owner's cid; local bits are out of reach.
    Moved,
}

/// Brings up to `want` objects of `class` into `batch`, from the arena of `shard`. Fewer when
/// the thread moved to another cid on the way, none when memory has ended, too.
pub fn collect(shard: &Shard<'_>, class: SizeClass, batch: &mut Batch, want: usize) {
    let region = &shard.heap.region;
    while batch.len() < want {
        let arena = shard.spans();
        let Some(page) = arena.take(region, class).or_else(|| find(shard, class)) else {
            return;
        };
        let span = region.span(page);
        match take_objects(shard, page, span, class, batch, want) {
            Left::Filled => arena.keep(region, class, page),
            Left::Exhausted => {
                span.unqueue();
                if region.bitmaps(page, class).any_free() && span.try_possess() {
                    // While it was unqueued it may have become another's.
                    Shard::owner_arena(shard.heap, span.owner(), page).enqueue(region, page);
                }
            }
            Left::Moved => return arena.keep(region, class, page),
        }
    }
}

/// Moves free objects of a span in our possession into `batch`, local and remote ones by word.
fn take_objects(
    shard: &Shard<'_>,
    page: PageId,
    span: &Span,
    class: SizeClass,
    batch: &mut Batch,
    want: usize,
) -> Left {
    let info = class.info();
    let (words, size) = (info.words as usize, info.size as usize);
    let base = shard.heap.region.address(page).addr();
    let bits = shard.heap.region.bitmaps(page, class);
    let has_local_bits = shard.spans_owner().has_local_bits();
    let parts = hardened::parts();
    // Objects of word `i` are looked at when they are handed out, if that is on.
    let back = |i: usize, taken: u64| {
        if parts.has(Parts::ZERO) && taken != 0 {
            let [first, last] = [taken.trailing_zeros(), taken.ilog2()];
            let place = |bit: u32| (i * 64 + bit as usize) * size;
            carve::back(shard.heap, page, place(first), place(last + 1));
        }
    };
    let first = match parts.has(Parts::RANDOM) {
        true => random::below(words),
        false => span.cursor.load(Ordering::Relaxed) as usize % words,
    };
    for i in (first..words).chain(0..first) {
        let at = base + i * 64 * size;
        let local = bits.local(i);
        if local != 0 && has_local_bits {
            let mask = lowest_bits(local, want - batch.len());
            let word = bits.local_word(i);
            // SAFETY: local words change only in sections that compare the same owner
            // (OWNER-FENCED).
            let taken = unsafe { section::take(shard.heap, span.owner_word(), word, mask) };
            let Some(taken) = taken else {
                return Left::Moved;
            };
            back(i, taken);
            batch.add_word(taken, at, size);
        }
        if batch.len() < want && bits.remote(i).load(Ordering::Relaxed) != 0 {
            let mut taken = bits.remote(i).swap(0, Ordering::AcqRel);
            let mask = lowest_bits(taken, want - batch.len());
            if mask != taken {
                // Too many for this hand. They stay ours to take: we possess the span.
                bits.remote(i).fetch_or(taken & !mask, Ordering::AcqRel);
                taken = mask;
            }
            let twice = taken & bits.local(i);
            if twice != 0 {
                misuse(Misuse::DoubleFree, at + twice.trailing_zeros() as usize * size);
            }
            back(i, taken);
            batch.add_word(taken, at, size);
        }
        if batch.len() >= want {
            span.cursor.store(i as u8, Ordering::Relaxed);
            return Left::Filled;
        }
    }
    span.cursor.store(0, Ordering::Relaxed);
    Left::Exhausted
}

/// A span for an arena that has none: from its own empties, an idle shard, or the page heap.
#[cold]
fn find(shard: &Shard<'_>, class: SizeClass) -> Option<PageId> {
    sweep_arena(shard.heap, shard.spans());
    adopt(shard, class).or_else(|| new_span(shard, class))
}

fn new_span(shard: &Shard<'_>, class: SizeClass) -> Option<PageId> {
    let page = carve::span_page(shard.heap, shard.heap_index())?;
    let region = &shard.heap.region;
    let owner = shard.spans_owner();
    region.bitmaps(page, class).fill(owner);
    region.span(page).begin(class, owner);
    region.set_entries(page, 1, class.0);
    Some(page)
}

/// Gives the page of a span that is all free, and in our possession, back to its page heap.
fn release(heap: &Heap, page: PageId, now_ms: u64) {
    let pages = carve::lower_guard(heap, page);
    heap.region.set_entries(page, 1, 0);
    let (page_heap, home) = heap.page_heap_of(page);
    page_heap.free(home, page, pages, RunKind::Dirty, heap.stamp(now_ms));
    purge::limit_dirty(heap, home.node);
}

/// Releases the empty spans of those classes of `arena` that have enough of them to be worth
/// the walk.
fn sweep_arena(heap: &Heap, arena: &Arena) {
    for class in 1..CLASSES {
        let class = SizeClass(class as u8);
        let state = arena.class(class);
        let empties = state.empties.load(Ordering::Relaxed);
        if empties != 0 && empties * 4 >= state.sweep_at.load(Ordering::Relaxed) {
            sweep(heap, arena, class);
        }
    }
}

/// Releases the empty spans in the queue of `class`.
pub fn sweep(heap: &Heap, arena: &Arena, class: SizeClass) {
    let region = &heap.region;
    let now_ms = os::now_ms();
    let mut walked = 0;
    let (mut first, mut last) = (PageId::NONE, PageId::NONE);
    let mut next = arena.take_queue(class);
    while next != PageId::NONE {
        let page = next;
        let span = region.span(page);
        next = PageId(span.next.load(Ordering::Relaxed));
        walked += 1;
        if region.bitmaps(page, class).all_free() {
            release(heap, page, now_ms);
        } else if first == PageId::NONE {
            (first, last) = (page, page);
        } else {
            region.span(last).next.store(page.0, Ordering::Relaxed);
            last = page;
        }
    }
    arena.class(class).swept(walked);
    if first != PageId::NONE {
        arena.enqueue_chain(region, class, first, last);
    }
}

/// Releases the current span of `class` if it is empty; with [`sweep`], all its empty spans.
pub fn release_current(heap: &Heap, arena: &Arena, class: SizeClass) {
    let Some(page) = arena.take_current(class) else {
        return;
    };
    if heap.region.bitmaps(page, class).all_free() {
        release(heap, page, os::now_ms());
    } else {
        arena.enqueue(&heap.region, page);
    }
}

/// Takes over the queued spans of `class` from a shard of the same node that has been idle.
/// One of them is returned in our possession.
fn adopt(shard: &Shard<'_>, class: SizeClass) -> Option<PageId> {
    let (heap, me) = (shard.heap, shard.spans_owner());
    if !shard.has_cache() {
        return None;
    }
    let now_ms = os::now_ms();
    let idle_since = now_ms.saturating_sub(heap.options.drain_ms);
    let arena_of = |id| Shard::arena_of(heap, id);
    let is_idle = |arena: &Arena| arena.last_used_ms.load(Ordering::Relaxed) < idle_since;
    let donor = heap.ids().find(|&id| {
        let owner = heap.owner_of(id);
        owner != me
            && owner.of_arena() == id
            && heap.heap_of_node(heap.node_of(id)) == shard.heap_index()
            && arena_of(id).is_some_and(|arena| arena.has_queued(class))
            && heap.sharers(id).filter_map(arena_of).all(is_idle)
    })?;
    let arena = arena_of(donor)?;
    let chain = arena.take_queue(class);
    if chain == PageId::NONE {
        return None;
    }
    give_to(shard, class, chain, arena, heap.owner_of(donor))
}

/// Makes the spans of `chain`, all in our possession and `old`'s before, ours: OWNER-FENCED.
fn give_to(
    shard: &Shard<'_>,
    class: SizeClass,
    chain: PageId,
    donor: &Arena,
    old: ShardId,
) -> Option<PageId> {
    let (region, me) = (&shard.heap.region, shard.spans_owner());
    let each = |owner: ShardId| {
        let mut last = chain;
        let mut next = chain;
        while next != PageId::NONE {
            last = next;
            region.span(next).set_owner(owner);
            next = PageId(region.span(next).next.load(Ordering::Relaxed));
        }
        last
    };
    let last = each(ShardId::NOBODY);
    // The local bits of a group's spans are nobody's, and always zero.
    if old.has_local_bits() && shard::stop(shard.heap, old).is_none() {
        // Sections of the old owner may be under way; for them nothing has changed.
        each(old);
        donor.enqueue_chain(region, class, chain, last);
        return None;
    }
    each(me);
    fence(Ordering::SeqCst);
    let rest = PageId(region.span(chain).next.load(Ordering::Relaxed));
    if rest != PageId::NONE {
        shard.spans().enqueue_chain(region, class, rest, last);
    }
    Some(chain)
}

/// Calls `f` with each span there is, as far as can be seen while others go on.
pub fn for_each_span(heap: &Heap, mut f: impl FnMut(PageId, &Span)) {
    let end = heap.region.end();
    let mut page = PageId(crate::config::EXTENT_PAGES);
    while page < end {
        let entry = heap.region.entry(page);
        if entry != 0 && (entry as usize) < CLASSES {
            f(page, heap.region.span(page));
        }
        page = page.plus(1);
    }
}

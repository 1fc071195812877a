//! What is done now and then, by whoever is on a slow path when it is due.
//!
//! ```text
//!  every sixteenth of decay_ms   free pages older than decay_ms are purged
//!  every drain_ms                shards of which nobody made use since are drained;
//!                                of the others, classes of which nobody made use, by who uses them
//! ```
//!
//! One thread does it, the others pass by. A process in which nothing allocates any more stays
//! as it is: the library makes no threads.

use crate::arena::Arena;
use crate::cache;
use crate::config::DECAY_PERIODS;
use crate::flush;
use crate::foreign;
use crate::heap::Heap;
use crate::ids::SizeClass;
use crate::purge;
use crate::quarantine;
use crate::shard;
use crate::size_class::CLASSES;
use crate::supply;
use rseq_sys::area::thread_pointer;
use rseq_sys::sync::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// Thread pointer of who does maintenance, or 0.
static MAINTAINER: AtomicUsize = AtomicUsize::new(0);
/// Shards drained since the start.
static DRAINS: AtomicU64 = AtomicU64::new(0);
static NEXT_PURGE_MS: AtomicU64 = AtomicU64::new(0);
static NEXT_DRAIN_MS: AtomicU64 = AtomicU64::new(0);

/// Shards drained since the start.
#[must_use]
pub fn drains() -> u64 {
    DRAINS.load(Relaxed)
}

/// In a child of `fork`: the maintainer is not here to end it, unless it is the thread that
/// forked, from a handler, and will go on with it.
pub fn forget_others() {
    if MAINTAINER.load(Relaxed) != thread_pointer() {
        MAINTAINER.store(0, Relaxed);
    }
}

/// Does what is due at `now_ms`.
#[inline]
pub fn tick(heap: &Heap, now_ms: u64) {
    if now_ms >= NEXT_PURGE_MS.load(Relaxed) {
        work(heap, now_ms);
    }
}

#[cold]
fn work(heap: &Heap, now_ms: u64) {
    let Some(_turn) = Turn::take() else { return };
    NEXT_PURGE_MS
        .store(now_ms + (heap.options.decay_ms / u64::from(DECAY_PERIODS)).max(1), Relaxed);
    for i in 0..heap.page_heaps() {
        purge::purge_due(heap, i, now_ms);
    }
    let next_drain = NEXT_DRAIN_MS.load(Relaxed);
    if now_ms >= next_drain {
        NEXT_DRAIN_MS.store(now_ms + heap.options.drain_ms.max(1), Relaxed);
        if next_drain != 0 {
            drain_idle(heap, now_ms);
        }
    }
}

/// The right to do maintenance: one thread's at a time, known to a child of `fork`.
struct Turn;

impl Turn {
    fn take() -> Option<Self> {
        MAINTAINER.compare_exchange(0, thread_pointer(), Acquire, Relaxed).is_ok().then(|| Self)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        MAINTAINER.store(0, Release);
    }
}

/// Drains the shards on which neither a slow nor a fast operation happened since the last look.
fn drain_idle(heap: &Heap, now_ms: u64) {
    let idle_since = now_ms.saturating_sub(heap.options.drain_ms);
    for shard in shard::all_ready(heap) {
        let ops = shard.ops_sum();
        let unchanged = shard.arena.ops_at_tick.swap(ops, Relaxed) == ops;
        if unchanged && shard.arena.last_used_ms.load(Relaxed) < idle_since {
            drain(heap, &shard);
        }
    }
}

fn drain(heap: &Heap, shard: &shard::Shard<'_>) {
    if shard.drain(|class, objects| flush::send_home(heap, class, objects)) {
        DRAINS.fetch_add(1, Relaxed);
        release_empty(heap, shard.spans());
    }
}

/// Releases all empty spans of `arena`.
fn release_empty(heap: &Heap, arena: &Arena) {
    for class in 1..CLASSES {
        let class = SizeClass(class as u8);
        supply::release_current(heap, arena, class);
        supply::sweep(heap, arena, class);
    }
}

/// Every `drain_ms`, for the shard of the calling thread: sends the objects of classes home that
/// nobody asked for since the last time, and releases the spans that are empty by then.
///
/// A cached object keeps the whole span that it is from. Programs whose sizes drift would keep a
/// cache for each size that they ever used.
#[inline]
pub fn tidy(shard: &shard::Shard<'_>, now_ms: u64) {
    let due = &shard.arena.next_tidy_ms;
    let at = due.load(Relaxed);
    if now_ms < at {
        return;
    }
    let next = now_ms + shard.heap.options.drain_ms.max(1);
    // The first time there is nothing to compare with, but that costs as much to find out.
    if due.compare_exchange(at, next, Relaxed, Relaxed).is_ok() {
        send_unused_home(shard);
    }
}

#[cold]
fn send_unused_home(shard: &shard::Shard<'_>) {
    foreign::drop_unused(shard);
    for class in 1..CLASSES {
        let class = SizeClass(class as u8);
        if cache::drop_unused(shard, class) {
            supply::release_current(shard.heap, shard.spans(), class);
        }
        if shard.spans().class(class).empties.load(Relaxed) != 0 {
            supply::sweep(shard.heap, shard.spans(), class);
        }
    }
}

/// Gives all memory back that can be given: empties the quarantine of the hardened mode, drains every shard but the caller's, empties that
/// one, releases empty spans and purges all free pages. Returns the bytes purged.
///
/// Thread-safe; costs a fence per shard.
#[cold]
pub fn trim(heap: &Heap) -> usize {
    // What somebody else has in hand now need not be done twice, but the rest is ours to do.
    let _turn = Turn::take();
    quarantine::empty(heap);
    let current = shard::Shard::current(heap);
    cache::empty(&current);
    foreign::empty(&current);
    let me = current.arena.id();
    for shard in shard::all_ready(heap).filter(|shard| shard.arena.id() != me) {
        drain(heap, &shard);
    }
    let arenas = heap.ids().filter_map(|id| shard::Shard::arena_of(heap, id));
    for arena in arenas.chain(heap.orphans()) {
        release_empty(heap, arena);
    }
    purge::purge_all(heap)
}

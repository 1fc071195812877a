//! The slow twins of the fast paths: what happens on a miss.
//!
//! ```text
//!  refill   adjust capacity ► collect a batch from spans ► push all but one ► return that one
//!  overflow adjust capacity ► pop a batch ► send it home ► push the one that did not fit
//!           of another node: it waits with its like, or all of them go home
//! ```
//!
//! A thread without a cid, or whose shard is not ready, goes the same ways with a capacity of
//! 0: one object at a time, straight from and to the spans.

use crate::batch::Batch;
use crate::cache::{self, Miss};
use crate::config::HAND_MAX;
use crate::flush;
use crate::foreign;
use crate::hardened::{self, random};
use crate::heap;
use crate::ids::SizeClass;
use crate::maintenance;
use crate::nodes;
use crate::os;
use crate::parts::Parts;
use crate::shard::Shard;
use crate::start;
use crate::supply;
use core::ptr::{null_mut, with_exposed_provenance_mut};
use rseq_sys::sync::Ordering::Relaxed;

/// Moves to another cid that a refill follows before it takes what the orphans have.
const MOVES: usize = 64;

/// An object of `class`, or null with `ENOMEM` when memory has ended.
#[cold]
#[inline(never)]
pub fn refill(class: SizeClass) -> *mut u8 {
    os::ErrnoGuard::new().allocated(fetch(class))
}

fn fetch(class: SizeClass) -> *mut u8 {
    let Ok(heap) = start::heap() else {
        return null_mut();
    };
    for _ in 0..MOVES {
        let shard = Shard::current(heap);
        touch(&shard);
        let capacity = cache::adjust(&shard, class, Miss::Refill);
        let want = (capacity / 2).clamp(1, class.info().batch as usize);
        let object = bring(&shard, class, want);
        if !object.is_null() {
            return object;
        }
        if Shard::current(heap).arena.id() == shard.arena.id() {
            break;
        }
    }
    let object = bring(&Shard::orphan(heap), class, 1);
    if !object.is_null() {
        return object;
    }
    // Out of memory, but for what lies free in other places.
    maintenance::trim(heap);
    let object = bring(&Shard::current(heap), class, 1);
    if object.is_null() { bring(&Shard::orphan(heap), class, 1) } else { object }
}

/// Brings `want` objects from the arena to the shard, but for one that is returned; fewer when
/// the thread moves to another cid. Null when there is none.
fn bring(shard: &Shard<'_>, class: SizeClass, want: usize) -> *mut u8 {
    let mut object = None;
    let mut brought = 0;
    while brought < want {
        let mut batch = Batch::new();
        let room = (want - brought).min(HAND_MAX);
        supply::collect(shard, class, &mut batch, room);
        if hardened::parts().has(Parts::RANDOM) {
            random::rotate(batch.as_mut_slice());
        }
        let mut rest = batch.as_slice();
        brought += rest.len();
        if object.is_none()
            && let Some((&last, others)) = rest.split_last()
        {
            (object, rest) = (Some(last), others);
        }
        let pushed = cache::push_batch(shard, class, rest);
        if pushed < rest.len() {
            core::hint::cold_path();
            flush::send_home(shard.heap, class, &rest[pushed..]);
            break;
        }
        if batch.len() < room {
            break;
        }
    }
    let counters = &shard.arena.class(class).counters;
    counters.refills.fetch_add(1, Relaxed);
    counters.refilled.fetch_add(brought as u64, Relaxed);
    object.map_or(null_mut(), with_exposed_provenance_mut)
}

/// Takes back `object` of `class`, for which its shard had no room.
#[cold]
#[inline(never)]
pub fn overflow(class: SizeClass, object: usize) {
    let _errno = os::ErrnoGuard::new();
    // An object exists, so the heap was started.
    let Some(heap) = heap::started() else { return };
    let shard = Shard::current(heap);
    touch(&shard);
    if foreign::keep(&shard, class, object) {
        return;
    }
    let capacity = cache::adjust(&shard, class, Miss::Flush);
    let want = (capacity / 2).clamp(1, class.info().batch as usize);
    if capacity > 0 && cache::push_batch(&shard, class, &[object]) == 1 {
        // It had just been given room.
        return;
    }
    let popped = if capacity > 0 { cache::send_home(&shard, class, want) } else { 0 };
    let kept = popped > 0 && cache::push_batch(&shard, class, &[object]) == 1;
    if !kept {
        flush::send_home(heap, class, &[object]);
    }
    let counters = &shard.arena.class(class).counters;
    counters.flushes.fetch_add(1, Relaxed);
    counters.flushed.fetch_add(popped as u64 + u64::from(!kept), Relaxed);
}

fn touch(shard: &Shard<'_>) {
    let now_ms = os::now_ms();
    shard.arena.last_used_ms.store(now_ms, Relaxed);
    let id = shard.arena.id();
    if shard.heap.nodes > 1 && shard.has_cache() {
        nodes::see(id.column(), shard.heap.node_of(id));
    }
    maintenance::tick(shard.heap, now_ms);
    maintenance::tidy(shard, now_ms);
}

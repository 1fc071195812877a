//! Frees on machines with several nodes: an object of another node never enters a shard's class.
//!
//! ```text
//!  free(p) ─ node of p's page ─ push_on_node ─────────────────────────────► done
//!                                 │ full, or the shard is of another node
//!                                 ▼
//!                 of another: push to HOMEWARD ───────────────────────────► done
//!                                 │ full
//!                                 ▼
//!               keep: pop 64 ► sort by class and address ► home by remote bits, twice; push
//! ```
//!
//! HOMEWARD is one more array of the shard, whose objects are of any class and are never handed
//! out. That of a thread which came back to the object's node in the middle of it may hold a few
//! of its own; they go home all the same. Large ones do not wait (`HOMEWARD_SIZE_MAX`).
//!
//! The node is compared inside the window of the push, since a thread may be moved to another
//! one at any time. Threads without a shard send each object home by itself.
#![allow(unsafe_code)]

use crate::config::{HAND_MAX, PAGE};
use crate::flush;
use crate::heap::Heap;
use crate::ids::{PageId, SizeClass};
use crate::mixed;
use crate::section;
use crate::shard::Shard;
use crate::size_class::{HOMEWARD_SIZE_MAX, HOMEWARD_SLOTS, is_object_start};
use rseq_sys::cs::INACTIVE;
use rseq_sys::sync::Ordering::Relaxed;

/// Takes back the object at `address` in one section or two, where there are several page heaps.
/// False where that is not to be: it is no object of a class, there is no room, or no shard.
#[inline(never)]
#[must_use]
pub fn free(heap: &Heap, address: usize) -> bool {
    let Some(offset) = heap.region.offset_of(address) else {
        return false;
    };
    let page = PageId::of_offset(offset);
    let entry = heap.region.entry(page);
    if !is_object_start(entry.into(), offset & (PAGE - 1)) {
        return false;
    }
    let (class, node) = (SizeClass(entry), heap.region.node_of(page));
    // SAFETY: an object of this class and node, given up by the caller.
    if unsafe { section::push_on_node(heap, class, address, node) } {
        return true;
    }
    section::shard_id(heap).is_some_and(|id| heap.node_of(id) != node)
        && class.info().size <= HOMEWARD_SIZE_MAX
        // SAFETY: an object given up by the caller.
        && unsafe { section::push_homeward(heap, address) }
}

/// Takes back `object` of `class` in `shard`, which is of another node: it waits, and if there is
/// no room all that waits goes home first. False when it is of the shard's own node.
#[must_use]
pub fn keep(shard: &Shard<'_>, class: SizeClass, object: usize) -> bool {
    let heap = shard.heap;
    if heap.page_heaps() == 1 || heap.home_of(object) == shard.heap_index() {
        return false;
    }
    if class.info().size <= HOMEWARD_SIZE_MAX
        && let Some(header) = shard.homeward_header()
    {
        if header.shape() == INACTIVE.shape() {
            section::open_homeward(heap);
        } else {
            empty(shard);
        }
        // SAFETY: an object given up by the caller.
        if unsafe { section::push_homeward(heap, object) } {
            return true;
        }
    }
    flush::send_home(heap, class, &[object]);
    shard.arena.homeward.straight.fetch_add(1, Relaxed);
    true
}

/// Sends home what waits in the shard of the calling thread, `shard` as far as that is known.
pub fn empty(shard: &Shard<'_>) {
    let heap = shard.heap;
    if heap.page_heaps() == 1 || !shard.has_cache() {
        return;
    }
    let state = &shard.arena.homeward;
    let mut hand = [0usize; HAND_MAX];
    for _ in 0..usize::from(HOMEWARD_SLOTS).div_ceil(HAND_MAX) {
        let popped = section::pop_homeward(heap, &mut hand);
        if popped == 0 {
            return;
        }
        mixed::by_class(&heap.region, &mut hand[..popped], |class, objects| {
            flush::send_home(heap, class, objects);
        });
        state.batches.fetch_add(1, Relaxed);
        state.sent.fetch_add(popped as u64, Relaxed);
    }
}

/// As [`empty`], if nothing came to wait since the last call.
pub fn drop_unused(shard: &Shard<'_>) {
    let Some(header) = shard.homeward_header() else { return };
    let before = shard.arena.homeward.ops_at_tidy.swap(header.ops(), Relaxed);
    if before == header.ops() && header.shape() != INACTIVE.shape() {
        empty(shard);
    }
}

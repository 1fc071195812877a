//! Decay: when free pages go back to the system.
//!
//! ```text
//!  now                                            freed in period    goes when
//!   ▼  stamp = now in sixteenths of decay_ms       stamp − 17, …      it is due
//!  ─┴──┬──┬──┬──┬──┬──┬──┬──┬──┬──┬──┬──┬──┬──     any                too many are dirty
//!      16 periods = decay_ms
//! ```
//!
//! Two clocks of one page heap: age, looked at when maintenance comes by, and amount, looked at
//! by whoever frees pages. The second one bounds what a process keeps that frees everything
//! and then never calls again.

use crate::config::{DECAY_PERIODS, PAGE_SHIFT};
use crate::heap::Heap;
use crate::os;
use rseq_sys::sync::Ordering::Relaxed;

/// Free pages that may stay backed before they are old: this many, and as many as are in use.
const DIRTY_PAGES_MIN: usize = 64 << 20 >> PAGE_SHIFT;

/// Purges the pages of page heap `index` that have been free for longer than the decay time.
pub fn purge_due(heap: &Heap, index: usize, now_ms: u64) {
    let (page_heap, home) = heap.page_heap(index);
    page_heap.purge(home, heap.stamp(now_ms), DECAY_PERIODS, usize::MAX);
}

/// Purges when more free pages are backed than is worth keeping. For callers that just freed.
#[inline]
pub fn limit_dirty(heap: &Heap, index: usize) {
    let (page_heap, home) = heap.page_heap(index);
    let dirty = page_heap.counters.dirty_pages.load(Relaxed);
    let limit = match heap.options.decay_ms {
        // Asked to keep nothing.
        0 => 0,
        _ => DIRTY_PAGES_MIN + page_heap.counters.busy_pages.load(Relaxed),
    };
    if dirty > limit {
        core::hint::cold_path();
        let now = heap.stamp(os::now_ms());
        if !page_heap.was_refused(now) {
            page_heap.purge(home, now, DECAY_PERIODS, limit / 4 * 3);
        }
    }
}

/// Purges all free pages. Returns the bytes given back.
pub fn purge_all(heap: &Heap) -> usize {
    (0..heap.page_heaps())
        .map(|i| {
            let (page_heap, home) = heap.page_heap(i);
            page_heap.purge(home, heap.stamp(os::now_ms()), 0, 0)
        })
        .sum()
}

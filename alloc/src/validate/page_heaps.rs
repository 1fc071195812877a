//! The page heaps' share of conservation: free runs, their bins, and the counters.

use super::{Census, Violation, mark_run};
use crate::bins::{BINS, bin_of};
use crate::config::EXTENT_PAGES;
use crate::heap::Heap;
use crate::ids::PageId;
use crate::marks::Marks;
use crate::runs::Runs;
use crate::span::RunKind;
use rseq_sys::sync::Ordering::Relaxed;

/// Every free run is in its bin, of its kind, and merged; the counters agree.
pub(super) fn walk(
    heap: &Heap,
    end: PageId,
    runs: &mut Marks,
    census: &mut Census,
) -> Result<(), Violation> {
    let mut busy = 0;
    for i in 0..heap.page_heaps() {
        let (page_heap, home) = heap.page_heap(i);
        let (dirty, clean) = page_heap
            .inspect(home, |free| {
                free_runs(heap, end, i, RunKind::Dirty, free, runs)?;
                free_runs(heap, end, i, RunKind::Clean, free, runs)?;
                Ok((free.of(RunKind::Dirty).pages(), free.of(RunKind::Clean).pages()))
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
    let counted = census.spans + census.large_pages + census.closed_pages;
    if busy != counted {
        return Err(Violation::Counter { name: "busy_pages", counter: busy, counted });
    }
    Ok(())
}

fn free_runs(
    heap: &Heap,
    end: PageId,
    node: usize,
    kind: RunKind,
    free: &Runs,
    runs: &mut Marks,
) -> Result<(), Violation> {
    let (region, bins) = (&heap.region, free.of(kind));
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

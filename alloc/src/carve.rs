//! Runs of pages cut out of longer ones, and the guard at the end of a run.
//!
//! ```text
//!  run of the page heap   │ front │ pages │ back │     front and back go back at once
//!  hardened               │ span │ guard │            large …  │ guard │
//! ```
//!
//! Without the hardened mode there are no guards, and a span is one page wherever the heap has it.
#![allow(unsafe_code)]

use crate::bins::mark_busy;
use crate::config::PAGE;
use crate::hardened::guard::{self, Kind};
use crate::hardened::{self, random, zero};
use crate::heap::Heap;
use crate::ids::PageId;
use crate::os;
use crate::page_heap::{PageHeap, Run};
use crate::parts::Parts;
use crate::runs::Home;
use crate::size_class::GUARD;
use crate::span::RunKind;
use rseq_sys::sync::Ordering::Relaxed;

/// Pages that a span's run may be longer, to lie at a random place of it, at most.
const SPARE_MAX: usize = 3;

/// Pages at the end of each run that nobody may touch.
#[must_use]
pub fn guard_pages() -> u32 {
    hardened::parts().has(Parts::GUARD).into()
}

/// Gives all of `run`, which is `total` pages long, back but for the `pages` after `front`. Returns
/// the first of these.
pub fn cut_out(
    heap: &Heap,
    (page_heap, home): (&PageHeap, Home<'_>),
    (run, total): (Run, u32),
    front: u32,
    pages: u32,
) -> PageId {
    let page = run.page.plus(front);
    mark_busy(&heap.region, page, pages);
    let kind = if run.zeroed { RunKind::Clean } else { RunKind::Dirty };
    let stamp = heap.stamp(os::now_ms());
    for (part, length) in [(run.page, front), (page.plus(pages), total - pages - front)] {
        if length > 0 {
            page_heap.free(home, part, length, kind, stamp);
        }
    }
    page
}

/// A page for a span, with its guard behind it; `None` when memory has ended.
#[must_use]
pub fn span_page(heap: &Heap, index: usize) -> Option<PageId> {
    let (page_heap, home) = heap.page_heap(index);
    let parts = hardened::parts();
    if parts == Parts::NONE {
        return page_heap.alloc(home, 1).ok().map(|run| run.page);
    }
    let pages = 1 + guard_pages();
    let spare = if parts.has(Parts::RANDOM) { random::below(SPARE_MAX + 1) as u32 } else { 0 };
    let roomy = (spare > 0).then(|| page_heap.alloc(home, pages + spare).ok()).flatten();
    let run = match roomy {
        Some(run) => {
            let front = random::below(spare as usize + 1) as u32;
            let whole = (run, pages + spare);
            Run { page: cut_out(heap, (page_heap, home), whole, front, pages), ..run }
        }
        None => page_heap.alloc(home, pages).ok()?,
    };
    if parts.has(Parts::ZERO) {
        if !run.zeroed {
            // SAFETY: a page that nobody else has.
            unsafe { zero::clear(heap.region.address(run.page), PAGE) };
        }
        heap.region.span(run.page).set_backed(if run.zeroed { 0 } else { u8::MAX });
    }
    if pages > 1 {
        raise_guard(heap, run.page.plus(1));
    }
    Some(run.page)
}

/// Part of a page that is written to at once.
const EIGHTH: usize = PAGE / 8;

/// The eighths of a page in which the bytes from `from` to `end` lie, which are not none.
fn eighths(from: usize, end: usize) -> u8 {
    u8::MAX << (from / EIGHTH) & u8::MAX >> (7 - (end - 1) / EIGHTH)
}

/// The objects from `from` to `end` of the span at `page`, which the caller possesses, are about to
/// be handed out, and looked at before: sees to it that their memory is there.
#[inline]
pub fn back(heap: &Heap, page: PageId, from: usize, end: usize) {
    let span = heap.region.span(page);
    let (needed, backed) = (eighths(from, end), span.backed());
    if needed & !backed != 0 {
        span.set_backed(backed | needed);
        for i in (0..8).filter(|i| needed & !backed & 1 << i != 0) {
            let eighth = heap.region.address(page).wrapping_add(i * EIGHTH);
            // SAFETY: part of a span that the caller possesses, of which nobody had an object yet.
            unsafe { zero::touch(eighth, EIGHTH, heap.os_page) };
        }
    }
}

/// Makes `page`, the last one of a busy run, its guard.
pub fn raise_guard(heap: &Heap, page: PageId) {
    heap.region.set_entries(page, 1, GUARD);
    // SAFETY: a page of a run that the caller has, and that it gives to nobody.
    let kind = unsafe { guard::raise(heap.region.address(page), PAGE) };
    heap.region.span(page).run_stamp.store(kind as u32, Relaxed);
}

/// Gives the guard at `last` up. False where the system refuses: it stays what it is for ever.
#[must_use]
pub fn lower_guard_at(heap: &Heap, last: PageId) -> bool {
    let region = &heap.region;
    let kind = Kind::of(region.span(last).run_stamp.load(Relaxed));
    // SAFETY: the guard of a run that the caller has.
    let lowered = unsafe { guard::lower(region.address(last), PAGE, kind) };
    if lowered {
        region.set_entries(last, 1, 0);
    }
    lowered
}

/// Gives the guard of the busy run at `page` up, if it has one. Returns the pages of the run that
/// may be used again.
#[must_use]
pub fn lower_guard(heap: &Heap, page: PageId) -> u32 {
    let pages = heap.region.span(page).run_pages.load(Relaxed);
    let last = page.plus(pages - 1);
    if guard_pages() == 0 || lower_guard_at(heap, last) {
        return pages;
    }
    mark_busy(&heap.region, last, 1);
    pages - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eighths_are_those_that_hold_a_byte_of_the_range() {
        for from in (0..PAGE).step_by(16) {
            for end in (from + 16..=PAGE).step_by(1008).chain([PAGE]) {
                let holds = |i: &usize| from < (i + 1) * EIGHTH && i * EIGHTH < end;
                let all = (0..8).filter(holds).fold(0, |all, i| all | 1 << i);
                assert_eq!(eighths(from, end), all, "{from} to {end}");
            }
        }
    }
}

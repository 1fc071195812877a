//! The quarantine's ways out, and its way in for large blocks.
//!
//! ```text
//!  object ─► ring ─► whoever pushes it out frees it, or trim sends it home
//!  large  ─► no access, no memory ─► ring ─► access again, reads as zero ─► page heap
//! ```
//!
//! A large block that waits costs address space and nothing else, and each use of it is a signal.
#![allow(unsafe_code)]

use crate::carve;
use crate::config::{PAGE, PAGE_SHIFT};
use crate::flush;
use crate::hardened::guard::{self, Kind};
use crate::hardened::{self, rings};
use crate::heap::Heap;
use crate::ids::{PageId, SizeClass};
use crate::os;
use crate::purge;
use crate::size_class::{CLASSES, WAITING};
use crate::span::RunKind;
use rseq_sys::sync::Ordering::Relaxed;

/// Sends everything that waits home.
pub fn empty(heap: &Heap) {
    if hardened::is_on() {
        rings::take_each(|address| let_go(heap, address));
    }
}

fn let_go(heap: &Heap, address: usize) {
    let Some(page) = heap.region.handed_out(address) else { return };
    match heap.region.entry(page) {
        WAITING => release(heap, page),
        entry if entry != 0 && usize::from(entry) < CLASSES => {
            flush::send_home(heap, SizeClass(entry), &[address]);
        }
        _ => {}
    }
}

/// The large block at `page`, which its owner gave up, begins to wait; another one ends it.
pub fn enter_large(heap: &Heap, page: PageId) {
    let region = &heap.region;
    let pages = carve::lower_guard(heap, page);
    region.set_entries(page, pages, WAITING);
    let span = region.span(page);
    crate::bins::mark_busy(region, page, pages);
    // SAFETY: the whole of a run that its owner gave up.
    let kind = unsafe { guard::raise(region.address(page), (pages as usize) << PAGE_SHIFT) };
    span.run_stamp.store(kind as u32, Relaxed);
    let next = rings::enter_large(region.address(page).addr());
    if next != 0 {
        let_go(heap, next);
    }
}

fn release(heap: &Heap, page: PageId) {
    let region = &heap.region;
    let span = region.span(page);
    let pages = span.run_pages.load(Relaxed);
    let (address, len) = (region.address(page), pages as usize * PAGE);
    let kind = Kind::of(span.run_stamp.load(Relaxed));
    // SAFETY: a run that nobody has, out of the ring by one swap.
    if !unsafe { guard::lower(address, len, kind) } {
        // It holds no memory, and can never be used again.
        return;
    }
    // SAFETY: as above.
    let zeroed = kind == Kind::Light || unsafe { os::purge(address, len) };
    region.set_entries(page, pages, 0);
    let (page_heap, home) = heap.page_heap_of(page);
    let kind = if zeroed { RunKind::Clean } else { RunKind::Dirty };
    page_heap.free(home, page, pages, kind, heap.stamp(os::now_ms()));
    purge::limit_dirty(heap, home.node);
}

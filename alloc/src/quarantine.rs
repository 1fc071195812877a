//! The quarantine's ways out, and its way in for large blocks.
//!
//! ```text
//!  object ─► ring ─► whoever pushes it out frees it, or trim sends it home
//!  large  ─► no access, no memory ─► ring ─► access again, reads as zero ─► page heap
//!  of at most 1 MiB: cleared, no access ──┘
//! ```
//!
//! Each use of a large block that waits is a signal. One of more than 1 MiB costs address space and
//! nothing else meanwhile. Smaller ones keep their memory: programs free and allocate them all the
//! time, and clearing it costs less than the faults by which they would get it back, one a page.
#![allow(unsafe_code)]

use crate::carve;
use crate::config::{PAGE, PAGE_SHIFT};
use crate::flush;
use crate::hardened::guard::{self, Kind};
use crate::hardened::{self, rings, zero};
use crate::heap::Heap;
use crate::ids::{PageId, SizeClass};
use crate::os;
use crate::parts::Parts;
use crate::purge;
use crate::size_class::{CLASSES, WAITING};
use crate::span::RunKind;
use rseq_sys::sync::Ordering::Relaxed;

/// Bytes of a large block, and of its guard, that keeps its memory.
const KEPT_BYTES_MAX: usize = 1 << 20;
/// As many of the kernel's pages, where they are the smallest.
const KEPT_PAGES_MAX: usize = KEPT_BYTES_MAX >> 12;

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
    let (address, len) = (region.address(page), (pages as usize) << PAGE_SHIFT);
    // SAFETY: the whole of a run that its owner gave up.
    let wiped = unsafe { is_wiped(heap, address, len) };
    // SAFETY: as above.
    let kind = if wiped && unsafe { guard::shut(address, len) } {
        Kind::Shut
    } else {
        // SAFETY: as above.
        unsafe { guard::raise(address, len) }
    };
    span.run_stamp.store(kind as u32, Relaxed);
    let next = rings::enter_large(address.addr());
    if next != 0 {
        let_go(heap, next);
    }
}

/// Whether the run of `len` bytes at `address` may keep its memory, and its owner's bytes are gone
/// from it: as far as it has memory from its beginning on, they are cleared; what follows goes back.
///
/// # Safety
/// The whole of a run that its owner gave up.
unsafe fn is_wiped(heap: &Heap, address: *mut u8, len: usize) -> bool {
    if len > KEPT_BYTES_MAX {
        return false;
    }
    if !hardened::parts().has(Parts::ZERO) {
        return true;
    }
    // SAFETY: by the caller's promise.
    let pages = unsafe { os::resident_pages::<KEPT_PAGES_MAX>(address, len, heap.os_page) };
    let Some(pages) = pages else { return false };
    let bytes = pages * heap.os_page;
    if bytes > 0 {
        // SAFETY: as above.
        unsafe { zero::clear(address, bytes) };
    }
    // SAFETY: as above.
    bytes == len || unsafe { os::purge(address.wrapping_add(bytes), len - bytes) }
}

fn release(heap: &Heap, page: PageId) {
    let region = &heap.region;
    let span = region.span(page);
    let pages = span.run_pages.load(Relaxed);
    let (address, len) = (region.address(page), pages as usize * PAGE);
    let kind = Kind::of(span.run_stamp.load(Relaxed));
    // SAFETY: a run that nobody has, out of the ring by one swap.
    if !unsafe { guard::lower(address, len, kind) } {
        // It can never be used again. A guard holds no memory; this one may.
        // SAFETY: as above.
        let _ = unsafe { os::purge(address, len) };
        return;
    }
    let zeroed = match kind {
        Kind::Light => true,
        // Backed: who purges must hear of it.
        Kind::Shut => false,
        // SAFETY: as above.
        Kind::Split | Kind::None => unsafe { os::purge(address, len) },
    };
    region.set_entries(page, pages, 0);
    let (page_heap, home) = heap.page_heap_of(page);
    let kind = if zeroed { RunKind::Clean } else { RunKind::Dirty };
    page_heap.free(home, page, pages, kind, heap.stamp(os::now_ms()));
    purge::limit_dirty(heap, home.node);
}

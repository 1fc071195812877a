//! Objects above the largest class: page runs, straight from the node's page heap.
//!
//! ```text
//!  page map   LARGE  BODY  BODY  BODY   GUARD, in the hardened mode
//!             ├──────────────────┤ run of pages
//!             ├───────────────┤    usable bytes: what was asked for, up to whole kernel pages
//! ```
//!
//! The usable size is counted in kernel pages, not ours, so that programs which book what
//! `malloc_usable_size` says are not charged for pages that nobody touches.
#![allow(unsafe_code)]

use crate::bins::mark_busy;
use crate::carve;
use crate::config::{PAGE, PAGE_SHIFT};
use crate::hardened;
use crate::heap::Heap;
use crate::ids::PageId;
use crate::maintenance;
use crate::os;
use crate::parts::Parts;
use crate::purge;
use crate::shard::Shard;
use crate::size_class::{LARGE, LARGE_BODY};
use crate::span::RunKind;
use core::ptr::null_mut;
use rseq_sys::sync::Ordering::Relaxed;

/// A block handed out, and whether it reads as zero.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    /// Its address, or null.
    pub address: *mut u8,
    /// Whether it reads as zero.
    pub zeroed: bool,
}

const NOTHING: Block = Block { address: null_mut(), zeroed: false };

/// Pages for `bytes`, if any region could hold them.
fn pages_for(heap: &Heap, bytes: usize) -> Option<u32> {
    (bytes <= heap.region.bytes()).then(|| bytes.div_ceil(PAGE).max(1) as u32)
}

/// A block of `bytes` bytes at a multiple of `align`, a power of two. Null with `ENOMEM` when
/// memory ended.
pub fn alloc(heap: &Heap, bytes: usize, align: usize) -> Block {
    let errno = os::ErrnoGuard::new();
    let block = find(heap, bytes, align);
    errno.allocated(block.address);
    block
}

fn find(heap: &Heap, bytes: usize, align: usize) -> Block {
    let now_ms = os::now_ms();
    maintenance::tick(heap, now_ms);
    let Some(pages) = pages_for(heap, bytes) else {
        return NOTHING;
    };
    let slack = align.div_ceil(PAGE).max(1) - 1;
    let guard = carve::guard_pages();
    let all = pages.checked_add(guard);
    let total = u32::try_from(slack).ok().zip(all).and_then(|(slack, all)| all.checked_add(slack));
    let Some(total) = total else { return NOTHING };
    let shard = Shard::current(heap);
    let (page_heap, home) = heap.page_heap(shard.heap_index());
    let run = page_heap.alloc(home, total).or_else(|_| {
        // Out of memory, but for what lies free in other places.
        maintenance::trim(heap);
        page_heap.alloc(home, total)
    });
    let Ok(run) = run else { return NOTHING };
    let mut page = run.page;
    if slack > 0 {
        let address = heap.region.address(page).addr();
        let front = ((address.next_multiple_of(align) - address) >> PAGE_SHIFT) as u32;
        page = carve::cut_out(heap, (page_heap, home), (run, total), front, pages + guard);
    }
    let usable = bytes.max(1).next_multiple_of(heap.os_page);
    heap.region.span(page).begin_large(usable);
    heap.region.set_entries(page, 1, LARGE);
    heap.region.set_entries(page.plus(1), pages - 1, LARGE_BODY);
    if guard > 0 {
        carve::raise_guard(heap, page.plus(pages));
    }
    Block { address: heap.region.address(page), zeroed: run.zeroed }
}

/// Takes back the block whose first page is `page`.
pub fn free(heap: &Heap, page: PageId) {
    let now_ms = os::now_ms();
    let pages = carve::lower_guard(heap, page);
    heap.region.set_entries(page, pages, 0);
    let (page_heap, home) = heap.page_heap_of(page);
    let kind = if cleared(heap, page, pages) { RunKind::Clean } else { RunKind::Dirty };
    page_heap.free(home, page, pages, kind, heap.stamp(now_ms));
    purge::limit_dirty(heap, home.node);
    maintenance::tick(heap, now_ms);
}

/// Whether the mode wants pages cleared that are given back, and they are now.
fn cleared(heap: &Heap, page: PageId, pages: u32) -> bool {
    hardened::parts().has(Parts::ZERO)
        // SAFETY: pages of a block that its owner gave up.
        && unsafe { os::purge(heap.region.address(page), (pages as usize) << PAGE_SHIFT) }
}

/// Makes the block at `page` hold `bytes` where it is: true if it now does.
pub fn resize(heap: &Heap, page: PageId, bytes: usize) -> bool {
    let region = &heap.region;
    let Some(wanted) = pages_for(heap, bytes) else {
        return false;
    };
    let pages = region.span(page).run_pages.load(Relaxed) - carve::guard_pages();
    if wanted != pages && !resize_run(heap, page, pages, wanted) {
        return false;
    }
    region.span(page).begin_large(bytes.max(1).next_multiple_of(heap.os_page));
    true
}

/// Makes the block of `pages` pages at `page` one of `wanted`, its guard at its new end.
#[cold]
fn resize_run(heap: &Heap, page: PageId, pages: u32, wanted: u32) -> bool {
    let _errno = os::ErrnoGuard::new();
    let region = &heap.region;
    let (page_heap, home) = heap.page_heap_of(page);
    let guard = carve::guard_pages();
    if guard > 0 && !carve::lower_guard_at(heap, page.plus(pages)) {
        return false;
    }
    let resized = if wanted > pages {
        let extended = page_heap.extend(home, page, pages + guard, wanted + guard).is_some();
        if extended {
            region.set_entries(page.plus(pages), wanted - pages, LARGE_BODY);
        }
        extended
    } else {
        let (first, n) = (page.plus(wanted + guard), pages - wanted);
        region.set_entries(page.plus(wanted), n, 0);
        mark_busy(region, page, wanted + guard);
        let kind = if cleared(heap, first, n) { RunKind::Clean } else { RunKind::Dirty };
        page_heap.free(home, first, n, kind, heap.stamp(os::now_ms()));
        purge::limit_dirty(heap, home.node);
        true
    };
    if guard > 0 {
        carve::raise_guard(heap, page.plus(if resized { wanted } else { pages }));
    }
    resized
}

/// Moves the block at `page` to a new one of `bytes`, by copying. Null when memory ended, and the
/// block then is as it was.
///
/// Not by `mremap`: with a fixed target, which pages of one region need, it unmaps the target
/// before it finds that it cannot move (a source of several mappings, before Linux 6.17), and
/// whatever another thread maps into that hole would be ours to overwrite.
pub fn relocate(heap: &Heap, page: PageId, bytes: usize) -> *mut u8 {
    let new = alloc(heap, bytes, 1).address;
    if new.is_null() {
        return new;
    }
    let _errno = os::ErrnoGuard::new();
    let old = heap.region.address(page);
    let used = heap.region.span(page).large_bytes().min(bytes.next_multiple_of(heap.os_page));
    // SAFETY: both hold at least `used` bytes, or the smaller of what was asked for.
    unsafe { core::ptr::copy_nonoverlapping(old, new, used.min(bytes)) };
    free(heap, page);
    new
}

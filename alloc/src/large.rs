//! Objects above the largest class: page runs, straight from the node's page heap.
//!
//! ```text
//!  page map   LARGE  BODY  BODY  BODY
//!             ├──────────────────┤ run of pages
//!             ├───────────────┤    usable bytes: what was asked for, up to whole kernel pages
//! ```
//!
//! The usable size is counted in kernel pages, not ours, so that programs which book what
//! `malloc_usable_size` says are not charged for pages that nobody touches.
#![allow(unsafe_code)]

use crate::bins::mark_busy;
use crate::config::{PAGE, PAGE_SHIFT};
use crate::heap::Heap;
use crate::ids::PageId;
use crate::maintenance;
use crate::os;
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
    let Some(total) = u32::try_from(slack).ok().and_then(|slack| pages.checked_add(slack)) else {
        return NOTHING;
    };
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
        let back = total - pages - front;
        page = page.plus(front);
        mark_busy(&heap.region, page, pages);
        let kind = if run.zeroed { RunKind::Clean } else { RunKind::Dirty };
        for (part, length) in [(run.page, front), (page.plus(pages), back)] {
            if length > 0 {
                page_heap.free(home, part, length, kind, heap.stamp(now_ms));
            }
        }
    }
    let usable = bytes.max(1).next_multiple_of(heap.os_page);
    heap.region.span(page).begin_large(usable);
    heap.region.set_entries(page, 1, LARGE);
    heap.region.set_entries(page.plus(1), pages - 1, LARGE_BODY);
    Block { address: heap.region.address(page), zeroed: run.zeroed }
}

/// Takes back the block whose first page is `page`.
pub fn free(heap: &Heap, page: PageId) {
    let now_ms = os::now_ms();
    let pages = heap.region.span(page).run_pages.load(Relaxed);
    heap.region.set_entries(page, pages, 0);
    let (page_heap, home) = heap.page_heap_of(page);
    page_heap.free(home, page, pages, RunKind::Dirty, heap.stamp(now_ms));
    purge::limit_dirty(heap, home.node);
    maintenance::tick(heap, now_ms);
}

/// Makes the block at `page` hold `bytes` where it is: true if it now does.
pub fn resize(heap: &Heap, page: PageId, bytes: usize) -> bool {
    let region = &heap.region;
    let Some(wanted) = pages_for(heap, bytes) else {
        return false;
    };
    let pages = region.span(page).run_pages.load(Relaxed);
    if wanted != pages && !resize_run(heap, page, pages, wanted) {
        return false;
    }
    region.span(page).begin_large(bytes.max(1).next_multiple_of(heap.os_page));
    true
}

#[cold]
fn resize_run(heap: &Heap, page: PageId, pages: u32, wanted: u32) -> bool {
    let _errno = os::ErrnoGuard::new();
    let region = &heap.region;
    let (page_heap, home) = heap.page_heap_of(page);
    if wanted > pages {
        if page_heap.extend(home, page, pages, wanted).is_none() {
            return false;
        }
        region.set_entries(page.plus(pages), wanted - pages, LARGE_BODY);
    } else {
        region.set_entries(page.plus(wanted), pages - wanted, 0);
        mark_busy(region, page, wanted);
        let stamp = heap.stamp(os::now_ms());
        page_heap.free(home, page.plus(wanted), pages - wanted, RunKind::Dirty, stamp);
        purge::limit_dirty(heap, home.node);
    }
    true
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

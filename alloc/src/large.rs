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
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// From this many bytes on, growing moves page tables instead of bytes.
const MOVE_BYTES_MIN: usize = 1 << 20;
/// Moves made at most: each may split mappings, of which a process has some 65,000.
const MOVES_MAX: u32 = 4096;
static MOVES: AtomicU32 = AtomicU32::new(0);

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
    let Ok(run) = page_heap.alloc(home, total) else {
        return NOTHING;
    };
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
    free_as(heap, page, RunKind::Dirty);
}

fn free_as(heap: &Heap, page: PageId, kind: RunKind) {
    let now_ms = os::now_ms();
    let pages = heap.region.span(page).run_pages.load(Relaxed);
    heap.region.set_entries(page, pages, 0);
    let (page_heap, home) = heap.page_heap_of(page);
    page_heap.free(home, page, pages, kind, heap.stamp(now_ms));
    purge::limit_dirty(heap, home.node);
    maintenance::tick(heap, now_ms);
}

/// Makes the block at `page` hold `bytes` where it is: true if it now does.
pub fn resize(heap: &Heap, page: PageId, bytes: usize) -> bool {
    let _errno = os::ErrnoGuard::new();
    let region = &heap.region;
    let Some(wanted) = pages_for(heap, bytes) else {
        return false;
    };
    let pages = region.span(page).run_pages.load(Relaxed);
    let (page_heap, home) = heap.page_heap_of(page);
    if wanted > pages {
        if page_heap.extend(home, page, pages, wanted).is_none() {
            return false;
        }
        region.set_entries(page.plus(pages), wanted - pages, LARGE_BODY);
    } else if wanted < pages {
        region.set_entries(page.plus(wanted), pages - wanted, 0);
        mark_busy(region, page, wanted);
        let stamp = heap.stamp(os::now_ms());
        page_heap.free(home, page.plus(wanted), pages - wanted, RunKind::Dirty, stamp);
        purge::limit_dirty(heap, home.node);
    }
    region.span(page).begin_large(bytes.max(1).next_multiple_of(heap.os_page));
    true
}

/// Moves the block at `page` to a new one of `bytes`, by its pages where that pays. Null when
/// memory ended, and the block then is as it was.
pub fn relocate(heap: &Heap, page: PageId, bytes: usize) -> *mut u8 {
    let new = alloc(heap, bytes, 1).address;
    if new.is_null() {
        return new;
    }
    let _errno = os::ErrnoGuard::new();
    let old = heap.region.address(page);
    let used = heap.region.span(page).large_bytes().min(bytes.next_multiple_of(heap.os_page));
    if used >= MOVE_BYTES_MIN && MOVES.load(Relaxed) < MOVES_MAX {
        MOVES.fetch_add(1, Relaxed);
        // SAFETY: two runs in use of at least `used` bytes each, whole kernel pages; the old
        // one is the caller's to give up, the new one nobody has seen.
        if unsafe { os::move_pages(old, new, used) } {
            // What lies behind the usable bytes did not move, and may be an earlier user's.
            let run = (heap.region.span(page).run_pages.load(Relaxed) as usize) << PAGE_SHIFT;
            let (rest, len) = (old.wrapping_add(used), run - used);
            // SAFETY: the end of the run that is given up here, whole kernel pages.
            let clean = len == 0 || unsafe { os::purge(rest, len) };
            free_as(heap, page, if clean { RunKind::Clean } else { RunKind::Dirty });
            return new;
        }
    }
    // SAFETY: both hold at least `used` bytes, or the smaller of what was asked for.
    unsafe { core::ptr::copy_nonoverlapping(old, new, used.min(bytes)) };
    free(heap, page);
    new
}

//! The heap of the `cidalloc` crate in this very process, by its own functions and by its face for
//! Rust. Nobody else uses it, so every object of it is accounted for.

use crate::face::{Face, Left, Old, Request};
use cidalloc::config::PAGE;
use cidalloc::heap::Heap;
use cidalloc::malloc::MIN_ALIGN;
use cidalloc::validate::validate;
use cidalloc::{CidAlloc, free, heap, maintenance, malloc, os, realloc};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{null_mut, with_exposed_provenance, with_exposed_provenance_mut};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The functions of the crate that the C functions are made of.
#[derive(Debug, Clone, Copy)]
pub struct Direct;

/// `GlobalAlloc`: everything by layout.
#[derive(Debug, Clone, Copy)]
pub struct Rust;

/// How far the clock that [`Request::Later`] turns is ahead.
static AHEAD_MS: AtomicU64 = AtomicU64::new(0);

fn resize(block: *mut u8, size: Option<usize>) -> *mut u8 {
    match size {
        // SAFETY: the caller's live block, given up for nothing.
        Some(0) => unsafe {
            free::free(block);
            null_mut()
        },
        // SAFETY: the caller's live block, given up for what comes back.
        Some(size) => unsafe { realloc::realloc(block, size) },
        None => null_mut(),
    }
}

/// Maintenance, which makes no block.
fn tend(request: Request) -> *mut u8 {
    let _errno = os::ErrnoGuard::new();
    if let Some(heap) = heap::started() {
        match request {
            Request::Trim => _ = maintenance::trim(heap),
            _ => later(heap),
        }
    }
    null_mut()
}

/// Twice the time after which idle shards are drained: the first look learns what is idle.
fn later(heap: &Heap) {
    for _ in 0..2 {
        let step = 2 * heap.options.drain_ms.max(heap.options.decay_ms) + 1;
        let ahead = AHEAD_MS.fetch_add(step, Relaxed) + step;
        maintenance::tick(heap, os::now_ms() + ahead);
    }
}

impl Face for Direct {
    unsafe fn call(&self, request: Request) -> (usize, i32) {
        let at = with_exposed_provenance_mut::<u8>;
        let block = match request {
            Request::Malloc { size } => malloc::alloc(size),
            Request::Calloc { count, size } => match count.checked_mul(size) {
                Some(bytes) => malloc::alloc_zeroed(bytes, MIN_ALIGN),
                None => os::no_memory(),
            },
            Request::Aligned { align, size, .. } => malloc::alloc_aligned(size, align),
            Request::Realloc { old, size } => resize(at(old.address), Some(size)),
            Request::ReallocArray { old, count, size } => {
                resize(at(old.address), count.checked_mul(size))
            }
            Request::Free { old }
            | Request::FreeSized { old }
            | Request::FreeAlignedSized { old } => {
                // SAFETY: the caller's live block.
                unsafe { free::free(at(old.address)) };
                null_mut()
            }
            Request::Trim | Request::Later => tend(request),
        };
        (block.expose_provenance(), 0)
    }

    fn usable(&self, address: usize) -> usize {
        free::usable_size(with_exposed_provenance(address))
    }

    fn says_why(&self) -> bool {
        false
    }

    fn audit(&self, held: &[usize]) -> Result<(), String> {
        let Some(heap) = heap::started() else { return Ok(()) };
        let census = validate(heap, held.iter().copied()).map_err(|wrong| wrong.to_string())?;
        let lost = (census.elsewhere(), census.large_elsewhere());
        if lost != (0, 0) || census.held + census.large_held != held.len() {
            return Err(format!(
                "objects are in no place, of {} live blocks: {census:?}",
                held.len()
            ));
        }
        Ok(())
    }

    fn left(&self) -> Result<Left, String> {
        let Some(heap) = heap::started() else { return Ok(Left::default()) };
        let mut left = Left::default();
        // Whoever trims may move to another cid meanwhile, and leave its own cache behind.
        for _ in 0..20 {
            maintenance::trim(heap);
            let census = validate(heap, core::iter::empty()).map_err(|wrong| wrong.to_string())?;
            let pages = census.spans + census.dirty_pages;
            left = Left { lost: census.large_pages * PAGE, kept: pages * PAGE };
            if left == Left::default() {
                break;
            }
        }
        Ok(left)
    }
}

impl Face for Rust {
    unsafe fn call(&self, request: Request) -> (usize, i32) {
        // What is no layout cannot be asked for.
        let layout = |size: Option<usize>, align| {
            size.and_then(|size| Layout::from_size_align(size.max(1), align).ok())
        };
        let block = match request {
            Request::Malloc { size } => made(layout(Some(size), 1), false),
            Request::Calloc { count, size } => made(layout(count.checked_mul(size), 1), true),
            Request::Aligned { align, size, .. } => made(layout(Some(size), align), false),
            // SAFETY: the caller's live block.
            Request::Realloc { old, size } => unsafe { remade(old, Some(size)) },
            Request::ReallocArray { old, count, size } => {
                // SAFETY: the caller's live block.
                unsafe { remade(old, count.checked_mul(size)) }
            }
            Request::Free { old }
            | Request::FreeSized { old }
            | Request::FreeAlignedSized { old } => {
                // SAFETY: the caller's live block.
                unsafe { remade(old, Some(0)) }
            }
            Request::Trim | Request::Later => tend(request),
        };
        (block.expose_provenance(), 0)
    }

    fn usable(&self, address: usize) -> usize {
        Direct.usable(address)
    }

    fn says_why(&self) -> bool {
        false
    }

    fn keeps_alignment(&self) -> bool {
        true
    }

    fn audit(&self, held: &[usize]) -> Result<(), String> {
        Direct.audit(held)
    }

    fn left(&self) -> Result<Left, String> {
        Direct.left()
    }
}

fn made(layout: Option<Layout>, zeroed: bool) -> *mut u8 {
    // SAFETY: no layout here is of size 0.
    layout.map_or(null_mut(), |layout| unsafe {
        if zeroed { CidAlloc.alloc_zeroed(layout) } else { CidAlloc.alloc(layout) }
    })
}

/// # Safety
/// `old` is a live block.
unsafe fn remade(old: Old, size: Option<usize>) -> *mut u8 {
    let block = with_exposed_provenance_mut(old.address);
    // SAFETY: by the caller's promise; it was made of this layout, by which it is resized or freed.
    unsafe {
        let layout = Layout::from_size_align_unchecked(old.size.max(1), old.align);
        match size {
            Some(0) => {
                CidAlloc.dealloc(block, layout);
                null_mut()
            }
            Some(size) if Layout::from_size_align(size, old.align).is_ok() => {
                CidAlloc.realloc(block, layout, size)
            }
            _ => null_mut(),
        }
    }
}

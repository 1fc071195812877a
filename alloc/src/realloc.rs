//! Changing the size of a block: in place where that is possible and sensible, else by moving.

use crate::careful;
use crate::check::{Misuse, misuse};
use crate::config::SMALL_MAX;
use crate::free::{self, Trusted, trust};
use crate::hardened;
use crate::heap::Heap;
use crate::ids::PageId;
use crate::large;
use crate::malloc;

/// The block at `address` with room for `size` bytes, the contents kept up to the smaller size.
/// Null when memory has ended, and the block is then as it was. Aligned to 16 when it moves.
///
/// # Safety
/// `address` is a live block of this allocator; after success it is the caller's no more.
#[allow(unsafe_code)]
#[must_use]
pub unsafe fn realloc(address: *mut u8, size: usize) -> *mut u8 {
    if size > isize::MAX as usize {
        return core::ptr::null_mut();
    }
    let (old, large) = match trust(address.addr()) {
        None => misuse(Misuse::Foreign, address.addr()),
        Some((heap, what)) if hardened::is_on() => {
            // SAFETY: by the caller's promise.
            return unsafe { carefully(heap, what, address, size) };
        }
        Some((_, Trusted::Small(class))) => (class.info().size as usize, None),
        Some((heap, Trusted::Large(page))) => {
            (heap.region.span(page).large_bytes(), Some((heap, page)))
        }
    };
    if let Some((heap, page)) = large
        && size > SMALL_MAX
    {
        return resize_large(heap, page, address, size);
    }
    // Half of a block may stay unused before moving to a smaller one pays.
    if large.is_none() && size <= old && size >= old / 2 {
        return address;
    }
    // SAFETY: the caller's block, of so many bytes.
    unsafe { moved(address, old, size) }
}

/// The contents of the block at `address`, of `old` bytes, in a new one of `size`.
///
/// # Safety
/// As [`realloc`].
#[allow(unsafe_code)]
unsafe fn moved(address: *mut u8, old: usize, size: usize) -> *mut u8 {
    let new = malloc::alloc(size);
    if new.is_null() {
        return new;
    }
    // SAFETY: two blocks, each of at least the smaller of both sizes.
    unsafe { core::ptr::copy_nonoverlapping(address, new, old.min(size)) };
    // SAFETY: the caller gives the old block up.
    unsafe { free::free(address) };
    new
}

/// As [`realloc`], in the hardened mode.
///
/// # Safety
/// As [`realloc`]; the block is `what`.
#[cold]
#[allow(unsafe_code)]
unsafe fn carefully(heap: &Heap, what: Trusted, address: *mut u8, size: usize) -> *mut u8 {
    let old = careful::usable_size(heap, what, address.addr());
    if careful::resize(heap, what, address.addr(), size) {
        return address;
    }
    // SAFETY: the caller's block, of so many bytes.
    unsafe { moved(address, old, size) }
}

fn resize_large(heap: &Heap, page: PageId, address: *mut u8, size: usize) -> *mut u8 {
    if large::resize(heap, page, size) {
        return address;
    }
    large::relocate(heap, page, size)
}

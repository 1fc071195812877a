//! Freeing: the fast path, and where it leaves to.
//!
//! ```text
//!  free(p) ─ ours? object start? ─ push ──► done
//!            │ no                   │ full
//!            ▼                      ▼
//!     large, null, misuse,       overflow
//!     push under a lease, or to the object's node
//! ```
//!
//! Where there are several nodes, everything leaves: [`crate::foreign`] asks for the object's
//! node before it pushes.

use crate::check::{Misuse, misuse};
use crate::config::PAGE;
use crate::foreign;
use crate::heap::{self, Heap};
use crate::ids::{PageId, SizeClass};
use crate::large;
use crate::os;
use crate::refill;
use crate::size_class::{CLASSES, LARGE, LARGE_BODY, is_object_start};
use rseq_sys::cs;
use rseq_sys::lease::Lease;

/// What a client's pointer turned out to be.
#[derive(Debug, Clone, Copy)]
pub enum Trusted {
    /// An object of a class.
    Small(SizeClass),
    /// A large object that begins at this page.
    Large(PageId),
}

/// Takes back the block at `address`; null is nothing. Keeps `errno`.
///
/// # Safety
/// `address` is null or a live block of this allocator, which the caller gives up. Most wrong
/// addresses end the process with a message; see the README for which.
#[inline(always)]
#[allow(unsafe_code)]
pub unsafe fn free(address: *mut u8) {
    let Some((entry, offset, anchor)) = heap::locate(address.addr()) else {
        return elsewhere(address.expose_provenance());
    };
    if !is_object_start(entry, offset) {
        return elsewhere(address.expose_provenance());
    }
    // Exposed: the object's address waits in a slot until it is handed out again.
    let object = address.expose_provenance();
    // SAFETY: the heap's anchor, an object of this class, given up by the caller.
    if !unsafe { cs::push(anchor, entry, object) } {
        refill::overflow(SizeClass(entry as u8), object);
    }
}

/// Takes back a block of `class`, known from its layout.
///
/// # Safety
/// As [`free`], and the block is of this class.
#[inline(always)]
#[allow(unsafe_code)]
pub unsafe fn free_class(address: *mut u8, class: SizeClass) {
    debug_assert!(matches!(trust(address.addr()), Some((_, Trusted::Small(c))) if c == class));
    // A block exists, so the heap was started; without cids it has no fast paths.
    let Some(anchor) = heap::anchor_for_push() else {
        return elsewhere(address.expose_provenance());
    };
    let object = address.expose_provenance();
    // SAFETY: the heap's anchor, an object of this class, given up by the caller.
    if !unsafe { cs::push(anchor, class.index(), object) } {
        refill::overflow(class, object);
    }
}

/// Objects without rseq, all objects where there are several nodes, null, large objects, objects
/// while there is no fast path, and misuse. With a lease it needs no frame: what does is called at
/// its end.
#[cold]
#[inline(never)]
#[allow(unsafe_code)]
fn elsewhere(address: usize) {
    if address == 0 {
        return;
    }
    let Some(heap) = heap::started() else { return unpushed(address) };
    if heap.page_heaps() > 1 {
        return push_home(heap, address);
    }
    if let (Some(lease), Some((entry, offset))) = (Lease::current(), heap.region.look_up(address))
        && is_object_start(entry, offset)
        // SAFETY: the thread's lease (LEASE-HOLDER), an object of this class, given up by the caller.
        && unsafe { lease.push(entry, address) }
    {
        return;
    }
    unpushed(address);
}

/// To where the object's node says.
#[inline(never)]
fn push_home(heap: &Heap, address: usize) {
    if !foreign::free(heap, address) {
        unpushed(address);
    }
}

/// What is in no shard: there is none, it has no room, or it is no object.
#[cold]
#[inline(never)]
fn unpushed(address: usize) {
    let _errno = os::ErrnoGuard::new();
    match trust(address) {
        Some((heap, Trusted::Large(page))) => large::free(heap, page),
        Some((_, Trusted::Small(class))) => refill::overflow(class, address),
        None => misuse(Misuse::Foreign, address),
    }
}

/// What is at `address`, if it is ours. Ends the process for an address that is ours but is
/// not the beginning of a live block.
#[must_use]
pub fn trust(address: usize) -> Option<(&'static Heap, Trusted)> {
    let heap = heap::started()?;
    let page = heap.region.handed_out(address)?;
    let offset = address.wrapping_sub(heap.region.base().addr()) & (PAGE - 1);
    let what = match heap.region.entry(page) {
        // Once handed out, now free: as a whole it was given back before.
        0 => misuse(Misuse::DoubleFree, address),
        LARGE if offset == 0 => Trusted::Large(page),
        LARGE | LARGE_BODY => misuse(Misuse::Interior, address),
        entry if (entry as usize) < CLASSES && is_object_start(entry.into(), offset) => {
            Trusted::Small(SizeClass(entry))
        }
        _ => misuse(Misuse::Interior, address),
    };
    Some((heap, what))
}

/// Bytes that the owner of the block at `address` may use; 0 for null.
#[must_use]
pub fn usable_size(address: *const u8) -> usize {
    if address.is_null() {
        return 0;
    }
    match trust(address.addr()) {
        Some((_, Trusted::Small(class))) => class.info().size as usize,
        Some((heap, Trusted::Large(page))) => heap.region.span(page).large_bytes(),
        None => misuse(Misuse::Foreign, address.addr()),
    }
}

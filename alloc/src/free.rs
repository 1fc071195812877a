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
//! node before it pushes. In the hardened mode, too: [`crate::careful`].

use crate::careful::{self, Said};
use crate::check::{Misuse, misuse};
use crate::foreign;
use crate::hardened;
use crate::heap::{self, Heap};
use crate::ids::SizeClass;
use crate::large;
use crate::os;
use crate::refill;
use crate::size_class::is_object_start;
pub use crate::trust::{Trusted, trust};
use rseq_sys::cs;
use rseq_sys::lease::Lease;

/// Takes back the block at `address`; null is nothing. Keeps `errno`.
///
/// # Safety
/// `address` is null or a live block of this allocator, which the caller gives up. Most wrong
/// addresses end the process with a message; see the README for which.
#[inline(always)]
#[allow(unsafe_code)]
pub unsafe fn free(address: *mut u8) {
    // SAFETY: by the caller's promise.
    unsafe { free_or(address, elsewhere) }
}

/// # Safety
/// As [`free`], and `elsewhere` does the rest.
#[inline(always)]
#[allow(unsafe_code)]
unsafe fn free_or(address: *mut u8, elsewhere: impl Fn(usize)) {
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

/// As [`free`], of a block of which the caller says more. It is believed nothing: the hardened mode
/// compares.
///
/// # Safety
/// As [`free`].
#[inline(always)]
#[allow(unsafe_code)]
pub unsafe fn free_said(address: *mut u8, size: Option<usize>, align: usize) {
    // SAFETY: by the caller's promise.
    unsafe { free_or(address, |address| elsewhere_said(address, size, align)) }
}

/// Takes back a block of `class`, known from its layout: `size` bytes at a multiple of `align`.
///
/// # Safety
/// As [`free`], and the block is of this class.
#[inline(always)]
#[allow(unsafe_code)]
pub unsafe fn free_class(address: *mut u8, class: SizeClass, size: usize, align: usize) {
    debug_assert!(
        hardened::is_on()
            || matches!(trust(address.addr()), Some((_, Trusted::Small(c))) if c == class)
    );
    // A block exists, so the heap was started; without cids it has no fast paths.
    let Some(anchor) = heap::anchor_for_push() else {
        return elsewhere_said(address.expose_provenance(), Some(size), align);
    };
    let object = address.expose_provenance();
    // SAFETY: the heap's anchor, an object of this class, given up by the caller.
    if !unsafe { cs::push(anchor, class.index(), object) } {
        refill::overflow(class, object);
    }
}

/// What has a layout, where [`elsewhere`] is.
#[cold]
#[inline(never)]
fn elsewhere_said(address: usize, size: Option<usize>, align: usize) {
    if hardened::is_on() {
        return careful::free(address, Some(&Said { size, align }));
    }
    elsewhere(address);
}

/// Objects without rseq, all objects where there are several nodes, null, large objects, objects
/// while there is no fast path or where each is looked at, and misuse. With a lease it needs no
/// frame: what does is called at its end.
#[cold]
#[inline(never)]
#[allow(unsafe_code)]
fn elsewhere(address: usize) {
    if hardened::is_on() {
        return careful::free(address, None);
    }
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

/// Bytes that the owner of the block at `address` may use; 0 for null.
#[must_use]
pub fn usable_size(address: *const u8) -> usize {
    if address.is_null() {
        return 0;
    }
    match trust(address.addr()) {
        Some((heap, what)) if hardened::is_on() => careful::usable_size(heap, what, address.addr()),
        Some((_, Trusted::Small(class))) => class.info().size as usize,
        Some((heap, Trusted::Large(page))) => heap.region.span(page).large_bytes(),
        None => misuse(Misuse::Foreign, address.addr()),
    }
}

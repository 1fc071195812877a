//! Where a client's pointer becomes a block: the page map says what begins there.
//!
//! ```text
//!  address ─ in the region? ─ entry ┬ class, a multiple of its size ──► an object
//!             │ no                  ├ LARGE, the page's beginning ────► a large block
//!             ▼                     ├ 0, WAITING ─► double free
//!            None                   └ else ───────► interior pointer
//! ```

use crate::check::{Misuse, misuse};
use crate::config::PAGE;
use crate::heap::{self, Heap};
use crate::ids::{PageId, SizeClass};
use crate::size_class::{CLASSES, LARGE, LARGE_BODY, WAITING, is_object_start};

/// What a client's pointer turned out to be.
#[derive(Debug, Clone, Copy)]
pub enum Trusted {
    /// An object of a class.
    Small(SizeClass),
    /// A large object that begins at this page.
    Large(PageId),
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
        0 | WAITING => misuse(Misuse::DoubleFree, address),
        LARGE if offset == 0 => Trusted::Large(page),
        LARGE | LARGE_BODY => misuse(Misuse::Interior, address),
        entry if (entry as usize) < CLASSES && is_object_start(entry.into(), offset) => {
            Trusted::Small(SizeClass(entry))
        }
        _ => misuse(Misuse::Interior, address),
    };
    Some((heap, what))
}

//! The addition of counters, by whatever the process's cids are.
//!
//! ```text
//!  route ─► odd: no      even: an address in copy 0 ─► + offset ─► the current copy's word += k
//! ```
//!
//! The route is looked at by the operation itself: who closes it and makes a fence knows that nobody
//! adds that way until it is opened again.

use cidalloc::heap::Source;
use cidalloc::percid::Cids;
use rseq_sys::copies::{self, leased};
use rseq_sys::lease::Lease;

/// [`copies::add_through`]; unlike other operations it is not tried again.
///
/// # Safety
/// As there: each even route is the address of an item with a word at `offset`, of a pool of this
/// shift, until no operation can have seen it any more.
#[inline(always)]
#[allow(unsafe_code)]
pub(crate) unsafe fn add_through<const SHIFT: u32>(
    cids: &Cids,
    route: *const usize,
    offset: usize,
    k: u64,
) -> bool {
    let current = &cids.current;
    match cids.source {
        // SAFETY: the process's own cids; by the caller's promise.
        Source::Kernel | Source::Cpu => unsafe {
            copies::add_through::<SHIFT>(current, route, offset, k)
        },
        Source::Emulated => Lease::current().is_some_and(|lease| {
            // SAFETY: the calling thread's lease (LEASE-HOLDER); by the caller's promise.
            unsafe { leased::add_through::<SHIFT>(lease, current, route, offset, k) }
        }),
        Source::None => false,
    }
}

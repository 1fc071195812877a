//! The addition of counters, by whatever the process's cids are.
//!
//! ```text
//!  route ─► odd: no      even: an address in copy 0 ─► + offset ─► the current copy's word += k
//! ```
//!
//! The route is looked at by the operation itself: who closes it and makes a fence knows that nobody
//! adds that way until it is opened again.
//!
//! An addition is as long as the few instructions around its one store. Where the kernel gives the
//! cids, and the machine has one node, the cid is the copy: there [`add_quickly`] needs one word of
//! the process to begin with, and finds in it as well whether it may begin at all.
#![allow(unsafe_code)]

use cidalloc::heap::Source;
use cidalloc::percid::Cids;
use core::sync::atomic::{AtomicIsize, Ordering::Relaxed};
use rseq_sys::copies::{self, leased};
use rseq_sys::lease::Lease;

/// From the thread pointer to the thread's area, where the cid is the copy's number; 0, which no
/// area has, elsewhere and until somebody counts per cid.
static AREA: AtomicIsize = AtomicIsize::new(0);

/// Lets [`add_quickly`] begin, if these cids allow it.
pub(crate) fn prepare(cids: &Cids) {
    if cids.source == Source::Kernel && cids.nodes == 1 && cfg!(target_arch = "x86_64") {
        AREA.store(cids.current.area, Relaxed);
    }
}

/// As [`add_through`], where it is quick; false elsewhere, too. `AT_ZERO` says that `offset` is 0.
///
/// # Safety
/// As [`add_through`].
#[inline(always)]
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn add_quickly<const SHIFT: u32, const AT_ZERO: bool>(
    route: *const usize,
    offset: usize,
    k: u64,
) -> bool {
    let area = AREA.load(Relaxed);
    if area == 0 {
        return false;
    }
    // SAFETY: the cid is the copy's number, since the area is known; by the caller's promise.
    unsafe {
        if AT_ZERO {
            copies::add_through_cid::<SHIFT>(area, route, k)
        } else {
            copies::add_through_cid_at::<SHIFT>(area, route, offset, k)
        }
    }
}

/// As [`add_through`], where it is quick; false elsewhere, too.
///
/// # Safety
/// As [`add_through`].
#[inline(always)]
#[cfg(not(target_arch = "x86_64"))]
pub(crate) unsafe fn add_quickly<const SHIFT: u32, const AT_ZERO: bool>(
    _: *const usize,
    _: usize,
    _: u64,
) -> bool {
    false
}

/// [`copies::add_through`]; unlike other operations it is not tried again.
///
/// # Safety
/// As there: each even route is the address of an item with a word at `offset`, of a pool of this
/// shift, until no operation can have seen it any more.
#[inline]
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

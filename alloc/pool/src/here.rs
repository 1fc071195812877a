//! Where the calling thread seems to be: for structures that look at a copy before they operate.
//!
//! ```text
//!  here ─► copy n, looked at by plain atomic loads        n: a hint, stale at once
//!             │ what was seen there
//!             ▼
//!  section ─► compares it with the current copy           n again, or another one that differs, or
//!                                                         another one that is the same in what counts
//! ```
//!
//! A look costs a load or two, where a section that only loads would cost as much as the operation.

use cidalloc::heap::Source;
use cidalloc::percid::Cids;
use core::sync::atomic::AtomicU64;
use rseq_sys::cs::{CID_BITS, CIDS_PER_NODE};
use rseq_sys::lease::Lease;

/// The copy of the calling thread, if it has one.
#[inline(always)]
#[allow(unsafe_code)]
pub(crate) fn copy_number(cids: &Cids) -> Option<usize> {
    match cids.source {
        // SAFETY: the process's own offsets and rows.
        Source::Kernel | Source::Cpu => unsafe { cids.current.number() },
        Source::Emulated => {
            let index = Lease::current()?.shard_index()? as usize;
            // SAFETY: there is a row for the node of each shard.
            let row = unsafe { cids.current.rows.add(index >> CID_BITS).read() };
            Some(row as usize + (index & (CIDS_PER_NODE - 1)))
        }
        Source::None => None,
    }
}

/// As [`copy_number`], for which the thread registers its area or acquires a lease if need be.
#[inline(always)]
pub(crate) fn settled_copy_number(cids: &Cids) -> Option<usize> {
    copy_number(cids).or_else(|| settle(cids))
}

#[cold]
#[inline(never)]
fn settle(cids: &Cids) -> Option<usize> {
    if cidalloc::percid::settle() { copy_number(cids) } else { None }
}

/// Copy `number` of the word at `address`, in copy 0.
///
/// # Safety
/// It is a word of an item that is live for `'a`, which changes by sections and atomics only.
#[inline(always)]
#[allow(unsafe_code)]
pub(crate) unsafe fn word_of<'a>(address: *mut u64, number: usize, shift: u32) -> &'a AtomicU64 {
    // SAFETY: by the caller's promise.
    unsafe { AtomicU64::from_ptr(address.wrapping_byte_add(number << shift)) }
}

//! A bit per grain of the region: set while a block that begins there is live.
//!
//! ```text
//!  region  │ block      │ block      │ block      │      malloc: 0 → 1, else it was handed out twice
//!  bits    1 0 0 0 0 0  0 0 0 0 0 0  1 0 0 0 0 0         free:   1 → 0, else it was not live
//! ```
//!
//! One atomic operation each, so that of two frees of one block, from whatever threads, exactly one
//! finds it live. 512 bytes for each page of 64 KiB, committed with it.

use super::tables;
use crate::config::{GRAIN, PAGE};
use crate::os::{self, OutOfMemory};
use rseq_sys::sync::{AtomicU32, AtomicU64, Ordering};

/// Bytes of bits for one page of the region.
const BYTES_PER_PAGE: usize = PAGE / GRAIN / 8;

/// Pages of the region whose bits are committed.
static COVERED: AtomicU32 = AtomicU32::new(0);

/// Address space for the bits of a region of `bytes`.
pub(super) fn reserve(bytes: usize) -> Result<*mut u8, OutOfMemory> {
    os::reserve((bytes / PAGE * BYTES_PER_PAGE).next_multiple_of(PAGE)).map(|p| p.as_ptr())
}

/// Commits the bits of the region's pages up to `end`. Nothing to do where the part is off.
///
/// # Errors
/// [`OutOfMemory`] when the system refuses.
pub fn cover(end: u32) -> Result<(), OutOfMemory> {
    let state = tables().state;
    let from = COVERED.load(Ordering::Acquire);
    if state.is_null() || end <= from {
        return Ok(());
    }
    let low = from as usize * BYTES_PER_PAGE / PAGE * PAGE;
    let high = (end as usize * BYTES_PER_PAGE).next_multiple_of(PAGE);
    // SAFETY: part of the reservation, whose length is a multiple of PAGE.
    unsafe { os::commit(state.wrapping_add(low), high - low)? };
    COVERED.fetch_max(end, Ordering::AcqRel);
    Ok(())
}

/// The word and the bit of the block at `address`.
#[inline(always)]
fn bit(address: usize) -> (&'static AtomicU64, u64) {
    let tables = tables();
    let grain = (address - tables.base) / GRAIN;
    let word = tables.state.cast::<u64>().wrapping_add(grain / 64);
    // SAFETY: committed before the page of `address` was handed out, and only changed here.
    (unsafe { AtomicU64::from_ptr(word) }, 1 << (grain % 64))
}

/// Notes the block at `address` as live; false when it was so already.
#[inline(always)]
#[must_use]
pub fn set(address: usize) -> bool {
    let (word, mask) = bit(address);
    word.fetch_or(mask, Ordering::AcqRel) & mask == 0
}

/// Notes the block at `address` as free; false when it was so already.
#[inline(always)]
#[must_use]
pub fn clear(address: usize) -> bool {
    let (word, mask) = bit(address);
    word.fetch_and(!mask, Ordering::AcqRel) & mask != 0
}

/// Whether the block at `address` is live.
#[must_use]
pub fn is_live(address: usize) -> bool {
    let (word, mask) = bit(address);
    word.load(Ordering::Acquire) & mask != 0
}

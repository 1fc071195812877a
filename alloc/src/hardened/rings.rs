//! Where freed blocks wait: rings of addresses, without locks.
//!
//! ```text
//!  lane (by cid)  turns  │ small: 256 slots, ≤ 1 KiB │ big: 32 slots │ mixed: 32 slots │
//!  large lane     turn   │ 16 slots                  │
//!
//!  enter:  old = slots[turn++].swap(block)      who enters takes out who entered a round before
//!  mix:    old = slots[random].swap(block)
//! ```
//!
//! A block is in the ring or in a hand at every instant, since each step is one swap: a handler, or
//! the child of a `fork`, finds every block in one place. Turns are counted without atomicity; two
//! threads that meet at one slot only make the order a little other than first in, first out.

use super::{keyed, tables};
use crate::config::PAGE;
use crate::os::{self, OutOfMemory};
use rseq_sys::sync::{
    AtomicU64,
    Ordering::{AcqRel, Relaxed},
};

/// Lanes of blocks of classes.
pub const LANES: usize = 64;
/// Blocks of at most so many bytes wait in the long ring.
pub const SMALL_BYTES_MAX: usize = 1 << 10;

const SMALL: (usize, usize) = (8, 256);
const BIG: (usize, usize) = (SMALL.0 + SMALL.1, 32);
const MIXED: (usize, usize) = (BIG.0 + BIG.1, 32);
const LARGE: (usize, usize) = (8, 16);
const LANE_WORDS: usize = 512;

const _: () = assert!(MIXED.0 + MIXED.1 <= LANE_WORDS);

/// Memory for all lanes, reading as zero.
pub(super) fn reserve() -> Result<*mut u8, OutOfMemory> {
    let len = ((LANES + 1) * LANE_WORDS * size_of::<u64>()).next_multiple_of(PAGE);
    let lanes = os::reserve(len)?.as_ptr();
    // SAFETY: the whole reservation.
    match unsafe { os::commit(lanes, len) } {
        Ok(()) => Ok(lanes),
        Err(why) => {
            // SAFETY: nobody knows of it.
            unsafe { os::release(lanes, len) };
            Err(why)
        }
    }
}

#[inline(always)]
fn word(lane: usize, at: usize) -> &'static AtomicU64 {
    // SAFETY: within the lanes, which are committed, aligned, and atomics alone.
    unsafe { AtomicU64::from_ptr(tables().lanes.wrapping_add(lane * LANE_WORDS + at)) }
}

#[inline(always)]
fn swap(lane: usize, at: usize, address: usize) -> usize {
    word(lane, at).swap(address as u64, AcqRel) as usize
}

fn turn(lane: usize, counter: usize) -> usize {
    let turn = word(lane, counter).load(Relaxed);
    word(lane, counter).store(turn.wrapping_add(1), Relaxed);
    turn as usize
}

/// The block at `address`, of `bytes` bytes, waits in `lane`. Returns the one that waited for the
/// longest time, or 0.
#[inline]
#[must_use]
pub fn enter(lane: usize, address: usize, bytes: usize) -> usize {
    let (counter, (begin, slots)) = if bytes <= SMALL_BYTES_MAX { (0, SMALL) } else { (1, BIG) };
    swap(lane, begin + turn(lane, counter) % slots, address)
}

/// Exchanges a block of at most [`SMALL_BYTES_MAX`] bytes for another one, or 0.
#[inline]
#[must_use]
pub fn mix(lane: usize, address: usize) -> usize {
    let (begin, slots) = MIXED;
    let slot = keyed(address.wrapping_add(turn(lane, 2) << 48)) as usize % slots;
    swap(lane, begin + slot, address)
}

/// As [`enter`], for a large block.
#[must_use]
pub fn enter_large(address: usize) -> usize {
    let (begin, slots) = LARGE;
    swap(LANES, begin + turn(LANES, 0) % slots, address)
}

fn each(mut f: impl FnMut(&AtomicU64)) {
    if tables().lanes.is_null() {
        return;
    }
    for lane in 0..=LANES {
        // A lane that nobody used stays without memory: its turns are 0.
        if (0..3).any(|counter| word(lane, counter).load(Relaxed) != 0) {
            (SMALL.0..MIXED.0 + MIXED.1).for_each(|at| f(word(lane, at)));
        }
    }
}

/// Takes each block that waits out of its ring.
pub fn take_each(mut f: impl FnMut(usize)) {
    each(|slot| {
        if slot.load(Relaxed) != 0 {
            let address = slot.swap(0, AcqRel) as usize;
            if address != 0 {
                f(address);
            }
        }
    });
}

/// Looks at each block that waits.
pub fn for_each(mut f: impl FnMut(usize)) {
    each(|slot| {
        let address = slot.load(Relaxed) as usize;
        if address != 0 {
            f(address);
        }
    });
}

//! A word in each copy that says which copy it is: for operations on one copy alone.
//!
//! ```text
//!   NUMBERS[shift] ─► copy 0        copy 1        copy 2          one mapping for each stride
//!                     ┌────┐        ┌────┐        ┌────┐          that was asked for, for ever
//!                     │ 1  │        │ 2  │        │ 0  │          0: nobody asked for it yet
//!                     └────┘        └────┘        └────┘
//!
//!   compare_two_store(v: expect ► newv, number: that of the copy which is asked for)
//!     done                          it was on that copy
//!     differs ─► v of that copy     another value: so be it
//!                                   expect: it was on another copy, or the word has changed
//! ```

#![allow(unsafe_code)]

use crate::errno::{Errno, NO_MEMORY, Result};
use crate::places::{self, Process};
use cidpool::sections::{self, Outcome};
use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicPtr, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};
use memmap2::{MmapOptions, MmapRaw};

const STRIDES: usize = usize::BITS as usize;
static NUMBERS: [AtomicPtr<u64>; STRIDES] = [const { AtomicPtr::new(null_mut()) }; STRIDES];

/// The number of copy 0 of a stride, with those of `copies` behind it.
fn numbers(shift: u32, copies: usize) -> Result<*mut u64> {
    let known = &NUMBERS[shift as usize];
    let numbers = known.load(Acquire);
    if !numbers.is_null() {
        return Ok(numbers);
    }
    let bytes = copies.checked_mul(1 << shift).ok_or(NO_MEMORY)?;
    let map = MmapOptions::new().len(bytes).no_reserve_swap().map_anon();
    let map = MmapRaw::from(map.map_err(|_| NO_MEMORY)?);
    let numbers = map.as_mut_ptr().cast();
    match known.compare_exchange(null_mut(), numbers, AcqRel, Acquire) {
        Ok(_) => {
            core::mem::forget(map);
            Ok(numbers)
        }
        Err(theirs) => Ok(theirs),
    }
}

/// Stores `newv` at `v` if `expect` is there, on `copy` alone; whether it did.
///
/// # Safety
/// `v` is a word of an allocated item's copy 0, in a pool per cid of that stride.
pub(crate) unsafe fn compare_store_on(
    v: *mut u64,
    expect: u64,
    newv: u64,
    copy: usize,
    shift: u32,
) -> Result<bool> {
    let process = places::of_process()?;
    let Process(cids) = process;
    let number = numbers(shift, process.copies())?;
    let wanted = copy as u64 + 1;
    // SAFETY: aligned words, of the mapping, and by the caller's promise of the item.
    let (here, word) = unsafe {
        let of_copy = |word: *mut u64| AtomicU64::from_ptr(word.wrapping_byte_add(copy << shift));
        (of_copy(number), of_copy(v))
    };
    if here.load(Relaxed) == 0 {
        here.store(wanted, Relaxed);
    }
    // SAFETY: by the caller's promise; there is a number for each copy.
    match unsafe { sections::compare_two_store(cids, shift, v, expect, number, wanted, newv) } {
        Outcome::Done(_) => Ok(true),
        Outcome::NoCid => Err(process.no_cid()),
        Outcome::Differs(_) if word.load(Acquire) != expect => Ok(false),
        Outcome::Differs(_) => Err(Errno(libc::ESTALE)),
    }
}

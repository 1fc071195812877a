//! [`add_through`] of threads without rseq.
#![allow(unsafe_code)]

use super::at;
use crate::copies::Current;
use crate::lease::Lease;
use crate::sync::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// As [`crate::copies::add_through`].
///
/// # Safety
/// As there, and as [`Lease::on_copy`].
#[inline(always)]
#[must_use]
pub unsafe fn add_through<const SHIFT: u32>(
    lease: &Lease,
    current: &Current,
    route: *const usize,
    offset: usize,
    k: u64,
) -> bool {
    let add = |n| {
        // SAFETY: by the caller's promise.
        let address = unsafe { AtomicUsize::from_ptr(route.cast_mut()) }.load(Acquire);
        let is_open = address & 1 == 0;
        if is_open {
            let word = core::ptr::with_exposed_provenance_mut(address + offset);
            // SAFETY: the thread's copy of a word, by the caller's promise.
            let word = unsafe { at(word, n, SHIFT) };
            word.store(word.load(Relaxed).wrapping_add(k), Release);
        }
        is_open
    };
    // SAFETY: by the caller's promise.
    unsafe { lease.on_copy(current, add) }.unwrap_or(false)
}

//! The operations of slow paths on the shard of the calling thread, whatever its cid comes from.
//!
//! ```text
//!  source kernel, cpu   a restartable sequence, which finds the shard by itself    rseq_sys::cs
//!  source emulated      plain code under the thread's lease                        rseq_sys::lease
//!  source none          no shard: all miss
//! ```
//!
//! The fast paths choose for themselves, once for both (see [`crate::malloc`]).
#![allow(unsafe_code)]

use crate::heap::{Heap, Source};
use crate::ids::{ShardId, SizeClass};
use crate::size_class::{HOMEWARD, HOMEWARD_BEGIN};
use core::sync::atomic::{AtomicU32, AtomicU64};
use rseq_sys::cs;
use rseq_sys::lease::Lease;

/// Where the thread's operations go.
enum Way {
    Sequence,
    Leased(&'static Lease),
    Nowhere,
}

fn way(heap: &Heap) -> Way {
    match heap.source {
        Source::Kernel | Source::Cpu => Way::Sequence,
        Source::Emulated => Lease::current().map_or(Way::Nowhere, Way::Leased),
        Source::None => Way::Nowhere,
    }
}

/// The shard that the thread's operations find now, if there is one for it. A hint.
#[must_use]
pub fn shard_id(heap: &Heap) -> Option<ShardId> {
    match way(heap) {
        // SAFETY: the heap's own anchor.
        Way::Sequence => unsafe { heap.anchor.shard_index() }.map(ShardId),
        Way::Leased(lease) => lease.shard_index().map(ShardId),
        Way::Nowhere => None,
    }
}

/// One of the arrays of a shard: its header's index and its first slot.
#[derive(Debug, Clone, Copy)]
pub struct Array {
    index: usize,
    begin: usize,
}

impl From<SizeClass> for Array {
    fn from(class: SizeClass) -> Self {
        Self { index: class.index(), begin: class.info().begin.into() }
    }
}

/// The objects of other nodes, on their way home.
pub const HOMEWARD_ARRAY: Array = Array { index: HOMEWARD, begin: HOMEWARD_BEGIN as usize };

/// Pops objects of `array` into `buffer`, the lowest slot first; returns how many.
#[must_use]
pub fn pop_batch(heap: &Heap, array: impl Into<Array>, buffer: &mut [usize]) -> usize {
    let Array { index, begin } = array.into();
    match way(heap) {
        // SAFETY: the heap's anchor, the array's own begin, a buffer as long as told.
        Way::Sequence => unsafe {
            cs::pop_batch(&heap.anchor, index, begin, buffer.as_mut_ptr(), buffer.len())
        },
        // SAFETY: the thread's lease (LEASE-HOLDER), the array's own begin.
        Way::Leased(lease) => unsafe { lease.pop_batch(index, begin, buffer) },
        Way::Nowhere => 0,
    }
}

/// Pushes `object` to the array of those on their way home; false when that is full.
///
/// # Safety
/// An object of the heap, which the caller gives up.
#[inline]
#[must_use]
pub unsafe fn push_homeward(heap: &Heap, object: usize) -> bool {
    match way(heap) {
        // SAFETY: the heap's anchor; by the caller's promise.
        Way::Sequence => unsafe { cs::push(&heap.anchor, HOMEWARD, object) },
        // SAFETY: the thread's lease (LEASE-HOLDER); by the caller's promise.
        Way::Leased(lease) => unsafe { lease.push(HOMEWARD, object) },
        Way::Nowhere => false,
    }
}

/// Pushes `object` to `class` if the thread's shard is on `node`; false when it is on another, or
/// the class is full.
///
/// # Safety
/// As [`push_batch`].
#[inline]
#[must_use]
pub unsafe fn push_on_node(heap: &Heap, class: SizeClass, object: usize, node: u32) -> bool {
    match way(heap) {
        // SAFETY: the heap's anchor; by the caller's promise.
        Way::Sequence => unsafe { cs::push_on_node(&heap.anchor, class.index(), object, node) },
        // SAFETY: the thread's lease (LEASE-HOLDER); by the caller's promise.
        Way::Leased(lease) => unsafe { lease.push_on_node(class.index(), object, node) },
        Way::Nowhere => false,
    }
}

/// Pushes as many of `objects` as fit, from the first on, if the thread's shard is on `node`;
/// returns how many.
///
/// # Safety
/// The objects are of `class` and of `node`, and the caller gives them up.
#[must_use]
pub unsafe fn push_batch(heap: &Heap, class: SizeClass, objects: &[usize], node: u32) -> usize {
    match way(heap) {
        // SAFETY: the heap's anchor; by the caller's promise.
        Way::Sequence => unsafe {
            cs::push_batch(&heap.anchor, class.index(), objects.as_ptr(), objects.len(), node)
        },
        // SAFETY: the thread's lease (LEASE-HOLDER); by the caller's promise.
        Way::Leased(lease) => unsafe { lease.push_batch(class.index(), objects, node) },
        Way::Nowhere => 0,
    }
}

/// Sets `cur` and `end` of `array` to `new` if they are `expected`.
///
/// # Safety
/// `new` lies within the array's slots with `cur <= end`, and all slots below `cur` hold the
/// objects that are there now.
#[must_use]
pub unsafe fn reshape(heap: &Heap, array: impl Into<Array>, expected: u32, new: u32) -> bool {
    let Array { index, begin } = array.into();
    match way(heap) {
        // SAFETY: the heap's anchor; by the caller's promise.
        Way::Sequence => unsafe { cs::reshape(&heap.anchor, index, begin, expected, new) },
        // SAFETY: the thread's lease (LEASE-HOLDER); by the caller's promise.
        Way::Leased(lease) => unsafe { lease.reshape(index, begin, expected, new) },
        Way::Nowhere => false,
    }
}

/// Takes the bits of `mask` that are set in `word`, if the thread's shard is its `owner`.
///
/// # Safety
/// `word` is changed only by operations that compare with the same `owner` (OWNER-FENCED).
#[must_use]
pub unsafe fn take(heap: &Heap, owner: &AtomicU32, word: &AtomicU64, mask: u64) -> Option<u64> {
    match way(heap) {
        // SAFETY: the heap's anchor; by the caller's promise.
        Way::Sequence => unsafe { cs::take(&heap.anchor, owner.as_ptr(), word.as_ptr(), mask) },
        // SAFETY: the thread's lease (LEASE-HOLDER); by the caller's promise.
        Way::Leased(lease) => unsafe { lease.take(owner, word, mask) },
        Way::Nowhere => None,
    }
}

/// Sets the bits of `mask` in `word`, if the thread's shard is its `owner`; returns the word as
/// it was.
///
/// # Safety
/// As [`take`].
#[must_use]
pub unsafe fn put(heap: &Heap, owner: &AtomicU32, word: &AtomicU64, mask: u64) -> Option<u64> {
    match way(heap) {
        // SAFETY: the heap's anchor; by the caller's promise.
        Way::Sequence => unsafe { cs::put(&heap.anchor, owner.as_ptr(), word.as_ptr(), mask) },
        // SAFETY: the thread's lease (LEASE-HOLDER); by the caller's promise.
        Way::Leased(lease) => unsafe { lease.put(owner, word, mask) },
        Way::Nowhere => None,
    }
}

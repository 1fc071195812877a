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
use crate::size_class::{HOMEWARD, HOMEWARD_BEGIN, HOMEWARD_SLOTS};
use rseq_sys::cs::{self, Header, INACTIVE};
use rseq_sys::lease::Lease;
use rseq_sys::sync::{AtomicU32, AtomicU64};

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

/// Pops an object of `class`; odd when the thread's shard has none.
#[inline(always)]
#[must_use]
pub fn pop(heap: &Heap, class: SizeClass) -> usize {
    match way(heap) {
        // SAFETY: the heap's anchor, and a class that exists.
        Way::Sequence => unsafe { cs::pop(&heap.anchor, class.index()) },
        // SAFETY: the thread's lease (LEASE-HOLDER), and a class that exists.
        Way::Leased(lease) => unsafe { lease.pop(class.index()) },
        Way::Nowhere => 1,
    }
}

/// Pushes `object` of `class`, if the thread's shard has room. Where there is one page heap.
///
/// # Safety
/// The object is of `class`, and the caller gives it up.
#[inline(always)]
#[must_use]
pub unsafe fn push(heap: &Heap, class: SizeClass, object: usize) -> bool {
    match way(heap) {
        // SAFETY: the heap's anchor; by the caller's promise.
        Way::Sequence => unsafe { cs::push(&heap.anchor, class.index(), object) },
        // SAFETY: the thread's lease (LEASE-HOLDER); by the caller's promise.
        Way::Leased(lease) => unsafe { lease.push(class.index(), object) },
        Way::Nowhere => false,
    }
}

/// Pushes `object` of `class`, if the thread's shard is of `node` and has room.
///
/// # Safety
/// The object is of `class` and `node`, and the caller gives it up.
#[inline(always)]
#[must_use]
pub unsafe fn push_on_node(heap: &Heap, class: SizeClass, object: usize, node: usize) -> bool {
    let (class, node) = (class.index(), node as u32);
    match way(heap) {
        // SAFETY: the heap's anchor; by the caller's promise.
        Way::Sequence => unsafe { cs::push_on_node(&heap.anchor, class, object, node) },
        // SAFETY: the thread's lease (LEASE-HOLDER); by the caller's promise.
        Way::Leased(lease) => unsafe { lease.push_on_node(class, object, node) },
        Way::Nowhere => false,
    }
}

/// Pops objects of `class` into `buffer`, the lowest slot first; returns how many.
#[must_use]
pub fn pop_batch(heap: &Heap, class: SizeClass, buffer: &mut [usize]) -> usize {
    pop_from(heap, class.index(), class.info().begin, buffer)
}

fn pop_from(heap: &Heap, header: usize, begin: u16, buffer: &mut [usize]) -> usize {
    let begin = begin.into();
    match way(heap) {
        // SAFETY: the heap's anchor, the header's own begin, a buffer as long as told.
        Way::Sequence => unsafe {
            cs::pop_batch(&heap.anchor, header, begin, buffer.as_mut_ptr(), buffer.len())
        },
        // SAFETY: the thread's lease (LEASE-HOLDER), the header's own begin.
        Way::Leased(lease) => unsafe { lease.pop_batch(header, begin, buffer) },
        Way::Nowhere => 0,
    }
}

/// Pushes as many of `objects` as fit, from the first on, if the thread's shard is of `node`;
/// returns how many.
///
/// # Safety
/// The objects are of `class` and `node`, and the caller gives them up.
#[must_use]
pub unsafe fn push_batch(heap: &Heap, class: SizeClass, objects: &[usize], node: usize) -> usize {
    let (class, node) = (class.index(), node as u32);
    match way(heap) {
        // SAFETY: the heap's anchor; by the caller's promise.
        Way::Sequence => unsafe {
            cs::push_batch(&heap.anchor, class, objects.as_ptr(), objects.len(), node)
        },
        // SAFETY: the thread's lease (LEASE-HOLDER); by the caller's promise.
        Way::Leased(lease) => unsafe { lease.push_batch(class, objects, node) },
        Way::Nowhere => 0,
    }
}

/// Sets `cur` and `end` of `class` to `new` if they are `expected`.
///
/// # Safety
/// `new` lies within the class's slots with `cur <= end`, and all slots below `cur` hold the
/// objects that are there now.
#[must_use]
pub unsafe fn reshape(heap: &Heap, class: SizeClass, expected: u32, new: u32) -> bool {
    // SAFETY: by the caller's promise; the class's own begin.
    unsafe { reshape_at(heap, class.index(), class.info().begin, expected, new) }
}

/// # Safety
/// As [`reshape`]; `begin` is that of the header.
unsafe fn reshape_at(heap: &Heap, header: usize, begin: u16, expected: u32, new: u32) -> bool {
    let begin = begin.into();
    match way(heap) {
        // SAFETY: the heap's anchor; by the caller's promise.
        Way::Sequence => unsafe { cs::reshape(&heap.anchor, header, begin, expected, new) },
        // SAFETY: the thread's lease (LEASE-HOLDER); by the caller's promise.
        Way::Leased(lease) => unsafe { lease.reshape(header, begin, expected, new) },
        Way::Nowhere => false,
    }
}

/// Pushes `object`, of whatever class and node, to those that wait for their way home.
///
/// # Safety
/// The caller gives the object up.
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

/// Pops those that wait for their way home into `buffer`; returns how many.
#[must_use]
pub fn pop_homeward(heap: &Heap, buffer: &mut [usize]) -> usize {
    pop_from(heap, HOMEWARD, HOMEWARD_BEGIN, buffer)
}

/// Gives the shard the slots for objects that wait for their way home, if it has none yet.
pub fn open_homeward(heap: &Heap) {
    let shape = Header::empty(HOMEWARD_BEGIN, HOMEWARD_SLOTS).shape();
    // SAFETY: the array's first shape.
    unsafe { reshape_at(heap, HOMEWARD, HOMEWARD_BEGIN, INACTIVE.shape(), shape) };
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

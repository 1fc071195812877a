//! Allocation: the fast path, and where it leaves to.
//!
//! ```text
//!  malloc(size) ─ class? ─ pop ──────────────► object
//!                 │ no      │ miss
//!                 ▼         ▼
//!             elsewhere   refill
//!                 │         ▲ miss
//!                 └─ pop under a lease, where cids are emulated ─► object
//! ```

use crate::careful;
use crate::config::SMALL_MAX;
use crate::hardened;
use crate::heap;
use crate::ids::SizeClass;
use crate::large::{self, Block};
use crate::os;
use crate::refill;
use crate::size_class::{of_aligned, of_size};
use crate::start;
use core::ptr::with_exposed_provenance_mut;
use rseq_sys::cs::{self, Anchor};
use rseq_sys::lease::Lease;

/// The alignment of every block: that of `max_align_t`.
pub const MIN_ALIGN: usize = 16;

/// `size` bytes, aligned to 16; null and `ENOMEM` when memory has ended. A size of 0 gives a
/// block, too.
#[inline(always)]
#[must_use]
#[allow(unsafe_code)]
pub fn alloc(size: usize) -> *mut u8 {
    let Some(anchor) = heap::small(size) else {
        return elsewhere(size);
    };
    pop(anchor, of_size(size))
}

#[inline(always)]
#[allow(unsafe_code)]
fn pop(anchor: &Anchor, class: SizeClass) -> *mut u8 {
    // SAFETY: the heap's anchor, and a class that exists.
    let object = unsafe { cs::pop(anchor, class.index()) };
    if object & 1 != 0 {
        return refill::refill(class);
    }
    with_exposed_provenance_mut(object)
}

/// Sizes without a class, 0, and every size before the heap is ready, without rseq, or hardened.
/// With a lease it needs no frame: what does is called at its end.
#[cold]
#[inline(never)]
fn elsewhere(size: usize) -> *mut u8 {
    let mode = hardened::mode();
    if mode.may_be_on() {
        return if mode.is_on() { careful::alloc(size, MIN_ALIGN) } else { settled(size) };
    }
    // 0 wraps to the largest number.
    if size.wrapping_sub(1) < SMALL_MAX {
        return pop_leased(of_size(size));
    }
    without_class(size)
}

#[cold]
#[inline(never)]
fn without_class(size: usize) -> *mut u8 {
    if size == 0 {
        return alloc(1);
    }
    start::heap().map_or_else(|_| os::no_memory(), |heap| large::alloc(heap, size, 1).address)
}

/// As [`elsewhere`], before it is known whether the mode is on.
#[cold]
#[inline(never)]
fn settled(size: usize) -> *mut u8 {
    carefully(size, MIN_ALIGN, elsewhere)
}

/// The block of the hardened mode, or `otherwise` where the start of the heap found it off.
#[inline(always)]
fn carefully(size: usize, align: usize, otherwise: impl FnOnce(usize) -> *mut u8) -> *mut u8 {
    if hardened::is_on() {
        return careful::alloc(size, align);
    }
    core::hint::cold_path();
    match start::heap() {
        Err(_) => os::no_memory(),
        Ok(_) if hardened::is_on() => careful::alloc(size, align),
        Ok(_) => otherwise(size),
    }
}

#[inline(always)]
#[allow(unsafe_code)]
fn pop_leased(class: SizeClass) -> *mut u8 {
    if let Some(lease) = Lease::current() {
        // SAFETY: the thread's lease (LEASE-HOLDER), and a class that exists.
        let object = unsafe { lease.pop(class.index()) };
        if object & 1 == 0 {
            return with_exposed_provenance_mut(object);
        }
    }
    refill::refill(class)
}

/// `size` bytes at a multiple of `align`, a power of two; null when memory has ended.
#[inline]
#[must_use]
pub fn alloc_aligned(size: usize, align: usize) -> *mut u8 {
    if align <= MIN_ALIGN {
        return alloc(size);
    }
    match of_aligned(size, align) {
        Some(class) => alloc_class(class, size, align),
        None => alloc_large_aligned(size, align),
    }
}

#[inline]
fn alloc_class(class: SizeClass, size: usize, align: usize) -> *mut u8 {
    let Some(anchor) = heap::small(1) else {
        return class_elsewhere(class, size, align);
    };
    pop(anchor, class)
}

#[cold]
#[inline(never)]
fn class_elsewhere(class: SizeClass, size: usize, align: usize) -> *mut u8 {
    if hardened::may_be_on() {
        return carefully(size, align, |_| pop_leased(class));
    }
    pop_leased(class)
}

#[cold]
fn alloc_large_aligned(size: usize, align: usize) -> *mut u8 {
    if hardened::may_be_on() {
        return carefully(size, align, |size| large_aligned(size, align));
    }
    large_aligned(size, align)
}

fn large_aligned(size: usize, align: usize) -> *mut u8 {
    // Blocks of more than one page's alignment are found inside larger runs, so both count.
    if size.checked_add(align).is_none_or(|sum| sum > isize::MAX as usize) {
        return os::no_memory();
    }
    start::heap().map_or_else(|_| os::no_memory(), |heap| large::alloc(heap, size, align).address)
}

/// Zeroed blocks that [`alloc`] does not have at once: the block, and whether it reads as zero.
#[cold]
#[inline(never)]
fn zeroed_elsewhere(size: usize, align: usize) -> Block {
    match start::heap() {
        Ok(_) if hardened::is_on() => careful::alloc_block(size, align),
        Ok(heap) => match of_aligned(size, align) {
            Some(_) if align <= MIN_ALIGN => Block { address: elsewhere(size), zeroed: false },
            Some(class) => Block { address: class_elsewhere(class, size, align), zeroed: false },
            None if isize::try_from(size).is_ok() && isize::try_from(align).is_ok() => {
                large::alloc(heap, size, align)
            }
            None => Block { address: os::no_memory(), zeroed: false },
        },
        Err(_) => Block { address: os::no_memory(), zeroed: false },
    }
}

/// `size` bytes of zero, aligned to `align`; null when memory has ended. What is known to be zero
/// is not cleared: pages from the system, and in the hardened mode blocks.
#[inline]
#[must_use]
#[allow(unsafe_code)]
pub fn alloc_zeroed(size: usize, align: usize) -> *mut u8 {
    let small = heap::small(size).and_then(|anchor| {
        let class = if align <= MIN_ALIGN { of_size(size) } else { of_aligned(size, align)? };
        Some((anchor, class))
    });
    let Block { address, zeroed } = match small {
        Some((anchor, class)) => Block { address: pop(anchor, class), zeroed: false },
        None => zeroed_elsewhere(size, align),
    };
    if !address.is_null() && !zeroed {
        // SAFETY: a block of at least `size` bytes that nobody else knows.
        unsafe { core::ptr::write_bytes(address, 0, size) };
    }
    address
}

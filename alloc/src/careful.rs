//! Allocation and free in the hardened mode: the parts in their order.
//!
//! ```text
//!  alloc  class of n and the marks ► pop, or refill ► still zero? ► live ► marks of n ► out
//!  free   live? ► marks whole? the size that was said? ► cleared ► exchanged at random ► waits
//!           └ no ─► one line, abort                      whoever comes out is pushed, or goes home
//! ```
//!
//! Each part may be on without the others. Everything below (shards, spans, pages) is as it is
//! without the mode; only spans and large blocks are followed by guards (see [`crate::carve`]).
#![allow(unsafe_code)]

use crate::check::{Misuse, die, misuse};
use crate::config::{GRAIN, PAGE, SMALL_MAX};
use crate::foreign;
use crate::hardened::{self, canary, rings, state, zero};
use crate::heap::{self, Heap};
use crate::ids::{PageId, SizeClass};
use crate::large::{self, Block};
use crate::os;
use crate::parts::Parts;
use crate::quarantine;
use crate::refill;
use crate::section;
use crate::size_class::{is_object_start, object_index, of_aligned, of_size};
use crate::start;
use crate::trust::{Trusted, trust};
use core::ptr::{null_mut, with_exposed_provenance_mut};

/// What a caller says of the block that it frees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// The bytes that it asked for, if it says.
    pub size: Option<usize>,
    /// The alignment that it asked for, or 1.
    pub align: usize,
}

impl Said {
    /// Whether a block at `address` of `asked` bytes is one of these. C++ asks for a byte where its
    /// program asks for none, and for whole multiples of large alignments.
    fn fits(self, asked: usize) -> bool {
        self.size.is_none_or(|size| {
            size == asked || size.max(1).checked_next_multiple_of(self.align.max(1)) == Some(asked)
        })
    }
}

/// Bytes of a block that its marks take.
fn marks(parts: Parts) -> usize {
    if parts.has(Parts::CANARY) { canary::BYTES } else { 0 }
}

/// `size` bytes at a multiple of `align`, a power of two; null with `ENOMEM` when memory ended.
#[inline]
#[must_use]
pub fn alloc(size: usize, align: usize) -> *mut u8 {
    let parts = hardened::parts();
    let bytes = size.saturating_add(marks(parts));
    let class = match align {
        ..=GRAIN if bytes <= SMALL_MAX => Some(of_size(bytes)),
        ..=GRAIN => None,
        _ => of_aligned(bytes, align),
    };
    let (Some(class), Some(heap)) = (class, heap::started()) else {
        return alloc_block(size, align).address;
    };
    let popped = section::pop(heap, class);
    let object =
        if popped & 1 == 0 { with_exposed_provenance_mut(popped) } else { refill::refill(class) };
    if !object.is_null() {
        // SAFETY: an object of this class that nobody else has.
        unsafe { dress(parts, object, class.info().size as usize, size) };
    }
    object
}

/// As [`alloc`], and whether the block reads as zero.
#[cold]
#[inline(never)]
#[must_use]
pub fn alloc_block(size: usize, align: usize) -> Block {
    let parts = hardened::parts();
    let small = size.saturating_add(marks(parts)) <= SMALL_MAX
        && of_aligned(size + marks(parts), align.max(1)).is_some();
    match start::heap() {
        // It is started now. What lies before the marks was just seen to be zero.
        Ok(_) if small => Block { address: alloc(size, align), zeroed: parts.has(Parts::ZERO) },
        Ok(heap) => alloc_large(heap, parts, size, align),
        Err(_) => Block { address: os::no_memory(), zeroed: false },
    }
}

/// Makes a free object of `size` bytes a live block of `asked` bytes.
#[inline(always)]
unsafe fn dress(parts: Parts, object: *mut u8, size: usize, asked: usize) {
    // SAFETY: the caller's object.
    if parts.has(Parts::ZERO) && !unsafe { zero::is_clear(object, size) } {
        misuse(Misuse::WriteAfterFree, object.addr());
    }
    if parts.has(Parts::STATE) && !state::set(object.addr()) {
        die(format_args!("a block was handed out twice: {object:p}"));
    }
    if parts.has(Parts::CANARY) {
        // SAFETY: the caller's object, of a class that holds the marks, too.
        unsafe { canary::write(object, size, asked) };
    }
}

fn alloc_large(heap: &Heap, parts: Parts, size: usize, align: usize) -> Block {
    let errno = os::ErrnoGuard::new();
    let block = match size.checked_add(marks(parts)) {
        Some(bytes) if bytes.checked_add(align).is_some_and(|sum| isize::try_from(sum).is_ok()) => {
            large::alloc(heap, bytes, align)
        }
        _ => Block { address: null_mut(), zeroed: false },
    };
    if !errno.allocated(block.address).is_null() {
        let offset = block.address.addr() - heap.region.base().addr();
        // SAFETY: a block of so many bytes and the marks' that nobody else has.
        unsafe { dress_large(heap, parts, PageId::of_offset(offset), size) };
        if parts.has(Parts::STATE) && !state::set(block.address.addr()) {
            die(format_args!("a block was handed out twice: {:p}", block.address));
        }
    }
    block
}

/// Notes what was asked for of the large block at `page`, and marks its end.
unsafe fn dress_large(heap: &Heap, parts: Parts, page: PageId, asked: usize) {
    heap.region.span(page).set_asked(asked);
    if parts.has(Parts::CANARY) {
        // SAFETY: the caller's block.
        unsafe { canary::write_large(heap.region.address(page), asked) };
    }
}

/// The bytes that the owner of the live block `what` at `address` asked for, or those of its class
/// without canaries. Ends the process where a mark is broken.
#[inline(always)]
fn length(heap: &Heap, parts: Parts, what: Trusted, address: usize) -> usize {
    let block = with_exposed_provenance_mut::<u8>(address);
    match what {
        Trusted::Small(class) => {
            let size = class.info().size as usize;
            if !parts.has(Parts::CANARY) {
                return size;
            }
            // SAFETY: an object of this class.
            match unsafe { canary::read(block, size) } {
                Ok(asked) => asked,
                Err(canary::Broken(Some(asked))) => overflow("", asked, address),
                Err(canary::Broken(None)) => overflow("at most ", size - canary::BYTES, address),
            }
        }
        Trusted::Large(page) => {
            let asked = heap.region.span(page).asked();
            if !parts.has(Parts::CANARY) {
                return heap.region.span(page).large_bytes();
            }
            // SAFETY: a large block of so many bytes, marked when it was handed out.
            if !unsafe { canary::is_whole_large(block, asked) } {
                overflow("", asked, address);
            }
            asked
        }
    }
}

#[cold]
fn overflow(bound: &str, bytes: usize, address: usize) -> ! {
    die(format_args!("heap overflow of a block of {bound}{bytes} bytes: {address:#x}"))
}

/// Ends the process for an address of `what` that is no live block.
#[cold]
fn not_live(heap: &Heap, what: Trusted, address: usize, free: Misuse) -> ! {
    if let Trusted::Small(class) = what {
        let offset = (address - heap.region.base().addr()) % PAGE;
        if object_index(class, offset) >= class.info().objects.into() {
            misuse(Misuse::Interior, address);
        }
    }
    misuse(free, address)
}

/// Bytes that the owner of the block `what` at `address` may use.
#[must_use]
pub fn usable_size(heap: &Heap, what: Trusted, address: usize) -> usize {
    let parts = hardened::parts();
    if parts.has(Parts::STATE) && !state::is_live(address) {
        not_live(heap, what, address, Misuse::UseOfFree);
    }
    length(heap, parts, what, address)
}

/// Takes back the block at `address`, of which the caller may have said something. Keeps `errno`.
pub fn free(address: usize, said: Option<&Said>) {
    if let Some(heap) = heap::started()
        && let Some((entry, offset)) = heap.region.look_up(address)
        && is_object_start(entry, offset)
    {
        let (parts, class) = (hardened::parts(), SizeClass(entry as u8));
        give_up(heap, parts, Trusted::Small(class), address, said);
        return free_small(heap, parts, class, address);
    }
    free_other(address, said);
}

/// As [`free`], of what is no object: large blocks, null, and misuse.
#[cold]
#[inline(never)]
fn free_other(address: usize, said: Option<&Said>) {
    match trust(address) {
        Some((heap, what @ Trusted::Large(page))) => {
            let parts = hardened::parts();
            give_up(heap, parts, what, address, said);
            let _errno = os::ErrnoGuard::new();
            if parts.has(Parts::QUARANTINE) {
                quarantine::enter_large(heap, page);
            } else {
                large::free(heap, page);
            }
        }
        // An object now, and none a moment ago: its page was not the caller's.
        Some((_, Trusted::Small(_))) => misuse(Misuse::DoubleFree, address),
        None if address == 0 => {}
        None => misuse(Misuse::Foreign, address),
    }
}

/// Ends the process where the block is not live, its marks are broken, or what the caller said is
/// not so; afterwards it is not live.
#[inline(always)]
fn give_up(heap: &Heap, parts: Parts, what: Trusted, address: usize, said: Option<&Said>) {
    if parts.has(Parts::STATE) && !state::clear(address) {
        not_live(heap, what, address, Misuse::DoubleFree);
    }
    let length = length(heap, parts, what, address);
    if let Some(&said) = said {
        compare(parts, said, length, address);
    }
}

/// Ends the process where a sized free says what is not so. Without canaries the bytes that were
/// asked for are not known, and only a size that the block cannot have had is seen.
#[inline(never)]
fn compare(parts: Parts, said: Said, length: usize, address: usize) {
    let Said { size, align } = said;
    if !address.is_multiple_of(align.max(1)) {
        die(format_args!("wrong alignment in a sized free: said {align}: {address:#x}"));
    }
    let fits =
        if parts.has(Parts::CANARY) { said.fits(length) } else { size.is_none_or(|n| n <= length) };
    if !fits && let Some(size) = size {
        let most = if parts.has(Parts::CANARY) { "" } else { "at most " };
        die(format_args!(
            "wrong size in a sized free: said {size}, is {most}{length}: {address:#x}"
        ));
    }
}

#[inline(always)]
fn free_small(heap: &Heap, parts: Parts, class: SizeClass, address: usize) {
    let size = class.info().size as usize;
    if parts.has(Parts::ZERO) {
        // SAFETY: the object was given up, and this thread alone found it live.
        unsafe { zero::clear(with_exposed_provenance_mut(address), size) };
    }
    let (mut class, mut object) = (class, address);
    if parts.has(Parts::WAITS) {
        let lane = section::shard_id(heap).map_or(0, |id| id.column() % rings::LANES);
        if parts.has(Parts::RANDOM) && size <= rings::SMALL_BYTES_MAX {
            object = rings::mix(lane, object);
        }
        if parts.has(Parts::QUARANTINE) && object != 0 {
            let bytes = class_of(heap, object, address, class).info().size as usize;
            object = rings::enter(lane, object, bytes);
        }
        if object == 0 {
            return;
        }
        class = class_of(heap, object, address, class);
    }
    let pushed = if heap.page_heaps() > 1 {
        foreign::free(heap, object)
    } else {
        // SAFETY: an object of this class, given up, and out of the rings by one swap.
        unsafe { section::push(heap, class, object) }
    };
    if !pushed {
        refill::overflow(class, object);
    }
}

/// The class of an object that waited; that of the one at `address` is known.
#[inline(always)]
fn class_of(heap: &Heap, object: usize, address: usize, class: SizeClass) -> SizeClass {
    if object == address {
        return class;
    }
    let offset = object - heap.region.base().addr();
    SizeClass(heap.region.entry(PageId::of_offset(offset)))
}

/// Makes the live block `what` at `address` one of `size` bytes where it is: true if it now is.
/// Its marks are whole, as [`usable_size`] found.
#[must_use]
pub fn resize(heap: &Heap, what: Trusted, address: usize, size: usize) -> bool {
    let parts = hardened::parts();
    let Some(bytes) = size.checked_add(marks(parts)) else {
        return false;
    };
    match what {
        Trusted::Small(class) => {
            let room = class.info().size as usize;
            // As without the mode: half of a block may stay unused before a move pays.
            if bytes > room || bytes < room / 2 {
                return false;
            }
            if parts.has(Parts::CANARY) {
                // SAFETY: the caller's live block, whose class holds the new length and the marks.
                unsafe { canary::write(with_exposed_provenance_mut(address), room, size) };
            }
            true
        }
        Trusted::Large(page) => {
            if bytes <= SMALL_MAX || !large::resize(heap, page, bytes) {
                return false;
            }
            // SAFETY: the caller's live block, which now has room for the length and the marks.
            unsafe { dress_large(heap, parts, page, size) };
            true
        }
    }
}

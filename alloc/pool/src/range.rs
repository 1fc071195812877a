//! One range: the address space of some items with all their copies.
//!
//! ```text
//!   map                base: a multiple of the stride
//!   ├─ slack ──────────┼─ copy 0 ─┬─ copy 1 ─┬─ … ─┬─ copy n ─┬─ … ──────────────────┤ slack
//!                      │ node 0's cids ────────────│ node 1's cids ─────── …
//!                      └ mbind node 0 ─────────────└ mbind node 1       before anything is
//!                                                                       written
//!   zero    one anonymous mapping; a copy's pages come with the first write by its cid
//!   image   one private mapping of the image's file for each copy: see `populate`
//! ```
//!
//! The whole is reserved for all cids that there can be, and costs address space alone. Huge pages
//! are refused: one of them would make many copies resident, on the node of whichever cid was first.

#![allow(unsafe_code)]

use crate::cids::Shape;
use crate::fork::{self, Fork};
use crate::populate::{Image, Populate};
use crate::robust;
use core::ffi::{CStr, c_int, c_void};
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use memmap2::{MmapOptions, MmapRaw};
use numa_sys::policy::{self, BindMode};
use std::io;

/// What all ranges of a pool have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<'a> {
    /// As the kernel shows it.
    pub(crate) name: &'a CStr,
    pub(crate) shape: Shape,
    pub(crate) populate: Populate,
    pub(crate) bind: BindMode,
    pub(crate) fork: Fork,
}

/// The mapping. Whoever drops it knows that nobody looks there any more.
#[derive(Debug)]
pub(crate) struct Range {
    map: ManuallyDrop<MmapRaw>,
    base: NonNull<u8>,
    shape: Shape,
    bind: BindMode,
    fork: Fork,
    /// The process that mapped it, by its ancestors.
    generation: u32,
    pub(crate) image: Option<Image>,
    /// Nodes to which the kernel did not bind their copies.
    pub(crate) unbound: usize,
}

// SAFETY: an owned mapping; what it is read and written by is atomic, or sections.
unsafe impl Send for Range {}
// SAFETY: as above.
unsafe impl Sync for Range {}

impl Range {
    /// Reserves the address space and says what the kernel is to do with it.
    pub(crate) fn map(plan: &Plan<'_>) -> io::Result<Self> {
        let Plan { name, shape, populate, bind, fork } = *plan;
        let bytes = shape.bytes().ok_or(io::ErrorKind::OutOfMemory)?;
        let slack = shape.stride() - cidalloc::os::page_size();
        let map = MmapOptions::new().len(bytes + slack).no_reserve_swap().map_anon()?;
        let map = ManuallyDrop::new(MmapRaw::from(map));
        let aligned = map.as_mut_ptr().map_addr(|address| address.next_multiple_of(shape.stride()));
        // From here on drop unmaps it, also when the rest fails.
        let mut range = Self {
            base: NonNull::new(aligned).ok_or(io::ErrorKind::OutOfMemory)?,
            map,
            shape,
            bind,
            fork,
            generation: fork::generation(),
            image: None,
            unbound: 0,
        };
        if populate == Populate::Image {
            range.image = Some(Image::map(name, shape, range.base, fork)?);
        }
        range.unbound = range.place();
        range.name(name);
        match (fork, populate) {
            (Fork::Copied, _) => {}
            // Private mappings of a file cannot have it: `after_fork` does it.
            (Fork::Wiped, Populate::Image) => {}
            (Fork::Wiped, Populate::Zero) => range.advise(libc::MADV_WIPEONFORK)?,
            (Fork::Unusable, _) => range.advise(libc::MADV_DONTFORK)?,
        }
        Ok(range)
    }

    /// Where copy 0 begins.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Before anything is there: pages that exist are not moved. How many nodes were refused.
    fn place(&self) -> usize {
        // Fails where the kernel was built without them: then there are none.
        let _ = self.advise(libc::MADV_NOHUGEPAGE);
        let bytes = self.shape.row_bytes();
        (0..self.shape.nodes)
            .filter(|&node| {
                let row = self.base.as_ptr().wrapping_add(node * bytes);
                policy::bind_range(row.cast(), bytes, node as u32, self.bind).is_err()
            })
            .count()
    }

    /// Anonymous memory has names since Linux 5.17, where the kernel was built with them; a mapped
    /// file has that of the file.
    fn name(&self, name: &CStr) {
        if self.image.is_none() {
            name_anonymous(self.base, self.bytes(), name);
        }
    }

    fn bytes(&self) -> usize {
        self.shape.copies() << self.shape.shift
    }

    fn advise(&self, advice: c_int) -> io::Result<()> {
        advise(self.base, self.bytes(), advice)
    }

    /// Gives all memory back: each copy then reads as the image, or zero, again.
    pub(crate) fn discard(&self) {
        if self.is_here() {
            // Fails for locked memory alone, which then stays.
            let _ = self.advise(libc::MADV_DONTNEED);
        }
    }

    /// Whether the mapping is this process's. In a child that did not inherit it, something else may
    /// be at its addresses.
    fn is_here(&self) -> bool {
        self.fork != Fork::Unusable || self.generation == fork::generation()
    }

    /// Waits until no page fault that began before is under way in any copy. Twice, and so that each
    /// is the other's opposite: one that finds nothing to change does not wait, but then another
    /// thread's, which began after this call did, changed it in between.
    pub(crate) fn settle_faults(&self) {
        let _ = self.advise(libc::MADV_RANDOM);
        let _ = self.advise(libc::MADV_NORMAL);
    }

    /// In a child of `fork`. False: its items cannot be used here.
    pub(crate) fn after_fork(&self, name: &CStr) -> bool {
        match (self.fork, &self.image) {
            (Fork::Unusable, _) if !self.is_here() => {
                self.close();
                true
            }
            (Fork::Wiped, Some(image)) => {
                // What was said of the old mappings and their file does not hold for the new ones.
                let place = || {
                    self.place();
                };
                let is_renewed = image.renew(name, self.base, place).is_ok();
                if !is_renewed {
                    self.close();
                }
                is_renewed
            }
            _ => true,
        }
    }

    /// Leaves nothing but addresses at which nothing can be read, nor anything else be mapped. Ends the
    /// process where it cannot: operations of structures there would be on whatever there is.
    fn close(&self) {
        let inherited = if self.fork == Fork::Unusable { FIXED_NOREPLACE } else { libc::MAP_FIXED };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | inherited;
        let at = self.base.as_ptr().cast();
        // SAFETY: over the range's own mapping, or, if that is not inherited, over nothing.
        let mapped = unsafe { libc::mmap(at, self.bytes(), libc::PROT_NONE, flags, -1, 0) };
        // What was not inherited is not passed on either: a child's child closes its own hole.
        if self.fork == Fork::Unusable {
            let _ = self.advise(libc::MADV_DONTFORK);
        }
        if mapped != at {
            robust::die(format_args!("the addresses of a pool that is not for children are taken"));
        }
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        if self.is_here() {
            // SAFETY: taken once.
            drop(unsafe { ManuallyDrop::take(&mut self.map) });
        } else if let Some(image) = self.image.take() {
            core::mem::forget(image);
        }
    }
}

/// `MAP_FIXED_NOREPLACE`: older kernels (before 4.17) take the address for a wish.
const FIXED_NOREPLACE: c_int = 0x10_0000;

pub(crate) fn advise(start: NonNull<u8>, bytes: usize, advice: c_int) -> io::Result<()> {
    // SAFETY: a mapping of this library; none of the advice in use takes it away.
    match unsafe { libc::madvise(start.as_ptr().cast(), bytes, advice) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

pub(crate) fn name_anonymous(start: NonNull<u8>, bytes: usize, name: &CStr) {
    const PR_SET_VMA: c_int = 0x5356_4d41;
    const PR_SET_VMA_ANON_NAME: c_int = 0;
    let start: *mut c_void = start.as_ptr().cast();
    // SAFETY: names a mapping of this library; the kernel copies the name.
    unsafe { libc::prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, start, bytes, name.as_ptr()) };
}

#[cfg(test)]
#[path = "range_tests.rs"]
mod tests;

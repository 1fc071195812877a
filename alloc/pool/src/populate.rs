//! What a copy holds before its cid first writes to it: zero, or what an image says.
//!
//! ```text
//!  memfd   ┌ image for node 0 ┬ image for node 1 ┬ …       a shared mapping, ours to write to
//!          └───────┬──────────┴────────┬─────────┘
//!       private:   ├──► copy (0, 0)    ├──► copy (1, 0)    one mapping each; a page becomes the
//!                  ├──► copy (0, 1)    ├──► copy (1, 1)    copy's own with the first write to it
//!                  └──► …              └──► …
//! ```
//!
//! An image for each node, since memory policies of shared memory belong to the file, and not to
//! the mapping: of copies of one node and another at the same bytes of a file, all would be on the
//! node that was bound last. So what a copy reads is on its node also before it has pages of its own.
//!
//! **Changing the image** (an item is initialised) reaches all copies whose page is not their own
//! yet; the others are written one by one. A page that is being copied at that moment is neither:
//! the kernel may have read the old image, while the copy still reads as the new one. So the image is
//! written first, then page faults under way are waited for, and then each copy is compared.
//!
//! **Fork.** The file is the same one in parent and child. Where the child keeps the copies
//! ([`Fork::Copied`]), neither may change it from then on: it is *frozen*, and items are initialised
//! by writing to every copy. A child whose copies are wiped gets a file of its own, of the *original*: a
//! second image in private memory, which the kernel gives to the child as it was at the fork, whatever
//! the parent writes before the child runs.

#![allow(unsafe_code)]

use crate::cids::Shape;
use crate::fork::{self, Fork};
use core::ffi::CStr;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};

/// What copies hold at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Populate {
    /// Zero: anonymous memory.
    #[default]
    Zero,
    /// What the range's image holds, which the initialiser writes, and zero without one. One
    /// mapping per copy: with `n` possible cids a range takes `n` of the `vm.max_map_count` mappings
    /// (65,530) that a process may have.
    Image,
}

/// What an initialiser fills: the image of a new range, before any item of it is allocated.
#[derive(Debug)]
pub struct RangeImage<'a> {
    pub(crate) number: usize,
    pub(crate) item_len: usize,
    pub(crate) items: usize,
    pub(crate) bytes: &'a mut [u8],
}

impl RangeImage<'_> {
    /// Which range of the pool it is; one that was given back may come again.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }
    /// How many items it has.
    #[must_use]
    pub fn items(&self) -> usize {
        self.items
    }
    /// The bytes from one item to the next: the item length, rounded up to 8.
    #[must_use]
    pub fn item_len(&self) -> usize {
        self.item_len
    }
    /// The whole image, item by item; what is behind the last one is not used.
    pub fn bytes(&mut self) -> &mut [u8] {
        self.bytes
    }
    /// What item `index` holds at first.
    ///
    /// # Panics
    /// If there is no such item.
    pub fn item(&mut self, index: usize) -> &mut [u8] {
        &mut self.bytes[index * self.item_len..][..self.item_len]
    }
}

/// The image of one range.
pub(crate) struct Image {
    /// Of all nodes, one after the other.
    map: MmapRaw,
    /// The image once more, where children have copies that are wiped.
    original: Option<MmapRaw>,
    shape: Shape,
    /// Forks until then: after another one it is frozen.
    forks: u32,
    fork: Fork,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image").field("frozen", &self.is_frozen()).finish_non_exhaustive()
    }
}

impl Image {
    /// Makes the file, and maps it at each copy of the range at `base`.
    pub(crate) fn map(
        name: &CStr,
        shape: Shape,
        base: NonNull<u8>,
        fork: Fork,
    ) -> io::Result<Self> {
        let file = new_file(name, shape)?;
        map_copies(&file, shape, base)?;
        let map = MmapOptions::new().len(shape.nodes << shape.shift).map_raw(&file)?;
        if fork == Fork::Unusable {
            let start = NonNull::new(map.as_mut_ptr()).ok_or(io::ErrorKind::OutOfMemory)?;
            crate::range::advise(start, map.len(), libc::MADV_DONTFORK)?;
        }
        let original = match fork {
            Fork::Wiped => Some(MmapOptions::new().len(shape.stride()).map_anon()?.into()),
            Fork::Copied | Fork::Unusable => None,
        };
        Ok(Self { map, original, shape, forks: fork::forks(), fork })
    }

    /// Whether another process might see what is written to it.
    fn is_frozen(&self) -> bool {
        self.fork == Fork::Copied && self.forks != fork::forks()
    }

    /// Fills the images of all nodes by what `fill` makes of one.
    pub(crate) fn fill(&mut self, fill: impl FnOnce(&mut [u8])) {
        let stride = self.shape.stride();
        // SAFETY: the image's own mapping, and nobody has an item of this range yet.
        let all = unsafe { core::slice::from_raw_parts_mut(self.map.as_mut_ptr(), self.map.len()) };
        let (first, others) = all.split_at_mut(stride);
        fill(first);
        if let Some(original) = &self.original {
            // SAFETY: as long, and another mapping.
            unsafe {
                core::ptr::copy_nonoverlapping(first.as_ptr(), original.as_mut_ptr(), stride)
            };
        }
        for other in others.chunks_exact_mut(stride) {
            other.copy_from_slice(first);
        }
    }

    /// The word at `offset` of a copy that nobody wrote.
    pub(crate) fn word(&self, offset: usize) -> u64 {
        self.at(0, offset).load(Relaxed)
    }

    /// Writes `value` of each word to the image, from `offset` on. `None` when it is frozen; else
    /// whether anything changed.
    pub(crate) fn write(&self, offset: usize, value: impl Iterator<Item = u64>) -> Option<bool> {
        if self.is_frozen() {
            return None;
        }
        let mut changed = false;
        for (index, new) in value.enumerate() {
            if let Some(original) = &self.original {
                word_at(original, offset + index * 8).store(new, Relaxed);
            }
            for node in 0..self.shape.nodes {
                let word = self.at(node, offset + index * 8);
                if word.load(Relaxed) != new {
                    word.store(new, Relaxed);
                    changed = true;
                }
            }
        }
        Some(changed)
    }

    fn at(&self, node: usize, offset: usize) -> &AtomicU64 {
        debug_assert!(offset < self.shape.stride());
        word_at(&self.map, (node << self.shape.shift) + offset)
    }

    /// In a child of `fork`: a file of its own, in whose copies nothing was written yet. `place` says
    /// where these are to be, before the file has any page. No more than system calls.
    pub(crate) fn renew(
        &self,
        name: &CStr,
        base: NonNull<u8>,
        place: impl FnOnce(),
    ) -> io::Result<()> {
        let file = new_file(name, self.shape)?;
        map_copies(&file, self.shape, base)?;
        place();
        let image = self.original.as_ref().unwrap_or(&self.map);
        // SAFETY: the image's own mapping, of one node at least; this process has one thread.
        let image = unsafe { core::slice::from_raw_parts(image.as_ptr(), self.shape.stride()) };
        for _ in 0..self.shape.nodes {
            (&file).write_all(image)?;
        }
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        // SAFETY: over the image's own mapping.
        unsafe { map_fixed(self.map.as_mut_ptr(), self.map.len(), flags, &file, 0) }
    }
}

/// The word at `offset` of a mapping.
fn word_at(map: &MmapRaw, offset: usize) -> &AtomicU64 {
    debug_assert!(offset < map.len() && offset.is_multiple_of(8));
    // SAFETY: an aligned word of the mapping.
    unsafe { AtomicU64::from_ptr(map.as_mut_ptr().add(offset).cast()) }
}

/// A file of memory, with room for the image of each node.
fn new_file(name: &CStr, shape: Shape) -> io::Result<File> {
    // SAFETY: a text; the result is a new descriptor or none.
    let create = |flags| unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | flags) };
    // Since Linux 6.3 a system may demand that such files are not executable (`vm.memfd_noexec`).
    let descriptor = match create(libc::MFD_NOEXEC_SEAL) {
        refused if refused < 0 => create(0),
        descriptor => descriptor,
    };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, and nobody else's.
    let file = unsafe { File::from_raw_fd(descriptor) };
    file.set_len((shape.nodes << shape.shift) as u64)?;
    Ok(file)
}

/// Maps the file of images over all copies of the range at `base`, which is the caller's.
fn map_copies(file: &File, shape: Shape, base: NonNull<u8>) -> io::Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE;
    for copy in 0..shape.copies() {
        let at = base.as_ptr().wrapping_add(copy << shape.shift);
        let offset = shape.place(copy).node << shape.shift;
        // SAFETY: over the copy's own addresses.
        unsafe { map_fixed(at, shape.stride(), flags, file, offset) }?;
    }
    Ok(())
}

/// # Safety
/// What is mapped there is the caller's to lose.
unsafe fn map_fixed(
    at: *mut u8,
    len: usize,
    flags: i32,
    file: &File,
    offset: usize,
) -> io::Result<()> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: by the caller's promise.
    let mapped = unsafe {
        libc::mmap(at.cast(), len, protection, flags, file.as_raw_fd(), offset as libc::off_t)
    };
    if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

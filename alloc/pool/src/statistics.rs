//! What a pool has, and what of it is resident, as the kernel says.
//!
//! ```text
//!  /proc/self/pagemap: a word for each page
//!    present or swapped?   no ─► nothing there
//!    of a file?            yes ─► the image's page, not the copy's own
//!    exclusive?            yes ─► the copy's own
//!                          no ──► the zero page, which many read; or shared with a child of
//!                                 fork: then it holds something
//! ```
#![allow(unsafe_code)]

use crate::cancel::Uncancelled;
use crate::cids::{Place, Shape, Source};
use crate::copies;
use crate::pool::{Item, Pool};
use crate::shared::Shared;
use cidalloc::os;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Of one pool, at one time; what other threads do meanwhile may be in one number and not yet in
/// the next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// The pool's name.
    pub name: String,
    /// Bytes of an item.
    pub item_len: usize,
    /// Bytes from a copy of an item to the next.
    pub stride: usize,
    /// Where cids come from.
    pub source: Source,
    /// Allocated items.
    pub items: usize,
    /// Free items that a cid has to itself.
    pub cached: usize,
    /// Items that there are in all ranges.
    pub capacity: usize,
    /// Ranges.
    pub ranges: usize,
    /// Ranges that there may be.
    pub ranges_max: usize,
    /// Copies of an item: possible nodes × possible cids.
    pub copies: usize,
    /// What is resident, by node; `None` where the kernel does not say (no `/proc`).
    pub resident: Option<Vec<Resident>>,
    /// Bytes of address space of all ranges.
    pub bytes_reserved: usize,
    /// How often items were taken back from cids.
    pub steals: usize,
    /// Rows of copies that the kernel refused to bind to their node.
    pub unbound: usize,
}

/// What is resident of the copies of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resident {
    /// Cids that have a page of their own in some range.
    pub copies: usize,
    /// In these pages.
    pub bytes: usize,
}

impl Statistics {
    /// Bytes that are resident on all nodes, as far as it is known.
    #[must_use]
    pub fn bytes_resident(&self) -> Option<usize> {
        self.resident.as_ref().map(|nodes| nodes.iter().map(|node| node.bytes).sum())
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, items, capacity, ranges, ranges_max, item_len, .. } = self;
        writeln!(f, "pool {name}: {items} of {capacity} items of {item_len} bytes are allocated")?;
        writeln!(f, "  ranges        {ranges} of {ranges_max}, stride {}", self.stride)?;
        writeln!(f, "  copies        {} per item, cids: {:?}", self.copies, self.source)?;
        writeln!(f, "  cached items  {}, collected {} times", self.cached, self.steals)?;
        writeln!(f, "  reserved      {} KiB", self.bytes_reserved / 1024)?;
        match &self.resident {
            None => writeln!(f, "  resident      not known: no /proc/self/pagemap")?,
            Some(nodes) => {
                for (node, Resident { copies, bytes }) in nodes.iter().enumerate() {
                    let kib = bytes / 1024;
                    writeln!(f, "  node {node:<9}{copies} copies resident, {kib} KiB")?;
                }
            }
        }
        if self.unbound > 0 {
            writeln!(f, "  not bound     {} rows of copies", self.unbound)?;
        }
        Ok(())
    }
}

impl Shared {
    pub(crate) fn statistics(&self) -> Statistics {
        // No range that is found is unmapped before this is done.
        let _guard = crossbeam_epoch::pin();
        let shape = self.items.shape;
        let ranges = self.items.ranges();
        let capacity = ranges * self.items.per_range;
        let cached = self.control.cached();
        Statistics {
            name: self.name().into(),
            item_len: self.item_len(),
            stride: shape.stride(),
            source: self.cids.source,
            items: capacity.saturating_sub(self.items.free()).saturating_sub(cached),
            cached,
            capacity,
            ranges,
            ranges_max: self.items.ranges_max(),
            copies: shape.copies(),
            resident: self.is_usable().then(|| self.resident()).flatten(),
            bytes_reserved: ranges * (shape.copies() << shape.shift),
            steals: self.steals.load(Relaxed),
            unbound: self.unbound.load(Relaxed),
        }
    }

    fn resident(&self) -> Option<Vec<Resident>> {
        let pagemap = Pagemap::open()?;
        let (shape, page) = (self.items.shape, pagemap.page);
        let mut nodes = vec![Resident::default(); shape.nodes];
        let mut is_counted = vec![false; shape.copies()];
        for base in (0..self.items.used()).filter_map(|slot| self.items.base(slot)) {
            pagemap.each_own(base, shape.copies() << shape.shift, |offset| {
                let copy = offset >> shape.shift;
                let node = &mut nodes[shape.place(copy).node];
                node.bytes += page;
                node.copies += usize::from(!core::mem::replace(&mut is_counted[copy], true));
            })?;
        }
        Some(nodes)
    }
}

impl Pool {
    /// The copies of `item` that have pages of their own: those that some cid wrote to, or to an
    /// item beside it. `None` where the kernel does not say, or the pool does not [own](Self::owns) it.
    #[must_use]
    pub fn resident(&self, item: Item) -> Option<Vec<(Place, NonNull<u8>)>> {
        // What is the pool's now is not unmapped before this is done.
        let _guard = crossbeam_epoch::pin();
        if !self.owns(item) {
            return None;
        }
        let pagemap = Pagemap::open()?;
        let shape: Shape = self.0.items.shape;
        let page = pagemap.page;
        let mut found = Vec::new();
        for copy in 0..shape.copies() {
            let at = copies::address(shape, item, copy);
            let inside = at.addr().get() % page;
            let first = NonNull::new(at.as_ptr().wrapping_sub(inside)).unwrap_or(at);
            let mut is_resident = false;
            pagemap.each_own(first, (inside + self.item_len()).next_multiple_of(page), |_| {
                is_resident = true;
            })?;
            if is_resident {
                found.push((shape.place(copy), at));
            }
        }
        Some(found)
    }
}

struct Pagemap {
    file: File,
    page: usize,
    // Dropped last.
    _whole: Uncancelled,
}

const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const OF_FILE: u64 = 1 << 61;
const EXCLUSIVE: u64 = 1 << 56;
/// Pages that are asked for at once.
const CHUNK: usize = 512;

impl Pagemap {
    fn open() -> Option<Self> {
        let whole = Uncancelled::new();
        let file = File::open("/proc/self/pagemap").ok()?;
        Some(Self { file, page: os::page_size(), _whole: whole })
    }

    /// Calls `each` with the offset of every page that is the mapping's own.
    fn each_own(
        &self,
        start: NonNull<u8>,
        bytes: usize,
        mut each: impl FnMut(usize),
    ) -> Option<()> {
        let pages = bytes / self.page;
        let first = start.addr().get() / self.page;
        let mut words = [0u64; CHUNK];
        for chunk in (0..pages).step_by(CHUNK) {
            let words = &mut words[..CHUNK.min(pages - chunk)];
            let at = (first + chunk) as u64 * 8;
            self.file.read_exact_at(bytemuck::cast_slice_mut(words), at).ok()?;
            for (index, &word) in words.iter().enumerate() {
                let offset = (chunk + index) * self.page;
                let is_there = word & (PRESENT | SWAPPED) != 0 && word & OF_FILE == 0;
                let is_own = word & (EXCLUSIVE | SWAPPED) != 0
                    || is_there && !self.is_zero(start.as_ptr().wrapping_add(offset));
                if is_there && is_own {
                    each(offset);
                }
            }
        }
        Some(())
    }

    fn is_zero(&self, page: *mut u8) -> bool {
        (0..self.page).step_by(8).all(|at| {
            // SAFETY: a word of a page of a range, which is not unmapped under the caller's guard.
            unsafe { AtomicU64::from_ptr(page.wrapping_add(at).cast()) }.load(Relaxed) == 0
        })
    }
}

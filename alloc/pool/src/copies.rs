//! All copies of an item.
//!
//! ```text
//!  item ──► (node 0 cid 0, p) (node 0 cid 1, p + stride) …      each place, written or not
//!           ╰──────────── under an epoch guard ───────────╯     nothing is unmapped meanwhile
//! ```

use crate::cids::{Place, Shape};
use crate::pool::Item;
use core::fmt;
use core::ptr::NonNull;
use crossbeam_epoch::Guard;

/// The copies of one item: see [`crate::Pool::copies`].
#[must_use]
pub struct Copies {
    shape: Shape,
    item: Item,
    next: usize,
    _guard: Guard,
}

impl fmt::Debug for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copies").field("item", &self.item).field("next", &self.next).finish()
    }
}

impl Copies {
    pub(crate) fn new(shape: Shape, item: Item) -> Self {
        Self { shape, item, next: 0, _guard: crossbeam_epoch::pin() }
    }
}

/// The address of a copy of `item`.
pub(crate) fn address(shape: Shape, item: Item, copy: usize) -> NonNull<u8> {
    let item = item.as_ptr();
    // An item that is none may lie at the end of the address space.
    NonNull::new(item.as_ptr().wrapping_add(copy << shape.shift)).unwrap_or(item)
}

impl Iterator for Copies {
    type Item = (Place, NonNull<u8>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let copy = self.next;
        (copy < self.shape.copies()).then(|| {
            self.next += 1;
            (self.shape.place(copy), address(self.shape, self.item, copy))
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.shape.copies() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Copies {}

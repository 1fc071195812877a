//! The pool as its users see it.
//!
//! ```text
//!  Pool ─┬─ Arc ─► Shared                    clones are the same pool
//!  Pool ─┘
//!  Item: an address in copy 0                 its copy of a place: n strides above
//! ```

#![allow(unsafe_code)]

use crate::builder::Builder;
use crate::cids::Place;
use crate::copies::{self, Copies};
use crate::group::{GROUP, Group};
use crate::robust::{self, FreeError};
use crate::shared::Shared;
use crate::statistics::Statistics;
use cidalloc::percid::Cids;
use core::fmt;
use core::ptr::NonNull;
use std::io;
use std::sync::Arc;

/// An allocated item, by its address in copy 0: what C has as a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Item(pub(crate) NonNull<u8>);

// SAFETY: an address; whatever is done with it says what it needs.
unsafe impl Send for Item {}
// SAFETY: as above.
unsafe impl Sync for Item {}

impl Item {
    /// The item of this address in copy 0. Pools find out by themselves if it is none.
    #[must_use]
    pub fn from_ptr(address: NonNull<u8>) -> Self {
        Self(address)
    }
    /// Its address in copy 0.
    #[must_use]
    pub fn as_ptr(self) -> NonNull<u8> {
        self.0
    }
}

/// Why there is no item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AllocateError {
    /// All items of all ranges that there may be are allocated.
    Full {
        /// Ranges that the pool may have.
        ranges: usize,
    },
    /// The system refuses another range; with its error number.
    Refused {
        /// As `errno` has it.
        errno: i32,
    },
    /// The value is longer than an item.
    TooLong {
        /// Of the value.
        len: usize,
        /// Of an item.
        item_len: usize,
    },
    /// The pool was made by an ancestor process, which keeps it for itself.
    NotInChild,
}

impl fmt::Display for AllocateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { ranges } => write!(f, "all items are allocated, in {ranges} ranges"),
            Self::Refused { errno } => {
                let error = io::Error::from_raw_os_error(*errno);
                write!(f, "the system refuses another range: {error}")
            }
            Self::TooLong { len, item_len } => {
                write!(f, "a value of {len} bytes does not fit in an item of {item_len}")
            }
            Self::NotInChild => write!(f, "{}", FreeError::NotInChild),
        }
    }
}

impl core::error::Error for AllocateError {}

/// A pool of items with one copy per cid. A handle: its clones are the same pool, which goes when
/// the last one is dropped.
///
/// ```
/// let pool = cidpool::Pool::builder(16).name("hits").build()?;
/// let item = pool.allocate_zeroed()?;
/// for (_, copy) in pool.copies(item) {
///     // SAFETY: a copy of our item, 16 bytes, aligned to 8.
///     assert_eq!(unsafe { copy.cast::<u64>().read() }, 0);
/// }
/// // SAFETY: the item, once.
/// unsafe { pool.free(item) };
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Pool(pub(crate) Arc<Shared>);

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Pool {
    /// Begins a pool of items of `item_len` bytes, which are at 8-byte boundaries, or at those of a
    /// larger power of two that divides `item_len`, up to the stride.
    pub fn builder(item_len: usize) -> Builder {
        Builder::new(item_len)
    }

    /// An item, which holds whatever its last owner left there; in a pool that is fresh, or with an
    /// image, what copies hold at first.
    ///
    /// Lock-free, and for signal handlers too, but when a range is added or cids' items are collected: a
    /// handler that interrupted `malloc` may wait for ever then, for who waits for that.
    ///
    /// # Errors
    /// [`AllocateError`].
    #[inline]
    pub fn allocate(&self) -> Result<Item, AllocateError> {
        let item = self.0.allocate()?;
        // SAFETY: just allocated.
        Ok(unsafe { self.0.item(item) })
    }

    /// An item of which every copy is zero. A copy that is so already is not written, nor made
    /// resident.
    ///
    /// # Errors
    /// [`AllocateError`].
    pub fn allocate_zeroed(&self) -> Result<Item, AllocateError> {
        self.0.allocate_as(&[])
    }

    /// An item of which every copy begins with `value`, and is zero behind it. With
    /// [`crate::Populate::Image`] what no cid wrote takes it over from the image; else every copy is
    /// written, and resident.
    ///
    /// # Errors
    /// [`AllocateError`]; the value may be longer than an item.
    pub fn allocate_init(&self, value: &[u8]) -> Result<Item, AllocateError> {
        self.0.allocate_as(value)
    }

    /// `count` more items in `items`, or none.
    ///
    /// # Errors
    /// [`AllocateError`].
    pub fn allocate_many(&self, count: usize, items: &mut Vec<Item>) -> Result<(), AllocateError> {
        let before = items.len();
        items.reserve(count);
        while items.len() - before < count {
            let missing = count - (items.len() - before);
            match self.0.take(missing.min(GROUP) as u32) {
                Ok(group) => {
                    self.0.hand_out(group);
                    // SAFETY: just allocated.
                    items.extend(group.iter().map(|item| unsafe { self.0.item(item) }));
                }
                Err(error) => {
                    // SAFETY: just allocated, and nobody's yet.
                    unsafe { self.free_many(&items[before..]) };
                    items.truncate(before);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Frees `item`. Ends the process with one line when it sees that this is wrong.
    ///
    /// # Safety
    /// The item is of this pool and was not freed since it was allocated, and nobody uses it any
    /// more. (A robust pool sees the first two by itself.)
    #[inline]
    pub unsafe fn free(&self, item: Item) {
        // SAFETY: by the caller's promise.
        if let Err(why) = unsafe { self.try_free(item) } {
            robust::wrong_free(self.name(), why, item.0.addr().get());
        }
    }

    /// Frees `item`, or says what is wrong with it.
    ///
    /// # Errors
    /// [`FreeError`], as far as it is seen.
    ///
    /// # Safety
    /// As [`Self::free`].
    #[inline]
    pub unsafe fn try_free(&self, item: Item) -> Result<(), FreeError> {
        let index = self.0.locate(item)?;
        self.0.take_back(index)?;
        self.0.give(Group::one(index))
    }

    /// Frees all `items`, neighbours together.
    ///
    /// # Safety
    /// As [`Self::free`], for each of them.
    pub unsafe fn free_many(&self, items: &[Item]) {
        let mut group = Group { number: 0, mask: 0 };
        let give = |group: Group| {
            if group.mask != 0
                && let Err(why) = self.0.give(group)
            {
                // SAFETY: the caller's, as far as they know.
                let first = unsafe { self.0.item(group.first()) };
                robust::wrong_free(self.name(), why, first.0.addr().get());
            }
        };
        for &item in items {
            let next = self.0.locate(item).and_then(|index| {
                self.0.take_back(index)?;
                Ok(Group::one(index))
            });
            match next {
                Err(why) => robust::wrong_free(self.name(), why, item.0.addr().get()),
                Ok(one) if one.number != group.number => {
                    give(group);
                    group = one;
                }
                Ok(one) if one.mask & group.mask != 0 => {
                    let why = FreeError::DoubleFree;
                    robust::wrong_free(self.name(), why, item.0.addr().get());
                }
                Ok(one) => group.mask |= one.mask,
            }
        }
        give(group);
    }

    /// The copy of `item` that belongs to `place`; of a global pool the only one.
    ///
    /// # Panics
    /// If there can be no such place.
    #[must_use]
    pub fn copy(&self, item: Item, place: Place) -> NonNull<u8> {
        if self.0.is_global {
            return item.0;
        }
        let shape = self.0.items.shape;
        let Some(copy) = shape.copy(place) else { panic!("{place} is no place: {shape:?}") };
        copies::address(shape, item, copy)
    }

    /// All copies of `item` with their places. To read one that no cid wrote costs no memory. While
    /// this is there, no range of any pool is unmapped.
    pub fn copies(&self, item: Item) -> Copies {
        Copies::new(self.0.items.shape, item)
    }

    /// The places that copies are of.
    pub fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let shape = self.0.items.shape;
        (0..shape.copies()).map(move |copy| shape.place(copy))
    }

    /// Bytes of an item, as asked for.
    #[must_use]
    pub fn item_len(&self) -> usize {
        self.0.item_len()
    }
    /// Bytes from one copy of an item to the next.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.0.items.shape.stride()
    }
    /// The stride's logarithm.
    #[must_use]
    pub fn shift(&self) -> u32 {
        self.0.items.shape.shift
    }
    /// As it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }
    /// Whether there is one copy for all cids.
    #[must_use]
    pub fn is_global(&self) -> bool {
        self.0.is_global
    }
    /// Whether `item` is at an address where this pool has an item, allocated or not.
    #[must_use]
    pub fn owns(&self, item: Item) -> bool {
        self.0.locate(item).is_ok()
    }
    /// What the pool has, and what of it is resident.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.0.statistics()
    }
    /// Gives ranges back of which every item is free. How many. Their memory goes at once, their
    /// addresses when nobody iterates any more.
    pub fn trim(&self) -> usize {
        self.0.trim()
    }

    /// The process's cids.
    pub(crate) fn cids(&self) -> &'static Cids {
        self.0.cids
    }
}

//! Pools for items of mixed lengths.
//!
//! ```text
//!  allocate(20)      16   32   64   128          the smallest that fits; when it is full, the next
//!                         ▲ ──► ▲ ──► ▲          larger one
//!  free(item)        whose is it? each is asked: one probe of a table
//! ```

use crate::builder::{BuildError, Builder};
use crate::cids::Place;
use crate::copies::Copies;
use crate::pool::{AllocateError, Item, Pool};
use crate::robust::{self, FreeError};
use core::fmt;
use core::ptr::NonNull;

/// Pools of different lengths, of one stride.
///
/// ```
/// use cidpool::PoolSet;
///
/// let set = PoolSet::builder().name("mixed").lengths(16, 1024).build()?;
/// let item = set.allocate_init(20, b"begins so everywhere")?;
/// assert_eq!(set.pool_of(item).map(cidpool::Pool::item_len), Some(32));
/// // SAFETY: the item, once.
/// unsafe { set.free(item) };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct PoolSet {
    /// By length.
    pools: Vec<Pool>,
}

/// Why a pool is not in a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddError {
    /// Its stride differs from the set's, or one of the two is global: copies of an item would not be
    /// where a user of the set looks for them.
    OtherCopies,
    /// There is a pool of items of that length.
    SameLength {
        /// Of an item.
        item_len: usize,
    },
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherCopies => f.write_str("pools of a set have one stride, and copies alike"),
            Self::SameLength { item_len } => {
                write!(f, "the set has a pool of items of {item_len} bytes")
            }
        }
    }
}

impl core::error::Error for AddError {}

/// A set to be: pools by powers of two, all built in the same way.
#[derive(Debug, Clone)]
#[must_use]
pub struct SetBuilder {
    shortest: usize,
    longest: usize,
    pool: Builder,
}

impl SetBuilder {
    /// The shortest and the longest items, rounded up to powers of two: 8 and 4096 if not set.
    pub fn lengths(mut self, shortest: usize, longest: usize) -> Self {
        (self.shortest, self.longest) = (shortest, longest);
        self
    }
    /// Of all its pools, with the length behind it.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.pool.name = name.into();
        self
    }
    /// What else is to be said of each pool; its name and length are the set's.
    pub fn each(mut self, change: impl FnOnce(Builder) -> Builder) -> Self {
        self.pool = change(self.pool);
        self
    }

    /// Makes the pools.
    ///
    /// # Errors
    /// [`BuildError`] of the first pool that there cannot be.
    pub fn build(self) -> Result<PoolSet, BuildError> {
        let mut set = PoolSet::new();
        let mut len = self.shortest.max(8).checked_next_power_of_two();
        while let Some(item_len) = len {
            let name = format!("{} {item_len}", self.pool.name);
            set.pools.push(Builder { item_len, name, ..self.pool.clone() }.build()?);
            len = if item_len >= self.longest { None } else { item_len.checked_mul(2) };
        }
        if set.pools.is_empty() {
            return Err(BuildError::ItemAboveStride {
                len: self.shortest,
                stride: self.pool.stride,
            });
        }
        Ok(set)
    }
}

impl PoolSet {
    /// A set of pools that are built here.
    pub fn builder() -> SetBuilder {
        SetBuilder { shortest: 8, longest: 4096, pool: Builder::new(8) }
    }

    /// A set without pools.
    #[must_use]
    pub fn new() -> Self {
        Self { pools: Vec::new() }
    }

    /// Takes a pool that exists into the set.
    ///
    /// # Errors
    /// [`AddError`]: it does not fit to those that are in the set.
    pub fn add(&mut self, pool: Pool) -> Result<(), AddError> {
        let Some(first) = self.pools.first() else {
            self.pools.push(pool);
            return Ok(());
        };
        if (first.stride(), first.is_global()) != (pool.stride(), pool.is_global()) {
            return Err(AddError::OtherCopies);
        }
        match self.pools.binary_search_by_key(&pool.item_len(), Pool::item_len) {
            Ok(_) => Err(AddError::SameLength { item_len: pool.item_len() }),
            Err(at) => {
                self.pools.insert(at, pool);
                Ok(())
            }
        }
    }

    /// Its pools, shortest items first.
    #[must_use]
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// An item of at least `len` bytes.
    ///
    /// # Errors
    /// [`AllocateError`] of the last pool that was tried; nothing is long enough.
    pub fn allocate(&self, len: usize) -> Result<Item, AllocateError> {
        self.first_that_can(len, Pool::allocate)
    }

    /// An item of at least `len` bytes of which every copy is zero.
    ///
    /// # Errors
    /// As [`Self::allocate`].
    pub fn allocate_zeroed(&self, len: usize) -> Result<Item, AllocateError> {
        self.first_that_can(len, Pool::allocate_zeroed)
    }

    /// An item of at least `len` bytes of which every copy begins with `value`, and is zero behind it.
    ///
    /// # Errors
    /// As [`Self::allocate`]; the value may be longer than `len`.
    pub fn allocate_init(&self, len: usize, value: &[u8]) -> Result<Item, AllocateError> {
        if value.len() > len {
            return Err(AllocateError::TooLong { len: value.len(), item_len: len });
        }
        self.first_that_can(len, |pool| pool.allocate_init(value))
    }

    fn first_that_can(
        &self,
        len: usize,
        allocate: impl Fn(&Pool) -> Result<Item, AllocateError>,
    ) -> Result<Item, AllocateError> {
        let longest = self.pools.last().map_or(0, Pool::item_len);
        let mut result = Err(AllocateError::TooLong { len, item_len: longest });
        for pool in self.pools.iter().filter(|pool| pool.item_len() >= len) {
            result = allocate(pool);
            if !matches!(result, Err(AllocateError::Full { .. } | AllocateError::Refused { .. })) {
                break;
            }
        }
        result
    }

    /// The pool that `item` is of.
    #[must_use]
    pub fn pool_of(&self, item: Item) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.owns(item))
    }

    /// Frees `item`. Ends the process with one line when it sees that this is wrong.
    ///
    /// # Safety
    /// As [`Pool::free`].
    #[allow(unsafe_code)]
    pub unsafe fn free(&self, item: Item) {
        match self.pool_of(item) {
            // SAFETY: by the caller's promise.
            Some(pool) => unsafe { pool.free(item) },
            None => {
                let name = self.pools.first().map_or("a set", Pool::name);
                robust::wrong_free(name, FreeError::Foreign, item.as_ptr().addr().get());
            }
        }
    }

    /// As [`Pool::copy`]; the pools of a set have their copies alike.
    ///
    /// # Panics
    /// If there can be no such place, or the set has no pools.
    #[must_use]
    pub fn copy(&self, item: Item, place: Place) -> NonNull<u8> {
        self.pools[0].copy(item, place)
    }

    /// As [`Pool::copies`].
    ///
    /// # Panics
    /// If the set has no pools.
    pub fn copies(&self, item: Item) -> Copies {
        self.pools[0].copies(item)
    }

    /// Gives back what no pool needs. How many ranges.
    pub fn trim(&self) -> usize {
        self.pools.iter().map(Pool::trim).sum()
    }
}

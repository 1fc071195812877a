//! How a pool is asked for, and what is refused.
//!
//! ```text
//!  item_len ≤ stride = 2^k ≥ OS page       copies: possible nodes × possible cids, or 1
//!  ┌──────┬──────┬──────┬─ ─┐
//!  │ item │ item │ item │   │ stride       ranges_max × ⌊stride / item_len⌋ items at most
//!  └──────┴──────┴──────┴─ ─┘
//! ```

use crate::fork::Fork;
use crate::pool::Pool;
use crate::populate::{Populate, RangeImage};
use crate::shared::Shared;
use cidalloc::os;
use core::fmt;
use numa_sys::policy::BindMode;
use std::io;
use std::sync::Arc;

/// How firmly copies are tied to their node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Numa {
    /// As the heap's memory: preferred where there are several nodes, unless `CIDALLOC_NUMA` says
    /// otherwise.
    #[default]
    AsHeap,
    /// As it says, on machines with one node as well.
    Bound(BindMode),
}

/// Why there is no such pool.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// Items of no bytes.
    NoLength,
    /// The stride is not a power of two.
    StrideNotPowerOfTwo {
        /// As asked for.
        stride: usize,
    },
    /// The stride is not between a page of the system and 2 GiB.
    StrideOutOfBounds {
        /// As asked for.
        stride: usize,
        /// The system's page.
        page: usize,
    },
    /// An item does not fit in a copy.
    ItemAboveStride {
        /// Of an item, as asked for.
        len: usize,
        /// Of a copy.
        stride: usize,
    },
    /// No ranges at all.
    NoRanges,
    /// Items have numbers of 32 bits.
    TooManyItems {
        /// Of them.
        ranges: usize,
        /// In each.
        items: usize,
    },
    /// No address space holds the copies of one range.
    TooManyCopies {
        /// Possible nodes × possible cids.
        copies: usize,
        /// Of each.
        stride: usize,
    },
    /// Names are of 1 to 64 printable characters of ASCII, without any of `` \`$[] ``: what the
    /// kernel takes for a name.
    BadName,
    /// There is an initialiser, but no image that it could write.
    InitialiserWithoutImage,
    /// The system refuses memory, or a mapping.
    Refused(io::Error),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLength => f.write_str("items of a pool need at least one byte"),
            Self::StrideNotPowerOfTwo { stride } => {
                write!(f, "the stride is {stride}, which is not a power of two")
            }
            Self::StrideOutOfBounds { stride, page } => {
                write!(f, "the stride is {stride}, and must be from {page} to {STRIDE_MAX}")
            }
            Self::ItemAboveStride { len, stride } => {
                write!(f, "an item of {len} bytes does not fit in a stride of {stride}")
            }
            Self::NoRanges => f.write_str("a pool needs at least one range"),
            Self::TooManyItems { ranges, items } => {
                write!(f, "{ranges} ranges of {items} items are more than 2^32 - 1 items")
            }
            Self::TooManyCopies { copies, stride } => {
                write!(f, "{copies} copies of {stride} bytes are more than an address space")
            }
            Self::BadName => {
                f.write_str("a name is 1 to 64 printable characters without any of \\ ` $ [ ]")
            }
            Self::InitialiserWithoutImage => {
                f.write_str("ranges that begin as zero have no image to initialise")
            }
            Self::Refused(error) => write!(f, "the system refuses memory for the pool: {error}"),
        }
    }
}

impl core::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        if let Self::Refused(error) = self { Some(error) } else { None }
    }
}

/// Bytes of a copy of a range, if not asked otherwise.
pub const STRIDE: usize = 64 << 10;
/// The longest stride.
const STRIDE_MAX: usize = 1 << 31;
/// Ranges of a pool, if not asked otherwise.
pub const RANGES_MAX: usize = 4096;
const NAME_MAX: usize = 64;

/// What fills the image of each new range.
pub(crate) type Initialiser = Arc<dyn Fn(&mut RangeImage<'_>) + Send + Sync>;

/// A pool to be.
///
/// ```
/// use cidpool::{Fork, Pool, Populate};
///
/// let pool = Pool::builder(24)
///     .name("sessions")
///     .ranges_max(8)
///     .populate(Populate::Image)
///     .initialise(|range| (0..range.items()).for_each(|i| range.item(i).fill(0xff)))
///     .fork(Fork::Wiped)
///     .build()?;
/// assert_eq!(pool.item_len(), 24);
/// # Ok::<(), cidpool::BuildError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Builder {
    pub(crate) item_len: usize,
    pub(crate) name: String,
    pub(crate) stride: usize,
    pub(crate) ranges_max: usize,
    pub(crate) populate: Populate,
    pub(crate) initialise: Option<Initialiser>,
    pub(crate) robust: bool,
    pub(crate) fork: Fork,
    pub(crate) numa: Numa,
    pub(crate) is_global: bool,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("item_len", &self.item_len)
            .field("name", &self.name)
            .field("stride", &self.stride)
            .field("ranges_max", &self.ranges_max)
            .field("populate", &self.populate)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(crate) fn new(item_len: usize) -> Self {
        Self {
            item_len,
            name: "unnamed".into(),
            stride: STRIDE,
            ranges_max: RANGES_MAX,
            populate: Populate::Zero,
            initialise: None,
            robust: false,
            fork: Fork::Copied,
            numa: Numa::AsHeap,
            is_global: false,
        }
    }

    /// By which statistics, messages and, where the kernel allows it, `/proc/self/maps` call it:
    /// `cidpool:NAME`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
    /// Bytes from a copy to the next one, a power of two: [`STRIDE`] if not set.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }
    /// The most ranges at a time: [`RANGES_MAX`] if not set.
    pub fn ranges_max(mut self, ranges: usize) -> Self {
        self.ranges_max = ranges;
        self
    }
    /// What copies hold at first.
    pub fn populate(mut self, populate: Populate) -> Self {
        self.populate = populate;
        self
    }
    /// Is called for each new range with its image, which is zero before. For [`Populate::Image`].
    /// Signals are blocked meanwhile, and threads that need a range of this pool wait. It may allocate,
    /// and use other pools, but none whose own initialiser comes back to this one; it must not allocate from
    /// this one, which ends the process, nor fork.
    pub fn initialise(
        mut self,
        initialise: impl Fn(&mut RangeImage<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.initialise = Some(Arc::new(initialise));
        self
    }
    /// Whether misuse is looked for at every call.
    pub fn robust(mut self, robust: bool) -> Self {
        self.robust = robust;
        self
    }
    /// What a child of `fork` finds.
    pub fn fork(mut self, fork: Fork) -> Self {
        self.fork = fork;
        self
    }
    /// How firmly copies are tied to their nodes.
    pub fn numa(mut self, numa: Numa) -> Self {
        self.numa = numa;
        self
    }
    /// One copy of each item, for all cids.
    pub fn global(mut self) -> Self {
        self.is_global = true;
        self
    }

    /// Makes the pool, whose first range comes with its first item.
    ///
    /// # Errors
    /// [`BuildError`]: something does not fit together, or the system refuses memory.
    pub fn build(self) -> Result<Pool, BuildError> {
        self.check()?;
        Shared::build(self).map(Pool)
    }

    fn check(&self) -> Result<(), BuildError> {
        let (len, stride, page) = (self.item_len, self.stride, os::page_size());
        if len == 0 {
            return Err(BuildError::NoLength);
        }
        if !stride.is_power_of_two() {
            return Err(BuildError::StrideNotPowerOfTwo { stride });
        }
        if !(page..=STRIDE_MAX).contains(&stride) {
            return Err(BuildError::StrideOutOfBounds { stride, page });
        }
        if len > stride {
            return Err(BuildError::ItemAboveStride { len, stride });
        }
        if self.ranges_max == 0 {
            return Err(BuildError::NoRanges);
        }
        let is_name = |c: u8| (b' '..=b'~').contains(&c) && !b"\\`$[]".contains(&c);
        if !(1..=NAME_MAX).contains(&self.name.len()) || !self.name.bytes().all(is_name) {
            return Err(BuildError::BadName);
        }
        if self.initialise.is_some() && self.populate == Populate::Zero {
            return Err(BuildError::InitialiserWithoutImage);
        }
        Ok(())
    }
}

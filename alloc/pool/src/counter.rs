//! A counter that many threads add to.
//!
//! ```text
//!   one thread adds              a second one came
//!   add ─► shared (atomic)       add ─► copy of the current cid, one section: no atomic, no line
//!                                       that another running thread writes to
//!   sum ◄─ shared                sum ◄─ shared + all copies
//! ```
//!
//! What the module of the [group](crate::counters) says of one counter of a group is true of this one:
//! it is a group of one.

use crate::counters::{Counters, NoFence};
use crate::pool::AllocateError;

/// A counter modulo 2⁶⁴. `const`, so it may be a `static`.
///
/// ```
/// use cidpool::Counter;
///
/// static REQUESTS: Counter = Counter::new();
///
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| (0..1000).for_each(|_| REQUESTS.increment()));
///     }
/// });
/// assert_eq!(REQUESTS.sum(), 4000);
/// ```
#[derive(Debug)]
pub struct Counter(Counters<1>);

impl Counter {
    /// A counter at 0.
    #[must_use]
    pub const fn new() -> Self {
        Self(Counters::new())
    }

    /// Adds `k`, modulo 2⁶⁴: a negative number by its two's complement. Never fails, never waits.
    ///
    /// The second thread's first add may allocate (see [`Self::spread`]); all others may be called
    /// in signal handlers.
    #[inline(always)]
    pub fn add(&self, k: u64) {
        self.0.add(0, k);
    }

    /// Adds 1.
    #[inline(always)]
    pub fn increment(&self) {
        self.add(1);
    }

    /// The value, as [`Counters::sums`]: every add that happened before this call is in it, none
    /// that began after its end is; of those that were under way meanwhile any may be.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0.sums()[0]
    }

    /// The value at one instant of the call, as [`Counters::sums_exact`].
    ///
    /// # Errors
    /// [`NoFence`].
    pub fn sum_exact(&self) -> Result<u64, NoFence> {
        self.0.sums_exact().map(|[sum]| sum)
    }

    /// Gives it its copies now, as [`Counters::spread`].
    ///
    /// # Errors
    /// There is no memory, or no address space.
    pub fn spread(&self) -> Result<(), AllocateError> {
        self.0.spread()
    }

    /// Whether it has a copy per cid.
    #[must_use]
    pub fn is_spread(&self) -> bool {
        self.0.is_spread()
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

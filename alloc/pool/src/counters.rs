//! A group of counters that many threads add to, and that are read together.
//!
//! ```text
//!  route  odd: closed            even: open, the address of the item in copy 0
//!         n << 1 | 1             │
//!         n exact sums under way │    copy 0           copy 1           copy 2
//!                                └──► ┌──┬──┬──┬──┐    ┌──┬──┬──┬──┐    ┌──┬──┬──┬──┐
//!                                     │ 0│ 1│ 2│ 3│    │ 0│ 1│ 2│ 3│    │ 0│ 1│ 2│ 3│
//!  shared ┌──┬──┬──┬──┐               └──┴──┴──┴──┘    └──┴──┴──┴──┘    └──┴──┴──┴──┘
//!         │ 0│ 1│ 2│ 3│ atomics, for
//!         └──┴──┴──┴──┘  · adds before a second thread came
//!                        · adds of threads without a cid for the moment
//!                        · adds while the route is closed
//!  value of counter i = shared[i] + its words in all copies, modulo 2⁶⁴
//! ```
//!
//! ONE-ADDEND: each add is done once, in one of these words, and stays there. So nothing is lost or
//! counted twice when the second thread comes: from then on the same sum has more addends.
//!
//! A section loads the route inside its window, and adds nothing where it is closed. So after the
//! route was closed and a fence was made (`cidalloc::percid::fence`), the copies stand still until it
//! is opened again. That is the exact sum: copies that stand still, and one load of an atomic.
//!
//! # What a sum says
//! Let an add *begin* when it is called and *happen* when it returns. [`Counters::sums`] reads the
//! words one after the other while others add. It contains every add that happened before the call
//! (in the order of the memory model: by the same thread, or by one that was waited for), and none
//! that begins after its end. So its error, against the value at any instant of the call, is at most
//! what was added by adds that are under way at some time of the call. With 64 threads that add 1, and
//! that all do so `x` times while the words are read, that is 64 · (x + 1).
//!
//! # Signal handlers, fork
//! Adds are for signal handlers too, but that the second thread's first one may allocate (see
//! [`Counters::spread`]); and so are both sums. An add leaves `errno` as it was, though a thread's first one
//! may make system calls; a handler that takes exact sums saves it. In a child of `fork` a group has
//! the value that it had at the fork. If another thread of the parent was at an exact sum just then,
//! or at making the copies, the route stays closed in the child, which has not that thread: its adds are
//! atomic.

use crate::pool::{AllocateError, Item};
use crate::through::{add_quickly, add_through, prepare};
use cidalloc::os::{ErrnoGuard, SignalsBlocked};
use cidalloc::percid::{self, Cids};
use core::fmt;
use core::ptr::{NonNull, null_mut};
use rseq_sys::sync::{
    AtomicPtr, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed},
};

mod pools;

/// Distance of two copies of a counter, as a shift. The pools' stride.
const SHIFT: u32 = 16;

/// A route that is closed, by no exact sum.
const CLOSED: usize = 1;
/// One exact sum in a closed route.
const ONE: usize = 2;

/// No thread's pointer: a thread is making the copies, or there was no memory for them. All threads add
/// to `shared` until there are some.
const EVERYBODY: usize = usize::MAX;

/// There was no fence after which all adds that were under way are over: the system refuses it
/// (`membarrier(2)`); or, under emulated cids, a thread was preempted in an add for too long, or the caller
/// is a handler above one. So nothing exact is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoFence;

impl fmt::Display for NoFence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not all adds that are under way can be waited for")
    }
}
impl core::error::Error for NoFence {}

/// `N` counters modulo 2⁶⁴. `const`, so it may be a `static`. See the [module](self).
///
/// ```
/// use cidpool::Counters;
///
/// const HITS: usize = 0;
/// const MISSES: usize = 1;
/// static CACHE: Counters<2> = Counters::new();
///
/// CACHE.add(HITS, 9);
/// CACHE.add(MISSES, 1);
/// let [hits, misses] = CACHE.sums();
/// assert_eq!(hits * 100 / (hits + misses), 90);
/// ```
///
/// The index is checked when it is compiled or, where it is not known then, at each add:
///
/// ```should_panic
/// let group = cidpool::Counters::<2>::new();
/// group.add(2, 1);
/// ```
#[derive(Debug)]
pub struct Counters<const N: usize> {
    route: AtomicUsize,
    /// The process's. Null until it is spread.
    cids: AtomicPtr<Cids>,
    /// Null until it is spread; then the same for ever.
    item: AtomicPtr<u8>,
    /// Thread pointer of the thread that added first.
    owner: AtomicUsize,
    shared: [AtomicU64; N],
}

impl<const N: usize> Counters<N> {
    const FITS: () = assert!(N > 0 && N * size_of::<u64>() <= 1 << SHIFT);

    /// All at 0.
    #[must_use]
    pub const fn new() -> Self {
        const { Self::FITS };
        Self {
            route: AtomicUsize::new(CLOSED),
            cids: AtomicPtr::new(null_mut()),
            item: AtomicPtr::new(null_mut()),
            owner: AtomicUsize::new(0),
            shared: [const { AtomicU64::new(0) }; N],
        }
    }

    /// Adds `k` to counter `index`; as [`Counter::add`](crate::Counter::add).
    ///
    /// # Panics
    /// If there are no more than `index`.
    #[inline(always)]
    #[allow(unsafe_code)]
    pub fn add(&self, index: usize, k: u64) {
        assert!(index < N, "no counter has this index");
        let (route, offset) = (self.route.as_ptr(), index * size_of::<u64>());
        let is_done = if N == 1 {
            // SAFETY: an open route is the address of a live item with N words, in a pool of this shift.
            unsafe { add_quickly::<SHIFT, true>(route, 0, k) }
        } else {
            // SAFETY: as above.
            unsafe { add_quickly::<SHIFT, false>(route, offset, k) }
        };
        if !is_done {
            self.add_slow(index, k);
        }
    }

    /// Adds where the quick way is none, or the route is closed, or the thread had no cid.
    #[inline(never)]
    fn add_slow(&self, index: usize, k: u64) {
        if !(self.is_open_for_me()
            && (self.add_here(index, k) || settle() && self.add_here(index, k)))
        {
            self.shared[index].fetch_add(k, Relaxed);
        }
    }

    /// Adds to the current copy, where the route was seen open.
    #[inline]
    #[allow(unsafe_code)]
    fn add_here(&self, index: usize, k: u64) -> bool {
        // SAFETY: written before the route was opened first, and constant.
        let cids = unsafe { &*self.cids.load(Relaxed) };
        // SAFETY: an open route is the address of a live item with N words, in a pool of this shift.
        unsafe { add_through::<SHIFT>(cids, self.route.as_ptr(), index * size_of::<u64>(), k) }
    }

    /// Whether the thread may add to a copy: the group is spread, or is now, by its second thread.
    fn is_open_for_me(&self) -> bool {
        if self.is_open() {
            return true;
        }
        if !self.is_spread() {
            let me = rseq_sys::area::thread_pointer();
            let owner = self.owner.load(Relaxed);
            if owner == me || owner == EVERYBODY {
                return false;
            }
            if owner == 0 && self.owner.compare_exchange(0, me, Relaxed, Relaxed).is_ok() {
                return false;
            }
            let _errno = ErrnoGuard::new();
            // Of many that come at once one makes the copies; the others do not wait for them.
            let claim = self.owner.compare_exchange(owner, EVERYBODY, Relaxed, Relaxed);
            if claim.is_err() || self.spread().is_err() {
                return false;
            }
        }
        self.open();
        self.is_open()
    }

    /// Acquire: who sees an open route sees what was written before it was opened.
    fn is_open(&self) -> bool {
        self.route.load(Acquire) & CLOSED == 0
    }

    /// Opens the route of a group that is spread, if nobody keeps it closed.
    fn open(&self) {
        let address = self.item.load(Acquire).expose_provenance();
        let _ = self.route.compare_exchange(CLOSED, address, AcqRel, Relaxed);
    }

    /// Gives the group its copies now, rather than when the second thread comes. From then on adds
    /// allocate nothing: for counters that signal handlers add to.
    ///
    /// # Errors
    /// There is no memory, or no address space.
    #[allow(unsafe_code)]
    pub fn spread(&self) -> Result<(), AllocateError> {
        // A handler that spreads a group would find this thread amidst of what it does.
        let _signals = SignalsBlocked::new();
        if !self.is_spread() {
            let pool = pools::of::<N>()?;
            let item = pool.allocate_zeroed()?;
            self.cids.store(core::ptr::from_ref(pool.cids()).cast_mut(), Relaxed);
            prepare(pool.cids());
            let address = item.as_ptr().as_ptr();
            if self.item.compare_exchange(null_mut(), address, AcqRel, Acquire).is_err() {
                // SAFETY: allocated just now, and nobody else has seen it.
                unsafe { pool.free(item) };
            }
        }
        self.open();
        Ok(())
    }

    /// Whether the group has a copy per cid.
    #[must_use]
    pub fn is_spread(&self) -> bool {
        !self.item.load(Acquire).is_null()
    }

    /// The values, in one pass over the copies, while others may add: see the [module](self) for what
    /// they say.
    #[must_use]
    pub fn sums(&self) -> [u64; N] {
        let mut sums = self.shared.each_ref().map(|word| word.load(Relaxed));
        for copy in self.copies() {
            for (sum, word) in sums.iter_mut().zip(copy) {
                *sum = sum.wrapping_add(word.load(Relaxed));
            }
        }
        sums
    }

    /// The values, each as it was at one instant of the call: nothing that was added in part, in an
    /// order that never was, or by some of the adds under way and not by others that came before.
    ///
    /// Costs a system call that interrupts all CPUs on which the process runs, and has all threads
    /// add to the same atomics meanwhile.
    ///
    /// # Errors
    /// [`NoFence`].
    pub fn sums_exact(&self) -> Result<[u64; N], NoFence> {
        let closed = Closed::new(self);
        // If it is spread only after this look, it is not opened before we are done.
        if self.is_spread() && !percid::fence() {
            return Err(NoFence);
        }
        let sums = self.sums();
        drop(closed);
        Ok(sums)
    }

    /// The words of each copy there can be; none before it is spread.
    #[allow(unsafe_code)]
    fn copies(&self) -> impl Iterator<Item = &[AtomicU64; N]> {
        let item = self.item.load(Acquire).cast_const();
        // SAFETY: written before the item was.
        let cids = unsafe { self.cids.load(Relaxed).as_ref() }.filter(|_| !item.is_null());
        let copies = cids.map_or(0, |cids| cids.nodes * cids.cids);
        (0..copies).map(move |copy| {
            let words = item.wrapping_add(copy << SHIFT).cast();
            // SAFETY: N words of a live item, which change by sections and atomics only.
            unsafe { &*words }
        })
    }
}

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[allow(unsafe_code)]
impl<const N: usize> Drop for Counters<N> {
    fn drop(&mut self) {
        let item = NonNull::new(*self.item.get_mut());
        if let (Some(item), Some(pool)) = (item, pools::made::<N>()) {
            // SAFETY: the group's own, of this pool, and all operations on it are over.
            unsafe { pool.free(Item::from_ptr(item)) };
        }
    }
}

/// As [`percid::settle`], whatever system calls that makes.
#[cold]
fn settle() -> bool {
    let _errno = ErrnoGuard::new();
    percid::settle()
}

/// Keeps a group's route closed.
struct Closed<'a, const N: usize>(&'a Counters<N>);

impl<'a, const N: usize> Closed<'a, N> {
    fn new(group: &'a Counters<N>) -> Self {
        group.change(|route| if route & CLOSED == 0 { CLOSED + ONE } else { route + ONE });
        Self(group)
    }
}

impl<const N: usize> Drop for Closed<'_, N> {
    fn drop(&mut self) {
        self.0.change(|route| route - ONE);
        // Whoever came to spread it meanwhile, and found it closed, left the opening to us or to the
        // next add.
        if self.0.is_spread() {
            self.0.open();
        }
    }
}

impl<const N: usize> Counters<N> {
    /// Moves the route on.
    fn change(&self, to: impl Fn(usize) -> usize) {
        self.route.update(AcqRel, Relaxed, to);
    }
}

//! The one lock, for what is rare, and what `fork` has to do with pools.
//!
//! ```text
//!  lock()  growth, stealing, trim        never: allocate, free that find an item
//!
//!  prepare: the lock is mine, FORKS += 1      parent: open it
//!     │     images are frozen from now on     child: GENERATION += 1, each pool does what it
//!     │     (`populate`)                             was told (`Fork`), open it
//!  no signal handler runs on the thread that has the lock: one that allocates or forks never
//!  waits for itself
//! ```
//!
//! NOTHING-WITHIN: who has the lock allocates no memory, and calls nothing that is not ours: handlers
//! that wait for it may be above any lock of any allocator, and a fork waits for it with those of the
//! heap (`cidalloc::fork::Layer`).
//!
//! Outside of the lock a pool is consistent at every instant: an item is in one place, and moves by
//! one store. What threads that the child does not have carried between two places is lost to the
//! child: at most one group of 32 items for each of them.

#![allow(unsafe_code)]

#[cfg(cidalloc_model)]
use crate::model::{Condvar, Mutex, MutexGuard};
use crate::registry;
use cidalloc::fork::{Layer, set_layer};
use cidalloc::os::SignalsBlocked;
use core::cell::UnsafeCell;
use rseq_sys::area::thread_pointer;
use rseq_sys::sync::{
    AtomicU32, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::PoisonError;
#[cfg(not(cidalloc_model))]
use std::sync::{Condvar, Mutex, MutexGuard};

/// What a child of `fork` finds of a pool that its parent made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fork {
    /// The pool as it was, as its own: what one of the two does from then on the other never sees.
    ///
    /// In both, ranges with an image that there were before the fork have it as it is then: an item
    /// that is initialised there later is written to every copy, which makes those resident.
    #[default]
    Copied,
    /// The pool with the same items allocated, each of whose copies reads as the pool's image does,
    /// or zero: counters of a child count the child.
    Wiped,
    /// Nothing: allocating is refused there with an error, and touching an item ends the child.
    Unusable,
}

static LOCK: Mutex<()> = Mutex::new(());
/// Thread pointer of who has the lock, or 0.
static HOLDER: AtomicUsize = AtomicUsize::new(0);
/// Forks that this process and its ancestors have begun.
static FORKS: AtomicU32 = AtomicU32::new(0);
/// How many ancestors this process has: a pool of another generation is an ancestor's.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// The lock, until this is dropped.
#[must_use]
pub(crate) struct Locked {
    /// `None` if the thread had it before: amid a fork.
    guard: Option<MutexGuard<'static, ()>>,
    // Dropped last: handlers run again when the lock is open.
    _signals: SignalsBlocked,
}

/// Waits for the lock. A thread has it already in other libraries' handlers of a fork, between ours:
/// pools are at rest then.
pub(crate) fn lock() -> Locked {
    let signals = SignalsBlocked::new();
    Locked { guard: wait(), _signals: signals }
}

fn wait() -> Option<MutexGuard<'static, ()>> {
    if HOLDER.load(Relaxed) == thread_pointer() {
        return None;
    }
    // Nothing panics with the lock (NOTHING-WITHIN).
    let guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    HOLDER.store(thread_pointer(), Relaxed);
    Some(guard)
}

/// Told of by [`Locked::notify`].
static CHANGED: Condvar = Condvar::new();

impl Locked {
    fn open(&mut self) -> Option<MutexGuard<'static, ()>> {
        let guard = self.guard.take()?;
        HOLDER.store(0, Relaxed);
        Some(guard)
    }

    /// Opens the lock until somebody notifies, or for no reason, and waits for it again. False at
    /// once if it is to stay locked: amid a fork.
    pub(crate) fn wait(&mut self) -> bool {
        let Some(guard) = self.open() else { return false };
        let guard = CHANGED.wait(guard).unwrap_or_else(PoisonError::into_inner);
        HOLDER.store(thread_pointer(), Relaxed);
        self.guard = Some(guard);
        true
    }

    /// Wakes who waits.
    pub(crate) fn notify(&self) {
        CHANGED.notify_all();
    }

    /// Calls `f` with the lock open, but amid a fork, and with signals blocked.
    pub(crate) fn open_during<R>(&mut self, f: impl FnOnce() -> R) -> R {
        /// Waits for the lock again, also when `f` panics.
        struct Again<'a>(&'a mut Locked);
        impl Drop for Again<'_> {
            fn drop(&mut self) {
                self.0.guard = wait();
            }
        }
        drop(self.open());
        let _again = Again(self);
        f()
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        drop(self.open());
    }
}

/// Forks so far: a number that is another after each.
pub(crate) fn forks() -> u32 {
    FORKS.load(Acquire)
}
/// How many forks lie between this process and the first one with a pool.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Relaxed)
}

/// The lock over a fork, between the handlers, which are called by one thread.
struct Held(UnsafeCell<Option<Locked>>);
// SAFETY: touched by handlers of fork alone, by the thread that has the lock.
unsafe impl Sync for Held {}
static HELD: Held = Held(UnsafeCell::new(None));

/// Sees to it that forks find pools at rest, from the first pool on.
pub(crate) fn register() {
    set_layer(&Layer { prepare, parent, child });
}

/// Forks by other libraries' handlers of a fork, amid it.
static DEPTH: AtomicUsize = AtomicUsize::new(0);

fn prepare() {
    let locked = lock();
    if locked.guard.is_some() {
        // SAFETY: the lock is held.
        unsafe { *HELD.0.get() = Some(locked) };
    } else {
        DEPTH.fetch_add(1, Relaxed);
    }
    FORKS.fetch_add(1, Release);
}

fn parent() {
    if DEPTH.load(Relaxed) > 0 {
        DEPTH.fetch_sub(1, Relaxed);
    } else {
        // SAFETY: the forking thread has the lock.
        drop(unsafe { (*HELD.0.get()).take() });
    }
}

fn child() {
    GENERATION.fetch_add(1, Relaxed);
    registry::each_in_child(|pool| pool.after_fork());
    parent();
}

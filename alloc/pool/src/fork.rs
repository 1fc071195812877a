//! The one lock, for what is rare, and what `fork` has to do with pools.
//!
//! ```text
//!  lock()  growth, stealing, trim, drop, registry        never: allocate, free that find an item
//!
//!  prepare: the lock is mine, FORKS += 1      parent: open it
//!     │     images are frozen from now on     child: GENERATION += 1, each pool does what it
//!     │     (`populate`)                             was told (`Fork`), open it
//!  no signal handler runs on the thread that has the lock: one that allocates or forks never
//!  waits for itself
//! ```
//!
//! Outside of the lock a pool is consistent at every instant: an item is in one place, and moves by
//! one store. What threads that the child does not have carried between two places is lost to the
//! child: at most one group of 32 items for each of them.

#![allow(unsafe_code)]

#[cfg(cidalloc_model)]
use crate::model::{Mutex, MutexGuard};
use crate::registry;
use crate::robust;
use cidalloc::os::{self, SignalsBlocked};
use core::cell::UnsafeCell;
use rseq_sys::area::thread_pointer;
use rseq_sys::sync::{
    AtomicBool, AtomicU32, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::PoisonError;
#[cfg(not(cidalloc_model))]
use std::sync::{Mutex, MutexGuard};

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
    // In this order: handlers run again when the lock is open.
    _open: Open,
    _guard: MutexGuard<'static, ()>,
    _signals: SignalsBlocked,
}

struct Open;
impl Drop for Open {
    fn drop(&mut self) {
        HOLDER.store(0, Relaxed);
    }
}

/// Waits for the lock. Ends the process when the thread has it: an initialiser used a pool.
pub(crate) fn lock() -> Locked {
    if is_mine() {
        robust::die(format_args!("a pool was used by the initialiser of a range"));
    }
    let signals = SignalsBlocked::new();
    // Poisoned by an initialiser that panicked: nothing was changed by then.
    let guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    HOLDER.store(thread_pointer(), Relaxed);
    Locked { _open: Open, _guard: guard, _signals: signals }
}

fn is_mine() -> bool {
    HOLDER.load(Relaxed) == thread_pointer()
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

/// Sees to it that forks find pools at rest. Once.
pub(crate) fn register() {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if !REGISTERED.swap(true, Relaxed) {
        os::at_fork(prepare, parent, child);
    }
}

extern "C" fn prepare() {
    // An initialiser that forks has the lock already, and keeps it in both processes.
    if !is_mine() {
        let locked = lock();
        // SAFETY: the lock is held.
        unsafe { *HELD.0.get() = Some(locked) };
    }
    FORKS.fetch_add(1, Release);
}

extern "C" fn parent() {
    // SAFETY: the forking thread has the lock.
    drop(unsafe { (*HELD.0.get()).take() });
}

extern "C" fn child() {
    GENERATION.fetch_add(1, Relaxed);
    registry::each_locked(|pool| pool.after_fork());
    parent();
}

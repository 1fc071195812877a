//! All pools of the process, for statistics and for `fork`.
//!
//! ```text
//!  POOLS ──► [weak, weak, weak]     readers: under an epoch guard, whatever happens meanwhile
//!              │                    writers: under the lock, a new list for each change; the old
//!              └─► pool             one goes when no reader can have it
//! ```
#![allow(unsafe_code)]

use crate::fork;
use crate::shared::Shared;
use crate::statistics::Statistics;
use core::sync::atomic::Ordering::{AcqRel, Acquire};
use crossbeam_epoch::{Atomic, Guard, Owned};
use std::sync::{Arc, Weak};

static POOLS: Atomic<Vec<Weak<Shared>>> = Atomic::null();

fn list(guard: &Guard) -> &[Weak<Shared>] {
    // SAFETY: a list is destroyed when no guard that could have found it is left.
    unsafe { POOLS.load(Acquire, guard).as_ref() }.map_or(&[], Vec::as_slice)
}

/// Makes the list another one. The old one is given up when the lock is open again: that may run
/// what others have deferred, and they may use pools.
fn replace(change: impl FnOnce(&mut Vec<Weak<Shared>>)) {
    let before = {
        let _locked = fork::lock();
        // SAFETY: the one writer reads what it alone replaces.
        let writer = unsafe { crossbeam_epoch::unprotected() };
        let mut next = list(writer).to_vec();
        change(&mut next);
        POOLS.swap(Owned::new(next), AcqRel, writer)
    };
    if !before.is_null() {
        let guard = crossbeam_epoch::pin();
        // SAFETY: it was unlinked, and by nobody else.
        unsafe { guard.defer_destroy(before) };
    }
}

pub(crate) fn add(pool: &Arc<Shared>) {
    replace(|pools| pools.push(Arc::downgrade(pool)));
}

pub(crate) fn remove(pool: *const Shared) {
    replace(|pools| pools.retain(|other| other.as_ptr() != pool));
}

/// Calls `f` with each pool, in a child of `fork`, whose one thread has the lock.
pub(crate) fn each_locked(mut f: impl FnMut(&Shared)) {
    // SAFETY: no other thread changes the list.
    for pool in list(unsafe { crossbeam_epoch::unprotected() }) {
        if let Some(pool) = pool.upgrade() {
            f(&pool);
            // What a thread that is not here any more held is held for ever; so this is never the
            // last one, whose drop would want the lock.
            debug_assert!(Arc::strong_count(&pool) > 1);
        }
    }
}

/// The statistics of all pools that there are now, oldest first.
///
/// ```
/// let pool = cidpool::Pool::builder(64).name("sessions").build()?;
/// let item = pool.allocate()?;
/// assert!(cidpool::registry().iter().any(|pool| pool.name == "sessions" && pool.items == 1));
/// # // SAFETY: the item, once.
/// # unsafe { pool.free(item) };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn registry() -> Vec<Statistics> {
    let guard = crossbeam_epoch::pin();
    list(&guard).iter().filter_map(Weak::upgrade).map(|pool| pool.statistics()).collect()
}

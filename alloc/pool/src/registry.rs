//! All pools of the process, for statistics and for `fork`.
//!
//! ```text
//!  POOLS ──► [weak, weak, weak]     readers: under an epoch guard, whatever happens meanwhile
//!              │                    writers: a new list for each change, stored if the old one is
//!              └─► pool             still there; that goes when no reader can have it
//! ```
//!
//! Writers take no lock: they allocate, and who has the lock must not. A handler may have interrupted
//! `malloc`, and wait for the lock.
#![allow(unsafe_code)]

use crate::shared::Shared;
use crate::statistics::Statistics;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use crossbeam_epoch::{Atomic, Guard, Owned};
use std::sync::{Arc, Weak};

static POOLS: Atomic<Vec<Weak<Shared>>> = Atomic::null();

fn list(guard: &Guard) -> &[Weak<Shared>] {
    // SAFETY: a list is destroyed when no guard that could have found it is left.
    unsafe { POOLS.load(Acquire, guard).as_ref() }.map_or(&[], Vec::as_slice)
}

/// Makes the list another one.
fn replace(change: impl Fn(&mut Vec<Weak<Shared>>)) {
    let guard = crossbeam_epoch::pin();
    loop {
        let before = POOLS.load(Acquire, &guard);
        // SAFETY: as in `list`.
        let mut next = unsafe { before.as_ref() }.cloned().unwrap_or_default();
        change(&mut next);
        // The old one is not destroyed under our guard: so if it is there, it always was.
        if POOLS.compare_exchange(before, Owned::new(next), AcqRel, Relaxed, &guard).is_ok() {
            if !before.is_null() {
                // SAFETY: it was unlinked, and by nobody else.
                unsafe { guard.defer_destroy(before) };
            }
            return;
        }
    }
}

pub(crate) fn add(pool: &Arc<Shared>) {
    replace(|pools| pools.push(Arc::downgrade(pool)));
}

pub(crate) fn remove(pool: *const Shared) {
    replace(|pools| pools.retain(|other| other.as_ptr() != pool));
}

/// Calls `f` with each pool, in a child of `fork`, which has one thread.
pub(crate) fn each_in_child(mut f: impl FnMut(&Shared)) {
    // SAFETY: there is no other thread to change the list.
    for pool in list(unsafe { crossbeam_epoch::unprotected() }) {
        if let Some(pool) = pool.upgrade() {
            f(&pool);
            // What a thread that is not here any more held is held for ever; so this is never the
            // last one, whose drop would allocate.
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

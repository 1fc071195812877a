//! What a model sees of a pool between two steps of its tasks, and the lock that its tasks wait at.
//! Only under `--cfg cidalloc_model`: see `docs/models.md`.
//!
//! ```text
//!   free bits ─┐
//!   cids' words ┼─► numbers of items: in one of these at most, and in none while somebody carries them
//!   hands       ┘   (the model's own)
//! ```

use crate::group::Group;
use crate::pool::{Item, Pool};
use cidalloc::os;
use rseq_sys::sync::{
    AtomicBool,
    Ordering::{Acquire, Release},
};
use std::sync::LockResult;

/// The items that nobody has, by number.
#[derive(Debug)]
pub struct Books {
    /// Free for everybody.
    pub free: Vec<u32>,
    /// A cid's, or in a theft that is under way.
    pub cached: Vec<u32>,
    /// Whether searches are told that there is nothing to be found.
    pub is_exhausted: bool,
    /// Items of all ranges.
    pub capacity: usize,
}

fn numbers(groups: impl Iterator<Item = Group>) -> Vec<u32> {
    groups.flat_map(|group| group.iter().map(|item| item.0).collect::<Vec<_>>()).collect()
}

/// Looks at all of them.
#[must_use]
pub fn look(pool: &Pool) -> Books {
    let (items, control) = (&pool.0.items, &pool.0.control);
    Books {
        free: numbers(items.free_groups()),
        cached: numbers(control.groups()),
        is_exhausted: items.is_exhausted(),
        capacity: items.ranges() * items.per_range,
    }
}

/// The number of an item; none if its range is not there.
#[must_use]
pub fn number(pool: &Pool, item: Item) -> Option<u32> {
    pool.0.locate(item).ok().map(|item| item.0)
}

/// In the place of std's mutex: who waits lets another task go on.
pub(crate) struct Mutex<T> {
    is_taken: AtomicBool,
    _value: T,
}

/// As std's.
pub(crate) struct MutexGuard<'a, T>(&'a Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { is_taken: AtomicBool::new(false), _value: value }
    }

    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        while self.is_taken.swap(true, Acquire) {
            os::yield_now();
        }
        Ok(MutexGuard(self))
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.0.is_taken.store(false, Release);
    }
}

/// In the place of std's: who waits looks again after each other task.
pub(crate) struct Condvar;

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "as std's")]
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        let mutex = guard.0;
        drop(guard);
        os::yield_now();
        mutex.lock()
    }

    #[expect(clippy::unused_self, reason = "as std's")]
    pub(crate) fn notify_all(&self) {}
}

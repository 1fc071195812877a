//! Sets: pools for items of mixed lengths.
//!
//! ```text
//!   malloc(20)      8    16   32   64   128 …     at most one pool for each power of two
//!                             ▲ ──► ▲ ──► ▲       the smallest that fits; when it is full,
//!                                                 the next larger one
//!   free: as of any item
//! ```

#![allow(unsafe_code)]

use crate::errno::{Errno, INVALID, NO_MEMORY, Result, pointer, status};
use crate::items::initial;
use crate::pool::Handle;
use cidpool::{AllocateError, Item, Pool};
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicPtr, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed},
};

const ORDERS: usize = usize::BITS as usize;

/// A set of pools, each in the place of its length's power of two.
pub struct Set {
    pools: [AtomicPtr<Handle>; ORDERS],
    /// What its pools have in common, for who looks for copies: 0 as long as there are none.
    kind: AtomicUsize,
}

/// The exponent of the smallest power of two that is no less than `len`.
fn order(len: usize) -> usize {
    len.checked_next_power_of_two().map_or(ORDERS, |power| power.ilog2() as usize)
}

impl Set {
    /// # Safety
    /// `set` is null or a set that is not destroyed.
    unsafe fn of<'a>(set: *const Self) -> Result<&'a Self> {
        // SAFETY: by the caller's promise.
        unsafe { set.as_ref() }.ok_or(INVALID)
    }

    /// Its pools of items that are at least `len` long, the shortest first.
    fn fitting(&self, len: usize) -> impl Iterator<Item = &Handle> {
        let pools = self.pools.iter().skip(order(len));
        // SAFETY: null, or a pool that goes with this set.
        let pools = pools.filter_map(|pool| unsafe { pool.load(Acquire).as_ref() });
        pools.filter(move |handle| handle.pool.item_len() >= len)
    }

    /// Whether `pool` has its copies where those of the set's other pools have them.
    fn takes(&self, pool: &Pool) -> bool {
        let kind = pool.stride() | usize::from(pool.is_global());
        match self.kind.compare_exchange(0, kind, Relaxed, Relaxed) {
            Ok(_) => true,
            Err(known) => known == kind,
        }
    }

    fn allocate(
        &self,
        len: usize,
        allocate: impl Fn(&Pool) -> core::result::Result<Item, AllocateError>,
    ) -> Result<*mut c_void> {
        let mut result = Err(NO_MEMORY);
        for handle in self.fitting(len) {
            result = handle.allocate(&allocate);
            if result != Err(NO_MEMORY) {
                break;
            }
        }
        result
    }
}

/// Makes a set without any pools.
///
/// Returns it; the caller destroys it by `cidpool_set_destroy`.
///
/// MT-safe. Not for signal handlers.
#[unsafe(no_mangle)]
pub extern "C" fn cidpool_set_create() -> *mut Set {
    let pools = [const { AtomicPtr::new(null_mut()) }; ORDERS];
    pointer(|| Ok(Box::into_raw(Box::new(Set { pools, kind: AtomicUsize::new(0) }))))
}

/// Destroys `set`, and its pools as `cidpool_destroy` does. Null is no set, and fine.
///
/// Returns 0.
///
/// MT-safe for different sets. Not for signal handlers.
///
/// # Safety
/// `set` is null or of `cidpool_set_create`, not destroyed yet, and nobody uses it, its pools or
/// their items any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_set_destroy(set: *mut Set) -> c_int {
    status(|| {
        if !set.is_null() {
            // SAFETY: by the caller's promise.
            let mut set = unsafe { Box::from_raw(set) };
            let pools = set.pools.iter_mut().map(|pool| *pool.get_mut());
            for pool in pools.filter(|pool| !pool.is_null()) {
                // SAFETY: it was given to the set.
                unsafe { Handle::destroy(pool) };
            }
        }
        Ok(())
    })
}

/// Gives `pool` to `set`, with which it is destroyed. It may still be used by itself.
///
/// Returns 0, or -1 and `errno`, and then the pool is still the caller's:
/// - `EINVAL`: `set` or `pool` is null, or the set's pools have another stride, or are (not)
///   global;
/// - `EBUSY`: the set has a pool for this power of two, or the pool is in a set already.
///
/// MT-safe. Not for signal handlers.
///
/// # Safety
/// `set` is null or of `cidpool_set_create`, `pool` null or of `cidpool_create`; neither is
/// destroyed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_set_add_pool(set: *mut Set, pool: *mut Handle) -> c_int {
    status(|| {
        // SAFETY: by the caller's promise.
        let (set, handle) = unsafe { (Set::of(set)?, Handle::of(pool)?) };
        let busy = Errno(libc::EBUSY);
        let place = set.pools.get(order(handle.pool.item_len())).ok_or(INVALID)?;
        if handle.is_in_set.swap(true, AcqRel) {
            return Err(busy);
        }
        // What the first pool decides stays decided: from here on it is refused only for another one,
        // of its kind, that came in between.
        let added = if set.takes(&handle.pool) {
            let added = place.compare_exchange(null_mut(), pool, AcqRel, Relaxed);
            added.map(drop).map_err(|_| busy)
        } else {
            Err(INVALID)
        };
        added.inspect_err(|_| handle.is_in_set.store(false, Relaxed))
    })
}

/// Allocates an item of at least `len` bytes: of the pool with the shortest items that fit and that
/// is not full. As `cidpool_percpu_malloc`, and freed as what comes from there.
///
/// Returns its address in copy 0, or null and `errno`:
/// - `EINVAL`: `set` is null;
/// - `ENOMEM`: no pool has items of that length, or all that have are full;
/// - `EPERM`: an ancestor process keeps the pool for itself.
///
/// MT-safe, without a lock but when a range is added. For signal handlers, but at such a time.
///
/// # Safety
/// `set` is null or of `cidpool_set_create`, and not destroyed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_set_percpu_malloc(set: *mut Set, len: usize) -> *mut c_void {
    // SAFETY: by the caller's promise.
    pointer(|| unsafe { Set::of(set) }?.allocate(len, Pool::allocate))
}

/// As `cidpool_set_percpu_malloc`; every copy of the item is zero.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_set_percpu_zmalloc(set: *mut Set, len: usize) -> *mut c_void {
    // SAFETY: by the caller's promise.
    pointer(|| unsafe { Set::of(set) }?.allocate(len, Pool::allocate_zeroed))
}

/// As `cidpool_set_percpu_malloc`; every copy of the item begins with the `len` bytes at
/// `init_ptr`, and is zero behind them.
///
/// Returns as there; `EINVAL` also if `init_ptr` is null and `len` is not 0.
///
/// # Safety
/// As there; `len` bytes at `init_ptr` can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_set_percpu_malloc_init(
    set: *mut Set,
    init_ptr: *const c_void,
    len: usize,
) -> *mut c_void {
    pointer(|| {
        // SAFETY: by the caller's promise.
        let set = unsafe { Set::of(set) }?;
        if isize::try_from(len).is_err() {
            return Err(NO_MEMORY);
        }
        // SAFETY: by the caller's promise.
        let value = unsafe { initial(init_ptr, len) }?;
        set.allocate(len, |pool| pool.allocate_init(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_in_the_place_of_its_power_of_two() {
        assert_eq!([0, 1, 2, 3, 4, 5, 8, 9].map(order), [0, 0, 1, 2, 2, 3, 3, 4]);
        assert_eq!(order(usize::MAX), ORDERS);
        assert_eq!(order(1 << 63), 63);
    }
}

//! The pool as C has it.
//!
//! ```text
//!   cidpool_create ─► pool ─► cidpool_percpu_malloc … ─► cidpool_destroy
//!                      └────► cidpool_set_add_pool: the set's from then on (`set`)
//! ```

#![allow(unsafe_code)]

use crate::attr::Attr;
use crate::errno::{Errno, INVALID, NO_MEMORY, Result, answer, pointer, status};
use crate::owners;
use cidpool::{AllocateError, Item, Pool};
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::NonNull;
use core::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed},
};
use std::sync::Arc;

/// A pool.
pub struct Handle {
    pub(crate) pool: Pool,
    /// An initialiser failed: what is of its range is nobody's.
    has_failed: Arc<AtomicBool>,
    /// It goes with its set.
    pub(crate) is_in_set: AtomicBool,
}

impl Handle {
    /// # Safety
    /// `pool` is null or a pool that is not destroyed.
    pub(crate) unsafe fn of<'a>(pool: *const Self) -> Result<&'a Self> {
        // SAFETY: by the caller's promise.
        unsafe { pool.as_ref() }.ok_or(INVALID)
    }

    /// How many copies an item has.
    pub(crate) fn copies(&self) -> usize {
        self.pool.places().count()
    }

    /// The address of what `allocate` allocates, by which C finds the pool again.
    #[inline]
    pub(crate) fn allocate(
        &self,
        allocate: impl FnOnce(&Pool) -> core::result::Result<Item, AllocateError>,
    ) -> Result<*mut c_void> {
        let item = allocate(&self.pool)?;
        self.publish(item)?;
        Ok(item.as_ptr().as_ptr().cast())
    }

    /// Sees to it that C's item leads to its pool; or frees it.
    #[inline]
    pub(crate) fn publish(&self, item: Item) -> Result<()> {
        if self.has_failed.load(Acquire) {
            core::hint::cold_path();
            // SAFETY: just allocated.
            unsafe { self.pool.free(item) };
            return Err(NO_MEMORY);
        }
        let address = item.as_ptr().addr().get();
        if owners::of(address) != Some(core::ptr::from_ref(self)) {
            let stride = self.pool.stride();
            owners::add(address & !(stride - 1), stride, self).inspect_err(|_| {
                // SAFETY: just allocated.
                unsafe { self.pool.free(item) };
            })?;
        }
        Ok(())
    }

    /// Has a pool of C gone: only its memory stays, until nobody iterates.
    ///
    /// # Safety
    /// A box of `cidpool_create`, which nobody else uses any more.
    pub(crate) unsafe fn destroy(pool: *mut Self) {
        // SAFETY: by the caller's promise.
        let handle = unsafe { Box::from_raw(pool) };
        owners::remove_all(pool);
        drop(handle);
    }
}

/// Makes a pool of items of `item_len` bytes, named `pool_name` (null: without a name) in messages,
/// statistics and `/proc/self/maps`, that is as `attr` says (null: as `cidpool_attr_create` does).
/// Items are at multiples of 8, or of the largest power of two that divides `item_len`. Memory
/// comes with the first item.
///
/// Returns the pool; the caller destroys it by `cidpool_destroy`, or gives it to a set. Or null and
/// `errno`:
/// - `EINVAL`: `item_len` is 0 or above the stride; the stride is below a page, or above 2 GiB;
///   items or copies are too many; the name is empty, above 64 bytes, or not of printable ASCII
///   without any of `` \ ` $ [ ] ``; an initialiser for copies that begin as zero;
/// - `ENOMEM`, or whatever else the system says that refuses memory.
///
/// MT-safe. Not for signal handlers.
///
/// # Safety
/// `pool_name` is null or a string; `attr` is null or of `cidpool_attr_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_create(
    pool_name: *const c_char,
    item_len: usize,
    attr: *const Attr,
) -> *mut Handle {
    pointer(|| {
        // SAFETY: by the caller's promise.
        let attr = unsafe { attr.as_ref() };
        let default = Attr::new();
        let (mut builder, has_failed) = attr.unwrap_or(&default).apply(Pool::builder(item_len));
        if !pool_name.is_null() {
            // SAFETY: by the caller's promise.
            let name = unsafe { CStr::from_ptr(pool_name) };
            builder = builder.name(name.to_str().map_err(|_| INVALID)?);
        }
        let pool = builder.build()?;
        let is_in_set = AtomicBool::new(false);
        let handle = Handle { pool, has_failed, is_in_set };
        Ok(Box::into_raw(Box::new(handle)))
    })
}

/// Destroys `pool` with all its items. What `cidpool_percpu_for_each` is at stays there until it is
/// done. In a robust pool items that are still allocated end the process with one line. Null is no
/// pool, and fine.
///
/// Returns 0, or -1 and `errno`:
/// - `EBUSY`: the pool is in a set, with which it is destroyed.
///
/// MT-safe for different pools. Not for signal handlers.
///
/// # Safety
/// `pool` is null or of `cidpool_create`, not destroyed yet, and nobody uses it or its items any
/// more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_destroy(pool: *mut Handle) -> c_int {
    status(|| {
        // SAFETY: by the caller's promise.
        let Ok(handle) = (unsafe { Handle::of(pool) }) else { return Ok(()) };
        if handle.is_in_set.load(Relaxed) {
            return Err(Errno(libc::EBUSY));
        }
        // SAFETY: by the caller's promise.
        unsafe { Handle::destroy(pool) };
        Ok(())
    })
}

/// Gives back the ranges of `pool` of which every item is free. Interrupts all CPUs on which the
/// process runs.
///
/// Returns how many; 0 for null.
///
/// MT-safe. Not for signal handlers.
///
/// # Safety
/// `pool` is null or of `cidpool_create`, and not destroyed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_trim(pool: *mut Handle) -> usize {
    // SAFETY: by the caller's promise.
    answer(0, || Ok(unsafe { Handle::of(pool) }?.pool.trim()))
}

/// The pool that the item at `ptr` is of.
///
/// Returns it, or null and `errno`:
/// - `EFAULT`: `ptr` is not where an item of a pool begins.
///
/// MT-safe. For signal handlers.
///
/// # Safety
/// Nobody destroys the pool meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_of(ptr: *const c_void) -> *mut Handle {
    pointer(|| {
        let foreign = Errno(libc::EFAULT);
        let handle = owners::of(ptr.addr()).ok_or(foreign)?;
        let item = Item::from_ptr(NonNull::new(ptr.cast_mut().cast()).ok_or(foreign)?);
        // SAFETY: by the caller's promise; entries lead to pools that are there.
        if unsafe { &*handle }.pool.owns(item) { Ok(handle.cast_mut()) } else { Err(foreign) }
    })
}

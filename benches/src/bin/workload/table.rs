//! A fixed-length array in pages of its own, so that a workload's bookkeeping never
//! comes from the allocator under measurement.

use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use crate::proc::die;

/// `len` elements in an anonymous private mapping.
pub(crate) struct Table<T> {
    base: NonNull<T>,
    len: usize,
}

// SAFETY: a table owns its elements as a `Box<[T]>` would.
unsafe impl<T: Send> Send for Table<T> {}
// SAFETY: shared access gives out `&T` only.
unsafe impl<T: Sync> Sync for Table<T> {}

impl<T> Table<T> {
    /// A table whose element `i` is `make(i)`.
    pub(crate) fn new(len: usize, mut make: impl FnMut(usize) -> T) -> Self {
        const { assert!(align_of::<T>() <= 4096, "a mapping is page-aligned only") };
        let bytes = (len * size_of::<T>()).max(1);
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice.
        let base = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            die("the workload's own tables cannot be mapped: is RLIMIT_AS or memory short?");
        }
        let Some(base) = NonNull::new(base.cast::<T>()) else {
            die("the kernel mapped address 0");
        };
        for i in 0..len {
            // SAFETY: `i < len`, and the mapping holds `len` elements.
            unsafe { base.add(i).write(make(i)) };
        }
        Self { base, len }
    }
}

impl<T> Deref for Table<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: `new` initialised `len` elements from `base` on; we own them.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Table<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` makes us the only user.
        unsafe { core::slice::from_raw_parts_mut(self.base.as_ptr(), self.len) }
    }
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        // SAFETY: the elements are initialised, dropped here once, and the mapping is ours.
        unsafe {
            core::ptr::drop_in_place(&raw mut **self);
            libc::munmap(self.base.as_ptr().cast(), (self.len * size_of::<T>()).max(1));
        }
    }
}

//! A set of numbers below a bound, a bit each, in memory of its own: for validators.
#![allow(unsafe_code)]

use crate::config::PAGE;
use crate::os;
use core::ptr::NonNull;

/// The set. Its memory goes back to the system when it is dropped.
#[derive(Debug)]
pub struct Marks {
    words: NonNull<u64>,
    len: usize,
}

impl Marks {
    /// An empty set of numbers below `bound`; `None` when the system has no memory for it.
    #[must_use]
    pub fn new(bound: usize) -> Option<Self> {
        let len = bound.div_ceil(64).max(1);
        let bytes = (len * 8).next_multiple_of(PAGE);
        let memory = os::reserve(bytes).ok()?;
        let marks = Self { words: memory.cast(), len };
        // SAFETY: the reservation just made. If refused, `marks` gives it back.
        unsafe { os::commit(memory.as_ptr(), bytes) }.ok()?;
        Some(marks)
    }

    /// Whether `n` is in the set.
    ///
    /// # Panics
    /// If `n` is not below the bound, rounded up to 64.
    #[must_use]
    pub fn is_set(&self, n: usize) -> bool {
        assert!(n / 64 < self.len);
        // SAFETY: one of `len` words, committed and zero at first.
        unsafe { *self.words.as_ptr().add(n / 64) >> (n % 64) & 1 == 1 }
    }

    /// Puts `n` into the set; true if it was in it.
    ///
    /// # Panics
    /// As [`Self::is_set`].
    #[must_use]
    pub fn set(&mut self, n: usize) -> bool {
        let was = self.is_set(n);
        // SAFETY: as in `is_set`, which checked the bound; `&mut self` makes us the only one.
        unsafe { *self.words.as_ptr().add(n / 64) |= 1 << (n % 64) };
        was
    }
}

impl Drop for Marks {
    fn drop(&mut self) {
        let bytes = (self.len * 8).next_multiple_of(PAGE);
        // SAFETY: the whole reservation, which only we used.
        unsafe { os::release(self.words.as_ptr().cast(), bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_in_the_set_once_put_there_and_its_neighbours_are_not() {
        let mut marks = Marks::new(1_000_000).unwrap();
        for n in [0, 63, 64, 999_999] {
            assert!(!marks.is_set(n));
            assert!(!marks.set(n));
            assert!(marks.set(n) && marks.is_set(n));
        }
        assert!(!marks.is_set(1) && !marks.is_set(62) && !marks.is_set(65));
    }
}

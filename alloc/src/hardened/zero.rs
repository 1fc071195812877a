//! Free blocks are zero: cleared when they are freed, looked at when they are handed out.
//!
//! ```text
//!  page reads as zero ► object is zero ► live ─free─► cleared ► … waits … ► still zero? ► live
//!                                                                └ no: somebody wrote to a free block
//! ```

/// Whether the `size` bytes at `object` are all zero.
///
/// # Safety
/// They are readable; `size` is a multiple of 16, and so is the address.
#[inline]
pub unsafe fn is_clear(object: *const u8, size: usize) -> bool {
    let words = object.cast::<[u64; 2]>();
    let mut seen = 0;
    for i in 0..size / size_of::<[u64; 2]>() {
        // SAFETY: by the caller's promise.
        let [low, high] = unsafe { *words.add(i) };
        seen |= low | high;
    }
    seen == 0
}

/// Clears the `size` bytes at `object`.
///
/// # Safety
/// They are the caller's.
#[inline]
pub unsafe fn clear(object: *mut u8, size: usize) {
    // SAFETY: by the caller's promise.
    unsafe { core::ptr::write_bytes(object, 0, size) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_anywhere_is_seen() {
        let mut words = [0u64; 12];
        // SAFETY: memory of our own.
        assert!(unsafe { is_clear(words.as_ptr().cast(), 96) });
        for bit in 0..96 * 8 {
            words[bit / 64] = 1 << (bit % 64);
            // SAFETY: as above.
            assert!(!unsafe { is_clear(words.as_ptr().cast(), 96) }, "bit {bit}");
            words[bit / 64] = 0;
        }
    }
}

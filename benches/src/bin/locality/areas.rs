//! The areas that threads increment: blocks of 16 KiB of the library's, written by one thread at
//! a time, and a check that nothing was lost in them.

use cidalloc_benches::locality::inputs::AREA_BYTES;

/// The areas: written by one thread at a time, since one runs at a time.
pub(crate) struct Areas(Vec<*mut u8>);

// SAFETY: the blocks belong to whoever was told to run, and only one thread is at a time; the
// channels that tell it order the accesses.
unsafe impl Sync for Areas {}
// SAFETY: as above.
unsafe impl Send for Areas {}

impl Areas {
    /// Blocks of the global allocator, all zero.
    pub(crate) fn new(count: usize) -> Self {
        let block = || Box::into_raw(vec![0_u8; AREA_BYTES].into_boxed_slice()).cast();
        Self((0..count).map(|_| block()).collect())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// One of them.
    ///
    /// # Safety
    /// Nobody else uses the area meanwhile.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn get(&self, index: usize) -> Option<&mut [u8]> {
        let block = *self.0.get(index)?;
        // SAFETY: a live block of this size; the caller has it alone.
        Some(unsafe { core::slice::from_raw_parts_mut(block, AREA_BYTES) })
    }

    /// How often all areas were incremented together, modulo 256; an error where one was not
    /// incremented as a whole.
    pub(crate) fn increments(&self) -> Result<u8, String> {
        let mut sum = 0_u8;
        for index in 0..self.0.len() {
            // SAFETY: no thread runs.
            let area = unsafe { self.get(index) }.unwrap_or_default();
            if area.iter().any(|byte| *byte != area[0]) {
                return Err(format!("area {index} was incremented by two threads at once"));
            }
            sum = sum.wrapping_add(area[0]);
        }
        Ok(sum)
    }
}

impl Drop for Areas {
    fn drop(&mut self) {
        for block in &self.0 {
            let slice = core::ptr::slice_from_raw_parts_mut(*block, AREA_BYTES);
            // SAFETY: from `Box::into_raw` of such a slice, not freed before.
            drop(unsafe { Box::from_raw(slice) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pinned::increment;

    #[test]
    fn every_increment_is_counted_and_half_ones_are_found() {
        let areas = Areas::new(3);
        for index in [0, 2, 2] {
            // SAFETY: one thread.
            increment(unsafe { areas.get(index) }.unwrap());
        }
        assert_eq!(areas.increments(), Ok(3));
        // SAFETY: one thread.
        unsafe { areas.get(1) }.unwrap()[77] += 1;
        assert!(areas.increments().is_err());
    }
}

//! What live blocks hold: a pattern of their own over all bytes that are theirs to use.
//!
//! ```text
//!  up to 16 KiB   every byte
//!  above          both ends, and a word in each 4 KiB: no part of a block is protected, moved or
//!                 given back in less than a kernel page
//! ```

use core::slice;

const WHOLE: usize = 16 << 10;
const END: usize = 1 << 10;
const EDGE: usize = 32;
static PATTERNS: [u8; 2 * WHOLE] = patterns();

const fn patterns() -> [u8; 2 * WHOLE] {
    let (mut bytes, mut i, mut x) = ([0; 2 * WHOLE], 0, 0x2545_f491_4f6c_dd1du64);
    while i < bytes.len() {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        // Never zero, which is what fresh memory reads as.
        bytes[i] = (x >> 56) as u8 | 1;
        i += 1;
    }
    bytes
}

/// A live block.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) address: usize,
    /// What was asked for: so much survives a move.
    pub(crate) size: usize,
    pub(crate) align: usize,
    pub(crate) usable: usize,
    /// Which pattern it holds.
    pub(crate) seed: usize,
}

impl Block {
    /// Ranges of the first `len` bytes that are written and looked at.
    fn ranges(len: usize) -> impl Iterator<Item = (usize, usize)> {
        let ends = if len <= WHOLE { [(0, len), (len, len)] } else { [(0, END), (len - END, len)] };
        let pages = (4096..len.max(WHOLE) - 8).step_by(4096).map(|at| (at, at + 8));
        ends.into_iter().chain(pages.take_while(move |_| len > WHOLE))
    }

    /// What the bytes from `begin` to `end` hold.
    fn pattern(&self, begin: usize, end: usize) -> &'static [u8] {
        let at = (self.seed.wrapping_mul(0x9e37_79b9) ^ (begin / END)) % WHOLE;
        &PATTERNS[at..][..end - begin]
    }

    pub(crate) fn fill(&self) {
        for (begin, end) in Self::ranges(self.usable) {
            // SAFETY: within the usable bytes of a live block, which nobody else reads or writes.
            unsafe { bytes(self.address + begin, end - begin) }
                .copy_from_slice(self.pattern(begin, end));
        }
    }

    /// Which byte of the first `len`, of those that a block of `written` bytes wrote, is not as
    /// it should be.
    fn first_wrong(&self, at: usize, written: usize, len: usize) -> Option<usize> {
        Self::ranges(written).find_map(|(begin, end)| {
            let shown = end.min(len);
            if shown <= begin {
                return None;
            }
            // SAFETY: within the live block at `at`.
            let found = unsafe { bytes(at + begin, shown - begin) };
            let right = &self.pattern(begin, end)[..shown - begin];
            (found != right).then(|| {
                begin + found.iter().zip(right).take_while(|(found, right)| found == right).count()
            })
        })
    }

    /// Panics unless all usable bytes are as they were written.
    pub(crate) fn check(&self, what: &dyn core::fmt::Display) {
        self.check_moved(self.address, self.usable, what);
    }

    /// Panics unless the first `len` bytes, now at `address`, are as they were written.
    pub(crate) fn check_moved(&self, address: usize, len: usize, what: &dyn core::fmt::Display) {
        if let Some(at) = self.first_wrong(address, self.usable, len) {
            panic!("{what}: byte {at} of {} has changed", self.size);
        }
    }

    /// As [`Block::check`], of the bytes next to neighbours alone: for all blocks, all the time.
    pub(crate) fn check_edges(&self, what: &dyn core::fmt::Display) {
        let n = EDGE.min(self.usable);
        let (first, last) = Self::ends(self.usable);
        let tail = self.pattern(last.0, last.1);
        // SAFETY: within the usable bytes of a live block.
        let (head_is, tail_is) =
            unsafe { (bytes(self.address, n), bytes(self.address + self.usable - n, n)) };
        let head_right = &self.pattern(first.0, first.1)[..n];
        if head_is != head_right || tail_is != &tail[tail.len() - n..] {
            panic!("{what}: the ends of a block of {} bytes have changed", self.size);
        }
    }

    fn ends(len: usize) -> ((usize, usize), (usize, usize)) {
        if len <= WHOLE { ((0, len), (0, len)) } else { ((0, END), (len - END, len)) }
    }
}

/// Panics unless the `len` bytes at `address` read as zero.
pub(crate) fn check_zero(address: usize, len: usize, what: &dyn core::fmt::Display) {
    const ZERO: [u8; 4096] = [0; 4096];
    // SAFETY: a live block of that many bytes.
    let wrong = unsafe { bytes(address, len) }
        .chunks(ZERO.len())
        .position(|chunk| chunk != &ZERO[..chunk.len()]);
    if let Some(chunk) = wrong {
        panic!("{what}: not all zero from byte {} on", chunk * ZERO.len());
    }
}

/// # Safety
/// So many bytes of a live block that nobody else uses meanwhile.
unsafe fn bytes<'a>(address: usize, len: usize) -> &'a mut [u8] {
    // SAFETY: by the caller's promise.
    unsafe { slice::from_raw_parts_mut(core::ptr::with_exposed_provenance_mut(address), len) }
}

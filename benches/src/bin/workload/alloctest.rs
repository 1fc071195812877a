//! alloc-test in short: a step picks a random slot; an empty one gets a block, a full
//! one gives its block up. Both slots and sizes are skewed.
//!
//! ```text
//!   slots  [0 … .0064 % of all | .15 % | 1.5 % | 8.2 % | 24.6 % | 39.3 % | 26.2 %]
//!   picks   26.2 %               39.3 %  24.6 %  8.2 %   1.5 %    .15 %    .0064 %
//! ```
//!
//! That is the rule by which 80 % of the picks hit 20 % of the slots, applied to both
//! shares six times. Blocks are written in full, and read in full before they are freed.

use crate::heap::Block;
use crate::meter::{Timed, race};
use crate::proc::die;
use crate::rng::Rng;
use crate::table::Table;

/// Slots of all threads together.
const SLOTS: usize = 32_768;
/// No block is larger than 2 to the power of this.
const SIZE_BITS: u32 = 10;

/// Binomial weights of six choices of 80 against 20.
const SHARES: [f64; 7] = [0.262_144, 0.393_216, 0.245_76, 0.081_92, 0.015_36, 0.001_536, 0.000_064];

/// The skewed choice of slots: bounds of the picks, and of the slots they lead to.
struct Skew {
    picks: [u32; 7],
    slots: [usize; 8],
}

impl Skew {
    fn over(count: usize) -> Self {
        let (mut picks, mut slots) = ([u32::MAX; 7], [0; 8]);
        let mut sum = 0.0;
        for i in 0..6 {
            sum += SHARES[i];
            picks[i] = (sum * f64::from(u32::MAX)) as u32;
            // Every part has at least one slot, however few there are.
            slots[i + 1] = slots[i] + ((count as f64 * SHARES[6 - i]) as usize).max(1);
        }
        slots[7] = count;
        Self { picks, slots }
    }

    #[inline(always)]
    fn pick(&self, rng: &mut Rng) -> usize {
        let dice = (rng.next() >> 32) as u32;
        let part = self.picks.iter().position(|&bound| dice < bound).unwrap_or(6);
        self.slots[part] + rng.below(self.slots[part + 1] - self.slots[part])
    }
}

/// Every doubling half as often, evenly spread between.
#[inline(always)]
fn size(rng: &mut Rng) -> usize {
    let dice = rng.next();
    let doublings = ((dice as u32 & ((1 << (SIZE_BITS - 3)) - 1)) + 1).trailing_zeros();
    let base = 4_usize << doublings;
    base + 1 + ((dice >> 32) as usize & (base - 1))
}

struct Filled {
    block: Block,
    len: usize,
}

impl Filled {
    #[inline(always)]
    fn new(len: usize) -> Self {
        let block = Block::malloc(len);
        // SAFETY: the block has `len` bytes.
        unsafe { block.as_ptr().write_bytes(len as u8, len) };
        Self { block, len }
    }
}

impl Drop for Filled {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: `new` wrote all `len` bytes.
        let bytes = unsafe { core::slice::from_raw_parts(self.block.as_ptr(), self.len) };
        let wrong = bytes.iter().fold(0, |wrong, &byte| wrong | (byte ^ self.len as u8));
        if wrong != 0 {
            die("alloc-test: a byte of a live block was overwritten");
        }
    }
}

pub(crate) fn run(threads: usize, ops: u64) -> Timed {
    let count = SLOTS / threads;
    let skew = Skew::over(count);
    let lives = ops / threads as u64;
    race(
        threads,
        |index| {
            let mut rng = Rng::new(index);
            // Half of the slots are full at first.
            let slots = Table::new(count, |_| rng.chance(50).then(|| Filled::new(size(&mut rng))));
            (rng, slots)
        },
        |_, (rng, slots)| {
            // Two steps are one block's life.
            for _ in 0..lives * 2 {
                let slot = &mut slots[skew.pick(rng)];
                *slot = if slot.is_some() { None } else { Some(Filled::new(size(rng))) };
            }
            lives
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_slots_takes_most_of_the_picks() {
        let skew = Skew::over(10_000);
        let mut rng = Rng::new(5);
        let mut picks = vec![0_u32; 10_000];
        (0..1_000_000).for_each(|_| picks[skew.pick(&mut rng)] += 1);
        picks.sort_unstable_by(|a, b| b.cmp(a));
        let top: u32 = picks[..2_000].iter().sum();
        assert!(top > 800_000, "{top}");
        assert!(picks.iter().filter(|&&n| n > 0).count() > 3_000);
    }

    #[test]
    fn a_skew_over_few_slots_stays_within_them() {
        let skew = Skew::over(512);
        let mut rng = Rng::new(1);
        assert!((0..100_000).all(|_| skew.pick(&mut rng) < 512));
    }

    #[test]
    fn each_doubling_of_the_size_is_half_as_frequent() {
        let mut rng = Rng::new(3);
        let mut counts = [0_i32; 16];
        for _ in 0..400_000 {
            let size = size(&mut rng);
            assert!((5..=1_024).contains(&size), "{size}");
            counts[(size - 1).ilog2() as usize] += 1;
        }
        for i in 2..7 {
            let ratio = f64::from(counts[i]) / f64::from(counts[i + 1]);
            assert!((1.8..2.2).contains(&ratio), "{i}: {ratio}");
        }
    }
}

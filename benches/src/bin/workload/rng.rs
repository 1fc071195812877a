//! A fast deterministic random generator, and size distributions as lookup tables.

use cidalloc_benches::catalog::Mix;

/// wyrand: one multiplication per number, good enough for picking slots and sizes.
pub(crate) struct Rng(u64);

impl Rng {
    /// Different seeds give unrelated sequences.
    pub(crate) fn new(seed: usize) -> Self {
        Self((seed as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    #[inline(always)]
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xa076_1d64_78bd_642f);
        let wide = u128::from(self.0) * u128::from(self.0 ^ 0xe703_7ed1_a0b4_28db);
        (wide >> 64) as u64 ^ wide as u64
    }

    /// A number below `n`, for `n` below 2^32.
    #[inline(always)]
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (((self.next() >> 32) * n as u64) >> 32) as usize
    }

    /// True in `percent` of 100 calls.
    #[inline(always)]
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

const ENTRIES: usize = 1024;

/// A distribution by its quantiles: a draw costs one load and no logarithm, and the
/// mean is exact.
pub(crate) struct Sizes([u32; ENTRIES]);

impl Sizes {
    /// Log-uniform over `low..=high`.
    pub(crate) fn log_uniform(low: u32, high: u32) -> Self {
        let mut table = [0; ENTRIES];
        fill(&mut table, low, high);
        Self(table)
    }

    pub(crate) fn of(mix: Mix) -> Self {
        match mix {
            Mix::Small => Self::log_uniform(16, 4096),
            Mix::Wide => {
                let mut table = [0; ENTRIES];
                let (body, tail) = table.split_at_mut(ENTRIES - ENTRIES / 200);
                fill(body, 1, 32 << 10);
                fill(tail, 32 << 10, 1 << 20);
                Self(table)
            }
        }
    }

    #[inline(always)]
    pub(crate) fn draw(&self, rng: &mut Rng) -> usize {
        self.0[(rng.next() >> 40) as usize % ENTRIES] as usize
    }
}

fn fill(quantiles: &mut [u32], low: u32, high: u32) {
    let count = quantiles.len() as f64;
    let factor = f64::from(high) / f64::from(low);
    for (i, size) in quantiles.iter_mut().enumerate() {
        *size = (f64::from(low) * factor.powf((i as f64 + 0.5) / count)).round() as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_in_the_distribution() {
        let (small, wide) = (Sizes::of(Mix::Small), Sizes::of(Mix::Wide));
        let mut rng = Rng::new(7);
        let mut above = 0;
        for _ in 0..100_000 {
            assert!((16..=4096).contains(&small.draw(&mut rng)));
            let size = wide.draw(&mut rng);
            assert!((1..=1 << 20).contains(&size));
            above += usize::from(size > 32 << 10);
        }
        assert!((300..700).contains(&above), "{above} of 100000 draws lie in the tail");
    }

    #[test]
    fn below_reaches_every_number_and_no_other() {
        let mut rng = Rng::new(1);
        let mut seen = [false; 10];
        (0..1000).for_each(|_| seen[rng.below(10)] = true);
        assert!(seen.iter().all(|&s| s));
    }
}

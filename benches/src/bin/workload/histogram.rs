//! Counts of values over their logarithm, in a fixed array: nothing is allocated.
//!
//! ```text
//!   value   0 1 2 … 15 | 16 17 … 31 | 32-33 34-35 … 62-63 | 64-67 … | …
//!   bucket  0 1 2 … 15 | 16 17 … 31 | 32    33    … 47    | 48    … | …
//! ```
//!
//! Below 32 a bucket is one value; above, every octave has 16, so that a value is known
//! to 6 %. The largest value is kept as it is.

const PER_OCTAVE: usize = 16;
/// Octaves from 16 on; 2^40 ticks are minutes.
const OCTAVES: usize = 36;
const BUCKETS: usize = PER_OCTAVE * (OCTAVES + 1);

pub(crate) struct Histogram {
    counts: [u64; BUCKETS],
    total: u64,
    max: u64,
}

impl Histogram {
    pub(crate) const fn new() -> Self {
        Self { counts: [0; BUCKETS], total: 0, max: 0 }
    }

    #[inline(always)]
    pub(crate) fn add(&mut self, value: u64) {
        self.counts[index(value)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, n)| *sum += n);
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The value that `share` of all values do not exceed, as the middle of its bucket.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, &count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                let last = lower(index + 1) - 1;
                return f64::midpoint(lower(index) as f64, last as f64).min(self.max as f64);
            }
        }
        self.max as f64
    }

    /// Lower bound and count of every bucket that is not empty, upwards.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let counted = self.counts.iter().enumerate().filter(|&(_, &count)| count > 0);
        counted.map(|(index, &count)| (lower(index), count))
    }
}

#[inline(always)]
fn index(value: u64) -> usize {
    if value < PER_OCTAVE as u64 {
        return value as usize;
    }
    // 0 for 16..32, 1 for 32..64, and so on.
    let octave = value.ilog2() as usize - 4;
    let within = (value >> octave) as usize - PER_OCTAVE;
    ((octave + 1) * PER_OCTAVE + within).min(BUCKETS - 1)
}

fn lower(index: usize) -> u64 {
    if index < PER_OCTAVE {
        return index as u64;
    }
    ((PER_OCTAVE + index % PER_OCTAVE) as u64) << (index / PER_OCTAVE - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn every_value_lies_in_a_bucket_no_wider_than_a_sixteenth_of_it() {
        let mut rng = Rng::new(2);
        for _ in 0..100_000 {
            let value = rng.next() >> (24 + rng.below(40));
            let (low, high) = (lower(index(value)), lower(index(value) + 1));
            assert!(low <= value && value < high, "{value} in {low}..{high}");
            assert!((high - low) * 16 <= low.max(16), "{low}..{high}");
        }
    }

    #[test]
    fn a_value_beyond_the_last_bucket_is_counted_there_and_kept_as_the_largest() {
        let mut histogram = Histogram::new();
        histogram.add(u64::MAX);
        assert_eq!((histogram.total(), histogram.max()), (1, u64::MAX));
        assert_eq!(histogram.buckets().map(|(_, count)| count).sum::<u64>(), 1);
    }

    #[test]
    fn quantiles_agree_with_those_of_the_sorted_values() {
        let (mut histogram, mut rng) = (Histogram::new(), Rng::new(9));
        let mut values: Vec<u64> = (0..50_000).map(|_| 20 + (rng.next() >> 44)).collect();
        values.iter().for_each(|&value| histogram.add(value));
        values.sort_unstable();
        for share in [0.5, 0.9, 0.99, 0.999, 1.0] {
            let exact = values[((values.len() as f64 * share).ceil() as usize) - 1] as f64;
            let told = histogram.quantile(share);
            assert!((told / exact - 1.0).abs() < 0.04, "{share}: {told} for {exact}");
        }
    }

    #[test]
    fn a_merged_histogram_holds_both() {
        let (mut a, mut b) = (Histogram::new(), Histogram::new());
        (0..10).for_each(|_| a.add(5));
        (0..30).for_each(|_| b.add(700));
        a.merge(&b);
        assert_eq!((a.total(), a.max()), (40, 700));
        assert_eq!(a.quantile(0.25), 5.0);
        assert!((a.quantile(0.26) - 700.0).abs() < 32.0);
        assert_eq!(a.buckets().count(), 2);
    }
}

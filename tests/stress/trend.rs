//! Whether a number grows from round to round without a reason.
//!
//! ```text
//!  rounds   ├─ warm-up ─┼── first ──┼───────────┼── last ──┤      a quarter each
//!  grown    median(last) − median(first) above the bound, and the rounds since the warm-up rise
//!           on the whole (Mann-Kendall, z above 2.33); or above four times the bound
//! ```
//!
//! Medians, ranks and a bound: neither one round nor a few that were unlucky decide. A leak rises in
//! every round, and is told as soon as it has passed the bound.

/// What must come back: a name, and by how much it may differ from its first level.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) name: &'static str,
    pub(crate) share: f64,
    pub(crate) plus: f64,
}

/// How a number went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Trend {
    pub(crate) first: f64,
    pub(crate) last: f64,
    /// What `last` may be.
    pub(crate) most: f64,
    /// Of Mann and Kendall: how many standard deviations the rounds rise more than chance has it.
    pub(crate) z: f64,
    pub(crate) is_grown: bool,
    /// Above four times the bound, which is growth whatever the rounds between did.
    pub(crate) is_far_above: bool,
}

/// Rounds without which nothing can be said.
pub(crate) const ROUNDS_MIN: usize = 8;

/// Looks at one value for each round; `None` while there are too few.
pub(crate) fn trend(values: &[f64], bound: &Bound) -> Option<Trend> {
    if values.len() < ROUNDS_MIN {
        return None;
    }
    let quarter = values.len() / 4;
    let warm = &values[quarter..];
    let (first, last) = (median(&warm[..quarter]), median(&warm[warm.len() - quarter..]));
    let room = first * bound.share + bound.plus;
    let (z, rise) = (mann_kendall(warm), last - first);
    let is_far_above = rise > 4.0 * room;
    let is_grown = is_far_above || (rise > room && z > 2.33);
    Some(Trend { first, last, most: first + room, z, is_grown, is_far_above })
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    } else {
        sorted[middle]
    }
}

/// Pairs that rise less pairs that fall, in standard deviations of a series without a trend.
fn mann_kendall(values: &[f64]) -> f64 {
    let n = values.len();
    let mut rises = 0i64;
    for (i, early) in values.iter().enumerate() {
        rises += values[i + 1..]
            .iter()
            .map(|late| i64::from(late > early) - i64::from(late < early))
            .sum::<i64>();
    }
    let n = n as f64;
    (rises - rises.signum()) as f64 / (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::Random;

    const BOUND: Bound = Bound { name: "some", share: 0.05, plus: 10.0 };

    fn is_grown(values: impl Iterator<Item = f64>) -> bool {
        trend(&values.collect::<Vec<_>>(), &BOUND).expect("enough rounds").is_grown
    }

    #[test]
    fn noise_is_no_growth() {
        for seed in 0..200 {
            let mut random = Random(seed);
            assert!(!is_grown((0..25).map(|_| 1000.0 + random.below(100) as f64)), "seed {seed}");
        }
    }

    #[test]
    fn what_rises_in_the_warm_up_alone_is_no_growth() {
        assert!(!is_grown((0..25).map(|i| f64::from(i.min(6)) * 1000.0)));
    }

    #[test]
    fn a_peak_is_no_growth() {
        assert!(!is_grown((0..25).map(|i| if i == 24 || i == 12 { 1e9 } else { 1000.0 })));
    }

    #[test]
    fn a_leak_below_the_noise_is_growth() {
        for seed in 0..200 {
            let mut random = Random(seed);
            let noisy = |i| 1000.0 + 12.0 * f64::from(i) + random.below(100) as f64;
            assert!(is_grown((0..25).map(noisy)), "seed {seed}");
        }
    }

    #[test]
    fn a_large_step_is_growth() {
        assert!(is_grown((0..25).map(|i| if i < 18 { 1000.0 } else { 1500.0 })));
    }

    #[test]
    fn few_rounds_say_nothing() {
        assert_eq!(trend(&[1.0; ROUNDS_MIN - 1], &BOUND), None);
    }
}

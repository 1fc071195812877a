//! Median, spread and geometric mean of a handful of measurements.

use serde::{Deserialize, Serialize};

/// Median, smallest and largest of some values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The middle value, or the mean of the two middle ones.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

/// Spread of `values`; `None` where there are none.
#[must_use]
pub fn spread(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let (&min, &max) = (sorted.first()?, sorted.last()?);
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    };
    Some(Spread { median, min, max })
}

/// Geometric mean of the positive values; `None` where there are none.
#[must_use]
pub fn geometric_mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values
        .into_iter()
        .filter(|v| *v > 0.0)
        .fold((0.0, 0_u32), |(sum, count), v| (sum + v.ln(), count + 1));
    (count > 0).then(|| (sum / f64::from(count)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_order_and_one_outlier() {
        let s = spread([9.0, 1.0, 500.0]).unwrap();
        assert_eq!((s.median, s.min, s.max), (9.0, 1.0, 500.0));
        assert_eq!(spread([4.0, 2.0]).unwrap().median, 3.0);
        assert!(spread([]).is_none());
    }

    #[test]
    fn a_ratio_and_its_inverse_cancel_in_the_geometric_mean() {
        let g = geometric_mean([4.0, 0.25, 1.0]).unwrap();
        assert!((g - 1.0).abs() < 1e-12);
        assert!(geometric_mean([0.0]).is_none());
    }
}

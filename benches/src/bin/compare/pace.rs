//! The progress bar, and how long it will still take.

use core::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// What is known of one row's runs.
#[derive(Clone, Copy, Default)]
struct Known {
    runs: u32,
    seconds: f64,
    left: u32,
}

/// A bar whose time left goes by what each row took so far: some take a hundred times as
/// long as others.
pub(crate) struct Pace {
    rows: Vec<Known>,
    bar: ProgressBar,
}

impl Pace {
    pub(crate) fn new(rows: usize, runs_of_each: u32) -> Self {
        let bar = ProgressBar::new(rows as u64 * u64::from(runs_of_each));
        let template = "{wide_bar} {pos}/{len} [{elapsed}] {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { rows: vec![Known { left: runs_of_each, ..Known::default() }; rows], bar }
    }

    pub(crate) fn begin(&self, what: &str) {
        let left = self.left().map_or("…".to_owned(), minutes);
        self.bar.set_message(format!("{left} left: {what}"));
    }

    pub(crate) fn end(&mut self, row: usize, took: Duration) {
        let row = &mut self.rows[row];
        row.runs += 1;
        row.seconds += took.as_secs_f64();
        row.left -= 1;
        self.bar.inc(1);
    }

    /// Rows without a run yet are taken for average ones.
    fn left(&self) -> Option<f64> {
        let (runs, seconds) =
            self.rows.iter().fold((0, 0.0), |(r, s), row| (r + row.runs, s + row.seconds));
        let mean = |runs: u32, seconds: f64| (runs > 0).then(|| seconds / f64::from(runs));
        let average = mean(runs, seconds)?;
        let of = |row: &Known| mean(row.runs, row.seconds).unwrap_or(average) * f64::from(row.left);
        Some(self.rows.iter().map(of).sum())
    }

    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn minutes(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_goes_by_each_row_and_by_the_average_of_unknown_ones() {
        let mut pace = Pace::new(3, 2);
        assert!(pace.left().is_none());
        pace.end(0, Duration::from_secs(1));
        pace.end(1, Duration::from_secs(9));
        // One more of each, and two of a row that is taken for average.
        assert_eq!(pace.left(), Some(1.0 + 9.0 + 2.0 * 5.0));
        assert_eq!(minutes(119.5), "2:00");
    }
}

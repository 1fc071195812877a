//! Samples of all rounds, as medians and ratios.
//!
//! ```text
//!   round      1     2     3   …
//!   other      6.0   6.2   9.1         medians:  other 6.2, ours 2.1
//!   ours       2.0   2.1   3.0         ratio:    the median of 3.0, 2.95, 3.03 … round by round
//! ```
//!
//! What slows the whole machine for a round is on both sides of that round's ratio.

use super::samples::{Group, Results, Sample};
use crate::stats::{Spread, spread};

/// Who is in a row: a contender, and where its cids come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who<'a> {
    /// Its name.
    pub contender: &'a str,
    /// If it uses cids.
    pub source: Option<&'a str>,
}

impl Sample {
    fn who(&self) -> Who<'_> {
        Who { contender: &self.contender, source: self.source.as_deref() }
    }
}

/// The samples of one group.
#[derive(Clone, Copy)]
pub struct Summary<'a> {
    group: Group,
    results: &'a Results,
}

impl<'a> Summary<'a> {
    /// Of `group` in `results`.
    #[must_use]
    pub const fn new(group: Group, results: &'a Results) -> Self {
        Self { group, results }
    }

    fn samples(self) -> impl Iterator<Item = &'a Sample> {
        self.results.samples.iter().filter(move |sample| sample.group == self.group)
    }

    /// Who was measured: those without cids first, each in the order of its first sample.
    #[must_use]
    pub fn rows(self) -> Vec<Who<'a>> {
        let mut rows: Vec<Who<'a>> = Vec::new();
        for sample in self.samples() {
            if !rows.contains(&sample.who()) {
                rows.push(sample.who());
            }
        }
        rows.sort_by_key(|who| who.source.is_some());
        rows
    }

    /// Numbers of threads, ascending.
    #[must_use]
    pub fn threads(self) -> Vec<usize> {
        let mut threads: Vec<usize> = self.samples().map(|sample| sample.threads).collect();
        threads.sort_unstable();
        threads.dedup();
        threads
    }

    fn of(self, who: Who<'a>, threads: usize) -> impl Iterator<Item = &'a Sample> {
        self.samples().filter(move |s| s.threads == threads && s.who() == who)
    }

    fn ns(self, sample: &Sample) -> f64 {
        if self.results.by_cpu_time { sample.cpu_ns } else { sample.wall_ns }
    }

    /// Nanoseconds of an operation.
    #[must_use]
    pub fn cost(self, who: Who<'a>, threads: usize) -> Option<Spread> {
        spread(self.of(who, threads).map(|sample| self.ns(sample)))
    }

    /// How many times as long as `base` it took, round by round.
    #[must_use]
    pub fn ratio(self, who: Who<'a>, base: Who<'a>, threads: usize) -> Option<Spread> {
        spread(self.of(who, threads).filter_map(|sample| {
            let other = self.of(base, threads).find(|other| other.round == sample.round)?;
            Some(self.ns(sample) / self.ns(other))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(contender: &str, source: Option<&str>, round: u32, wall_ns: f64) -> Sample {
        let (contender, source) = (contender.to_owned(), source.map(str::to_owned));
        let (group, threads, cpu_ns) = (Group::Counter, 2, wall_ns / 2.0);
        Sample { group, contender, source, threads, round, wall_ns, cpu_ns }
    }

    #[test]
    fn a_slow_round_does_not_change_a_ratio() {
        let mut samples = Vec::new();
        for (round, slow) in [(0, 1.0), (1, 10.0), (2, 1.0)] {
            samples.push(sample("counter", Some("kernel"), round, 2.0 * slow));
            samples.push(sample("atomic", None, round, 6.0 * slow));
        }
        let mut results = Results { samples, ..Results::default() };
        let summary = Summary::new(Group::Counter, &results);
        let rows = summary.rows();
        assert_eq!(rows.iter().map(|row| row.contender).collect::<Vec<_>>(), ["atomic", "counter"]);
        let ratio = summary.ratio(rows[0], rows[1], 2).unwrap();
        assert_eq!((ratio.min, ratio.median, ratio.max), (3.0, 3.0, 3.0));
        assert_eq!(summary.cost(rows[1], 2).unwrap().max, 20.0);
        assert_eq!((summary.threads(), summary.cost(rows[0], 8)), (vec![2], None));
        assert!(Summary::new(Group::Ring, &results).rows().is_empty());
        results.by_cpu_time = true;
        let summary = Summary::new(Group::Counter, &results);
        assert_eq!(summary.cost(summary.rows()[1], 2).unwrap().max, 10.0);
    }

    #[test]
    fn sources_of_one_contender_are_rows_of_their_own() {
        let samples = ["kernel", "emulated"].map(|source| sample("counter", Some(source), 0, 1.0));
        let results = Results { samples: samples.to_vec(), ..Results::default() };
        let rows = Summary::new(Group::Counter, &results).rows();
        assert_eq!(
            rows.iter().map(|row| row.source.unwrap()).collect::<Vec<_>>(),
            ["kernel", "emulated"]
        );
    }
}

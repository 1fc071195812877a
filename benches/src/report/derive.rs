//! Figures that are derived from the samples: medians with their spread, ratios within the
//! round, geometric means, and how ours stands against its peers.
//!
//! ```text
//!   one row        round 0   round 1   round 2      figure             ratio
//!     ours           10        12        11      11 (10..12)   1.00 (1.00..1.09)
//!     glibc          20        22        10      20 (10..22)   1.83 (0.91..2.00)  ◀ of
//!     best of the    10        12        10                     the rounds' ratios
//!     round
//! ```
//!
//! A ratio is taken within each round, to the round's best, and the median is taken of the
//! ratios: what disturbs a whole round cancels out. Means are over these medians.

use crate::report::Measure;
use crate::results::{Cell, Failure, Kind, Results};
use crate::stats::{Spread, geometric_mean, spread};

/// The figure of one workload with one allocator.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Over the rounds.
    pub value: Spread,
    /// To the best of each round; none where the best is zero.
    pub ratio: Option<Spread>,
    /// Round and value of each sample.
    pub rounds: Vec<(u32, f64)>,
    /// Others took part of the machine in one of the rounds.
    pub disturbed: bool,
}

impl Figure {
    fn at(&self, round: u32) -> Option<f64> {
        self.rounds.iter().find(|(r, _)| *r == round).map(|(_, value)| *value)
    }

    /// Median over the rounds of this figure's ratio to `base` in the same round.
    fn over(&self, base: impl Fn(u32) -> Option<f64>) -> Option<Spread> {
        let ratio = |&(round, value): &(u32, f64)| {
            base(round).filter(|base| *base > 0.0).map(|base| value / base)
        };
        spread(self.rounds.iter().filter_map(ratio))
    }
}

/// All figures of one workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Index in [`Results::workloads`].
    pub workload: usize,
    /// One for each allocator; none where nothing was measured, or where a run failed: an
    /// allocator that crashes at times has no time.
    pub figures: Vec<Option<Figure>>,
}

impl Row {
    fn best_of_round(&self, round: u32, except: Option<usize>) -> Option<f64> {
        let others = self.figures.iter().enumerate().filter(|(i, _)| Some(*i) != except);
        others.filter_map(|(_, f)| f.as_ref()?.at(round)).min_by(f64::total_cmp)
    }
}

/// Geometric mean of an allocator's ratios to the best of each row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// Over the median ratios; smallest and largest are of the means of single rounds.
    pub value: Spread,
    /// Rows it is over.
    pub rows: usize,
}

/// All rows that have one measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// What is tabulated.
    pub measure: Measure,
    /// In the order of the results.
    pub rows: Vec<Row>,
    /// One for each allocator.
    pub means: Vec<Option<Mean>>,
}

/// The first failure of this workload with this allocator. A run that fails gives none of the
/// parts that its row has, such as `burst/freed`, so its failure is theirs as well.
#[must_use]
pub fn failure(results: &Results, workload: usize, allocator: usize) -> Option<&Failure> {
    let name = |i: usize| results.workloads[i].name.as_str();
    let is_part = |whole: usize| {
        name(workload).strip_prefix(name(whole)).is_some_and(|rest| rest.starts_with('/'))
    };
    results
        .failures
        .iter()
        .find(|f| f.allocator == allocator && (f.workload == workload || is_part(f.workload)))
}

/// The table of one measure; it has no rows where nothing has it.
#[must_use]
pub fn table(results: &Results, measure: Measure) -> Table {
    let columns = results.allocators.len();
    let mut rows: Vec<Row> = (0..results.workloads.len())
        .map(|workload| Row { workload, figures: vec![None; columns] })
        .collect();
    for cell in &results.cells {
        // A row that times single calls spends its time on reading the clock, and its
        // memory on what it read.
        let by_the_call = results.latencies.iter().any(|l| l.workload == cell.workload);
        if !by_the_call && failure(results, cell.workload, cell.allocator).is_none() {
            rows[cell.workload].figures[cell.allocator] = figure(results, cell, measure);
        }
    }
    rows.retain(|row| row.figures.iter().any(Option::is_some));
    for row in &mut rows {
        let ratios: Vec<_> = (0..columns)
            .map(|i| row.figures[i].as_ref()?.over(|round| row.best_of_round(round, None)))
            .collect();
        for (figure, ratio) in row.figures.iter_mut().zip(ratios) {
            if let Some(figure) = figure {
                figure.ratio = ratio;
            }
        }
    }
    let means = (0..columns).map(|i| mean(&rows, i)).collect();
    Table { measure, rows, means }
}

fn figure(results: &Results, cell: &Cell, measure: Measure) -> Option<Figure> {
    let metric = results.workloads[cell.workload].metric;
    let rounds: Vec<_> = cell
        .samples
        .iter()
        .filter_map(|sample| Some((sample.round, measure.of(metric, sample)?)))
        .collect();
    Some(Figure {
        value: spread(rounds.iter().map(|r| r.1))?,
        ratio: None,
        rounds,
        // Memory does not depend on who else runs.
        disturbed: measure.suffers_from_others() && cell.samples.iter().any(|s| s.disturbed),
    })
}

fn mean(rows: &[Row], column: usize) -> Option<Mean> {
    let own: Vec<_> = rows
        .iter()
        .filter_map(|row| Some((row, row.figures[column].as_ref()?)))
        .filter(|(_, figure)| figure.ratio.is_some_and(|r| r.median > 0.0))
        .collect();
    let median = geometric_mean(own.iter().filter_map(|(_, f)| Some(f.ratio?.median)))?;
    // Only rounds in which all rows have a ratio: others would be means of something else.
    let of_round = |round: u32| {
        let ratios: Option<Vec<f64>> = own
            .iter()
            .map(|(row, figure)| {
                let ratio = figure.at(round)? / row.best_of_round(round, None)?;
                // Nothing is a multiple of zero, and zero has no geometric mean.
                (ratio.is_finite() && ratio > 0.0).then_some(ratio)
            })
            .collect();
        geometric_mean(ratios?)
    };
    let rounds = own.first()?.1.rounds.iter().filter_map(|(round, _)| of_round(*round));
    let (min, max) = rounds.fold((median, median), |(min, max), m| (m.min(min), m.max(max)));
    Some(Mean { value: Spread { median, min, max }, rows: own.len() })
}

/// How ours compares with its peers in one measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Index of ours.
    pub ours: usize,
    /// Rows that ours and at least one peer have.
    pub rows: usize,
    /// Geometric mean of ours over the best peer of each row.
    pub to_best_of_each: f64,
    /// Rows in which no peer is ahead.
    pub level: usize,
    /// Allocator, geometric mean of ours over it, and the rows that both have.
    pub peers: Vec<(usize, f64, usize)>,
    /// The peer with the largest such mean, of those that have most of the rows.
    pub best_single: Option<(usize, f64)>,
    /// Rows in which a peer is ahead, by which factor; the worst first.
    pub behind: Vec<(usize, f64)>,
}

/// None without ours or without a peer that shares a row with it.
#[must_use]
pub fn standing(results: &Results, table: &Table) -> Option<Standing> {
    let ours = results.allocators.iter().position(|a| a.kind == Kind::Ours)?;
    let mut to_best = Vec::new();
    let mut against = vec![Vec::new(); results.allocators.len()];
    for row in &table.rows {
        let Some(mine) = &row.figures[ours] else { continue };
        if let Some(ratio) = mine.over(|round| row.best_of_round(round, Some(ours))) {
            to_best.push((row.workload, ratio.median));
        }
        for (i, peer) in row.figures.iter().enumerate().filter(|(i, _)| *i != ours) {
            let ratio = peer.as_ref().and_then(|peer| mine.over(|round| peer.at(round)));
            against[i].extend(ratio.map(|r| r.median));
        }
    }
    let peers: Vec<_> = (against.into_iter().enumerate())
        .filter_map(|(i, r)| Some((i, geometric_mean(r.iter().copied())?, r.len())))
        .collect();
    // A peer that fails or lacks many rows would be judged by the others alone.
    let best_single = peers
        .iter()
        .filter(|(_, _, rows)| rows * 5 >= to_best.len() * 4)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(i, mean, _)| (*i, *mean));
    let mut behind: Vec<_> = to_best.iter().copied().filter(|(_, r)| *r > 1.0).collect();
    behind.sort_by(|a, b| b.1.total_cmp(&a.1));
    Some(Standing {
        ours,
        rows: to_best.len(),
        to_best_of_each: geometric_mean(to_best.iter().map(|b| b.1))?,
        level: to_best.len() - behind.len(),
        peers,
        best_single,
        behind,
    })
}

#[cfg(test)]
#[path = "derive_tests.rs"]
mod tests;

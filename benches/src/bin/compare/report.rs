//! From results to tables: median, spread, ratio to the best, and how ours stands.
//!
//! ```text
//!   5.43 (5.40..5.60) 1.00x    median (min..max) and ratio to the row's best
//!   ~ 6.10 (…) 1.12x           a run was disturbed by others, even when repeated
//!   FAILED                     a run failed; the reason stands below
//! ```

use cidalloc_benches::stats::{Spread, geometric_mean};

use crate::allocators::{Allocator, GLIBC, OURS};
use crate::grid::Grid;
use crate::results::{Measure, Results};

/// Rows of ours that are named as the farthest behind.
const WORST: usize = 12;

fn number(value: f64) -> String {
    match value {
        v if v < 100.0 => format!("{v:.2}"),
        v if v < 1000.0 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

fn cell(spread: Spread, best: f64, disturbed: bool) -> String {
    let Spread { median, min, max } = spread;
    let mark = if disturbed { "~ " } else { "" };
    let range =
        if min < max { format!(" ({}..{})", number(min), number(max)) } else { String::new() };
    let ratio = if best > 0.0 { format!(" {:.2}x", median / best) } else { String::new() };
    format!("{mark}{}{range}{ratio}", number(median))
}

/// Medians of one row, a column each.
fn medians(results: &Results, columns: usize, measure: Measure, row: &str) -> Vec<Option<f64>> {
    (0..columns).map(|i| results.spread(measure, row, i).map(|s| s.median)).collect()
}

fn least<'a>(values: impl IntoIterator<Item = &'a Option<f64>>) -> Option<f64> {
    values.into_iter().flatten().copied().min_by(f64::total_cmp)
}

/// The table of one measure; `None` where no row has it.
pub(crate) fn table(results: &Results, allocators: &[Allocator], measure: Measure) -> Option<Grid> {
    let columns = allocators.len();
    let mut rows = Vec::new();
    let mut ratios = vec![Vec::new(); columns];
    for row in &results.rows {
        let medians = medians(results, columns, measure, row);
        let Some(best) = least(&medians) else {
            continue;
        };
        let asked = (0..columns)
            .find_map(|i| results.samples(row, i).first())
            .map_or(0, |sample| sample.asked_kib);
        let name = match measure {
            Measure::Memory if asked > 0 => format!("{row} (asked {asked})"),
            _ => row.clone(),
        };
        let mut cells = vec![name];
        for (i, ratios) in ratios.iter_mut().enumerate() {
            cells.push(match results.spread(measure, row, i) {
                Some(spread) => {
                    if best > 0.0 {
                        ratios.push(spread.median / best);
                    }
                    cell(spread, best, results.disturbed(row, i))
                }
                None if results.failed(row, i) => "FAILED".to_owned(),
                None => "-".to_owned(),
            });
        }
        rows.push(cells);
    }
    if rows.is_empty() {
        return None;
    }
    let mut mean = vec!["geometric mean, to the best".to_owned()];
    mean.extend(
        ratios
            .into_iter()
            .map(|r| geometric_mean(r).map_or("-".to_owned(), |g| format!("{g:.3}x"))),
    );
    rows.push(mean);
    let mut header = vec!["workload".to_owned()];
    header.extend(allocators.iter().map(|allocator| allocator.name.clone()));
    let mut notes = standing(results, allocators, measure);
    if measure == Measure::Memory {
        notes.extend(over_glibc(results, allocators, "once", "once"));
        notes.extend(over_glibc(results, allocators, "idle1000", "threads1000"));
    }
    Some(Grid { title: measure.title().to_owned(), header, rows, notes })
}

/// How ours compares with the best peer of each row, and with each peer.
fn standing(results: &Results, allocators: &[Allocator], measure: Measure) -> Vec<String> {
    let Some(ours) = allocators.iter().position(|allocator| allocator.name == OURS) else {
        return Vec::new();
    };
    if allocators.len() < 2 {
        return Vec::new();
    }
    let mut behind: Vec<(f64, &str)> = Vec::new();
    let mut against = vec![Vec::new(); allocators.len()];
    for row in &results.rows {
        let medians = medians(results, allocators.len(), measure, row);
        let Some(mine) = medians[ours] else { continue };
        let peers = medians.iter().enumerate().filter(|(i, _)| *i != ours);
        if let Some(best) = least(peers.clone().map(|(_, m)| m)).filter(|best| *best > 0.0) {
            behind.push((mine / best, row));
        }
        for (i, peer) in peers {
            against[i].extend(peer.filter(|p| *p > 0.0).map(|p| mine / p));
        }
    }
    let Some(mean) = geometric_mean(behind.iter().map(|b| b.0)) else {
        return Vec::new();
    };
    let won = behind.iter().filter(|b| b.0 <= 1.0).count();
    let mut notes = vec![format!(
        "ours / best single peer of each row: geometric mean {mean:.3} over {} rows; not behind in {won}",
        behind.len()
    )];
    for (allocator, ratios) in allocators.iter().zip(against) {
        if let Some(mean) = geometric_mean(ratios.iter().copied()) {
            notes.push(format!(
                "ours / {}: geometric mean {mean:.3} over {} rows",
                allocator.name,
                ratios.len()
            ));
        }
    }
    behind.retain(|b| b.0 > 1.0);
    behind.sort_by(|a, b| b.0.total_cmp(&a.0));
    let worst: Vec<_> =
        behind.iter().take(WORST).map(|(ratio, row)| format!("{row} {ratio:.2}x")).collect();
    if !worst.is_empty() {
        notes.push(format!("farthest behind the best peer: {}", worst.join(", ")));
    }
    notes
}

/// One line: each column's `row` less glibc's `base`, which is what the process or its
/// threads cost without the allocator.
fn over_glibc(
    results: &Results,
    allocators: &[Allocator],
    row: &str,
    base: &str,
) -> Option<String> {
    let at = |row, i| results.spread(Measure::Memory, row, i).map(|s| s.median);
    let glibc = allocators.iter().position(|allocator| allocator.name == GLIBC)?;
    let less = at(base, glibc)?;
    let over: Vec<_> = (0..allocators.len())
        .filter(|&i| row != base || i != glibc)
        .filter_map(|i| Some(format!("{} {:+.0}", allocators[i].name, at(row, i)? - less)))
        .collect();
    (!over.is_empty()).then(|| format!("{row} less glibc's {base}, KiB: {}", over.join(", ")))
}

/// Every sample, one line each.
pub(crate) fn csv(results: &Results, allocators: &[Allocator]) -> String {
    let mut out = String::from(
        "row,allocator,metric,value,cpu,ops,asked_kib,peak_kib,end_kib,minflt,foreign_cores,steal_cores,disturbed\n",
    );
    for row in &results.rows {
        for (i, allocator) in allocators.iter().enumerate() {
            for s in results.samples(row, i) {
                out += &format!(
                    "{row},{},{},{:.3},{:.3},{},{},{},{},{},{:.3},{:.3},{}\n",
                    allocator.name,
                    s.metric.word(),
                    s.value,
                    s.cpu,
                    s.ops,
                    s.asked_kib,
                    s.peak_kib,
                    s.end_kib,
                    s.minflt,
                    s.noise.foreign,
                    s.noise.steal,
                    s.noise.disturbed
                );
            }
        }
    }
    out
}

/// Lines on failures and on how quiet the machine was.
pub(crate) fn closing(results: &Results, allocators: &[Allocator]) -> Vec<String> {
    let mut lines: Vec<_> = results
        .failures
        .iter()
        .map(|(row, i, why)| format!("FAILED {row} with {}: {why}", allocators[*i].name))
        .collect();
    lines.push(format!(
        "{} runs; {} were repeated since others took more than 20 % of a core (a quarter of the runs at most); {} stayed disturbed (marked ~)",
        results.runs, results.repeated, results.disturbed
    ));
    lines
}

#[cfg(test)]
mod tests {
    use cidalloc_benches::record::{Metric, Record};

    use super::*;
    use crate::noise::Noise;
    use crate::results::Sample;

    fn columns() -> Vec<Allocator> {
        [OURS, GLIBC, "other"].map(|name| Allocator { name: name.into(), preload: None }).into()
    }

    fn sample(value: f64) -> Sample {
        let line = format!(
            "cidbench name=r metric=ns value={value} cpu=1 ops=1 asked_kib=0 peak_kib=9 end_kib=0 minflt=1 lib=x"
        );
        let record = Record::parse(&line).unwrap();
        assert_eq!(record.metric, Metric::Nanoseconds);
        Sample::new(&record, Noise::default())
    }

    #[test]
    fn ours_is_held_against_the_best_peer_of_each_row() {
        let mut results = Results::default();
        for (row, values) in [("r1", [4.0, 2.0, 8.0]), ("r2", [4.0, 8.0, 2.0])] {
            for (i, value) in values.into_iter().enumerate() {
                results.add(row, i, sample(value));
            }
        }
        let grid = table(&results, &columns(), Measure::Time).unwrap();
        // Equal to each peer on average, and yet twice the best one everywhere.
        assert!(grid.notes[0].contains("geometric mean 2.000 over 2 rows; not behind in 0"));
        assert!(grid.notes[1].contains("ours / glibc: geometric mean 1.000"), "{:?}", grid.notes);
        assert_eq!(grid.rows[0][1], "4.00 2.00x");
    }

    #[test]
    fn a_row_that_failed_once_has_no_median() {
        let mut results = Results::default();
        results.add("r", 0, sample(1.0));
        results.add("r", 1, sample(2.0));
        results.fail("r", 0, "signal 11: it said nothing".into());
        let grid = table(&results, &columns(), Measure::Time).unwrap();
        assert_eq!(grid.rows[0], ["r", "FAILED", "2.00 1.00x", "-"]);
        assert!(closing(&results, &columns())[0].starts_with("FAILED r with ours: signal 11"));
    }
}

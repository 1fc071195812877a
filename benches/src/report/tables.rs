//! Tables for the terminal and for Markdown: median, spread, ratio, and how ours stands.
//!
//! ```text
//!   5.43 ±3% 1.00x             median, spread, and ratio to the best of the round
//!   5.43 (5.40..5.60) 1.00x    the same in Markdown, with both ends of the spread
//!   ~ 6.10 ±9% 1.12x           a run was disturbed by others, even when repeated
//!   FAILED                     a run failed; the reason stands below
//! ```

use super::derive::{self, Figure, Table};
use super::grid::Grid;
use super::number::plain;
use super::{Measure, facts};
use crate::results::{Kind, Results};
use crate::stats::Spread;

/// Rows of ours that are named as the farthest behind.
const WORST: usize = 12;

/// Allocators that were there, by index.
pub(crate) fn present(results: &Results) -> Vec<usize> {
    (0..results.allocators.len()).filter(|&i| results.allocators[i].absent.is_none()).collect()
}

/// How wide a spread is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    /// The largest distance from the median, in per cent of it: terminals are narrow.
    Percent,
    /// Both ends.
    Range,
}

fn with_spread(value: Spread, width: Width, number: impl Fn(f64) -> String) -> String {
    let Spread { median, min, max } = value;
    if min >= max {
        return number(median);
    }
    match width {
        Width::Percent if median > 0.0 => {
            let away = (max - median).max(median - min) / median * 100.0;
            format!("{} ±{away:.0}%", number(median))
        }
        _ => format!("{} ({}..{})", number(median), number(min), number(max)),
    }
}

fn cell(figure: &Figure, width: Width) -> String {
    let mark = if figure.disturbed { "~ " } else { "" };
    let ratio = figure.ratio.map_or(String::new(), |r| format!(" {:.2}x", r.median));
    format!("{mark}{}{ratio}", with_spread(figure.value, width, plain))
}

/// None where no row has the measure.
fn grid(results: &Results, measure: Measure, width: Width) -> Option<Grid> {
    let table = derive::table(results, measure);
    if table.rows.is_empty() {
        return None;
    }
    let columns = present(results);
    let mut header = vec!["workload".to_owned()];
    header.extend(columns.iter().map(|&i| results.allocators[i].name.clone()));
    let mut rows = Vec::new();
    for row in &table.rows {
        let mut cells = vec![row_name(results, row.workload)];
        cells.extend(columns.iter().map(|&i| match &row.figures[i] {
            Some(figure) => cell(figure, width),
            None if derive::failure(results, row.workload, i).is_some() => "FAILED".to_owned(),
            None => "-".to_owned(),
        }));
        rows.push(cells);
    }
    let mut mean = vec!["geometric mean, to the best".to_owned()];
    mean.extend(columns.iter().map(|&i| match table.means[i] {
        Some(m) => with_spread(m.value, width, |v| format!("{v:.3}x")),
        None => "-".to_owned(),
    }));
    rows.push(mean);
    let mut notes = standing(results, &table);
    if measure == Measure::Memory {
        notes.extend(over_system(results, &table, "once", "once"));
        notes.extend(over_system(results, &table, "idle1000", "threads1000"));
    }
    Some(Grid { title: measure.title().to_owned(), header, rows, notes })
}

/// The row's name, with what it asked for where memory is its subject.
fn row_name(results: &Results, workload: usize) -> String {
    let name = &results.workloads[workload].name;
    let cells = results.cells.iter().filter(|cell| cell.workload == workload);
    match cells.filter_map(|cell| cell.samples.first()).map(|s| s.asked_kib).max() {
        Some(asked) if asked > 0 => format!("{name} (asked {asked})"),
        _ => name.clone(),
    }
}

/// How ours compares with the best peer of each row, and with each peer.
fn standing(results: &Results, table: &Table) -> Vec<String> {
    let Some(standing) = derive::standing(results, table) else {
        return Vec::new();
    };
    let name = |i: usize| &results.allocators[i].name;
    let mut notes = vec![format!(
        "ours / best single peer of each row: geometric mean {:.3} over {} rows; not behind in {}",
        standing.to_best_of_each, standing.rows, standing.level
    )];
    if let Some((peer, mean)) = standing.best_single {
        notes.push(format!(
            "ours / {}, the best single peer over all rows: geometric mean {mean:.3}",
            name(peer)
        ));
    }
    let (whole, part): (Vec<_>, Vec<_>) =
        standing.peers.iter().partition(|(_, _, rows)| *rows == standing.rows);
    let list = |peers: &[&(usize, f64, usize)]| -> String {
        let each = peers.iter().map(|(i, mean, rows)| match *rows == standing.rows {
            true => format!("{} {mean:.3}", name(*i)),
            false => format!("{} {mean:.3} ({rows} rows)", name(*i)),
        });
        each.collect::<Vec<_>>().join(", ")
    };
    let all: Vec<_> = whole.into_iter().chain(part).collect();
    notes.push(format!("ours / each peer: {}", list(&all)));
    let worst: Vec<_> = (standing.behind.iter().take(WORST))
        .map(|(w, ratio)| format!("{} {ratio:.2}x", results.workloads[*w].name))
        .collect();
    if !worst.is_empty() {
        notes.push(format!("farthest behind the best peer: {}", worst.join(", ")));
    }
    notes
}

/// One line: each column's `row` less the C library's `base`, which is what the process or
/// its threads cost without the allocator.
fn over_system(results: &Results, table: &Table, row: &str, base: &str) -> Option<String> {
    let find = |name: &str| table.rows.iter().find(|r| results.workloads[r.workload].name == name);
    let at = |name: &str, i: usize| find(name)?.figures[i].as_ref().map(|f| f.value.median);
    let system = results.allocators.iter().position(|a| a.kind == Kind::System)?;
    let less = at(base, system)?;
    let over: Vec<_> = (0..results.allocators.len())
        .filter(|&i| row != base || i != system)
        .filter_map(|i| Some(format!("{} {:+.0}", results.allocators[i].name, at(row, i)? - less)))
        .collect();
    let system = &results.allocators[system].name;
    (!over.is_empty()).then(|| format!("{row} less {system}'s {base}, KiB: {}", over.join(", ")))
}

/// Latencies of one call: its percentiles with their spread.
fn latency(results: &Results, width: Width) -> Option<Grid> {
    let header = ["workload", "call", "allocator", "p50", "p99", "p99.9", "max"];
    let rows: Vec<Vec<String>> = results
        .latencies
        .iter()
        .map(|cell| {
            let mut row = vec![
                results.workloads[cell.workload].name.clone(),
                cell.op.word().to_owned(),
                results.allocators[cell.allocator].name.clone(),
            ];
            let percentiles = [cell.p50, cell.p99, cell.p999, cell.max];
            row.extend(percentiles.map(|p| with_spread(p, width, |v| format!("{v:.0}"))));
            row
        })
        .collect();
    let clock = results.latencies.first()?.clock_ns;
    Some(Grid {
        title: "Latency of single calls, ns".to_owned(),
        header: header.map(str::to_owned).into(),
        rows,
        notes: vec![format!("each contains the clock's own cost, about {clock:.0} ns")],
    })
}

fn grids(results: &Results, measures: &[Measure], width: Width) -> Vec<Grid> {
    let tables = measures.iter().filter_map(|measure| grid(results, *measure, width));
    tables.chain(latency(results, width)).collect()
}

/// Tables of these measures for the terminal.
#[must_use]
pub fn text_of(results: &Results, measures: &[Measure]) -> String {
    let mut out = facts::heading(results).join("\n") + "\n";
    grids(results, measures, Width::Percent).iter().for_each(|grid| out += &grid.text());
    out + "\n" + &facts::closing(results).join("\n") + "\n"
}

/// The same as Markdown.
#[must_use]
pub fn markdown_of(results: &Results, measures: &[Measure]) -> String {
    let mut out = format!("# Allocators compared\n\n- {}\n", facts::heading(results).join("\n- "));
    grids(results, measures, Width::Range).iter().for_each(|grid| out += &grid.markdown());
    out + "\n- " + &facts::closing(results).join("\n- ") + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_spread_is_both_ends_or_the_farther_one_in_per_cent() {
        let value = Spread { median: 10.0, min: 9.0, max: 10.5 };
        assert_eq!(with_spread(value, Width::Range, plain), "10.00 (9.00..10.50)");
        assert_eq!(with_spread(value, Width::Percent, plain), "10.00 ±10%");
        let alone = Spread { median: 10.0, min: 10.0, max: 10.0 };
        assert_eq!(with_spread(alone, Width::Percent, plain), "10.00");
    }

    #[test]
    fn every_figure_stands_with_its_spread_and_its_ratio() {
        let results = fixture::results();
        let table = derive::table(&results, Measure::Time);
        let is_calloc = |r: &&derive::Row| results.workloads[r.workload].name == "calloc/1M";
        let row = table.rows.iter().find(is_calloc).unwrap();
        let Figure { value, ratio, .. } = row.figures[4].as_ref().unwrap();
        let Spread { median, min, max } = *value;
        let ratio = ratio.unwrap().median;
        assert!(ratio > 30.0, "jemalloc zeroes what is zero already");
        let cell = format!("{median:.0} ({min:.0}..{max:.0}) {ratio:.2}x");
        let markdown = markdown_of(&results, &[Measure::Time]);
        let line = markdown.lines().find(|l| l.starts_with("| calloc/1M")).unwrap();
        assert!(line.contains(&cell), "{cell} in {line}");
    }

    #[test]
    fn failures_and_absent_columns_are_named() {
        let text = text_of(&fixture::results(), &[Measure::Time]);
        let line = text.lines().find(|l| l.starts_with("sh8/64t")).unwrap();
        assert_eq!(line.matches("FAILED").count(), 1);
        assert!(text.contains("FAILED sh8/64t with rpmalloc: signal 11"));
        assert!(text.contains("absent: hoard: cmake is missing"));
    }

    #[test]
    fn memory_rows_say_what_they_asked_for_and_what_is_above_glibc() {
        let text = text_of(&fixture::results(), &[Measure::Memory]);
        assert!(text.contains("\nlive1000 (asked 245866) "));
        assert!(text.contains("\nidle1000 less glibc's threads1000, KiB: cidalloc +"));
        assert!(text.contains("\nonce less glibc's once, KiB: cidalloc +"));
    }

    #[test]
    fn markdown_rows_have_as_many_cells_as_their_header() {
        let markdown = markdown_of(&fixture::results(), &[Measure::Time, Measure::Memory]);
        let mut expected = 0;
        for line in markdown.lines() {
            let bars = line.matches('|').count();
            if expected > 0 && bars > 0 {
                assert_eq!(bars, expected, "{line}");
            }
            expected = bars;
        }
        assert!(markdown.contains("\n## Wall time"));
    }
}

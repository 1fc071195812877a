//! Derived figures, against cases worked out by hand.

use super::*;
use crate::results::{Allocator, Failure, Metric, Run, Sample, Workload};

/// Three columns, of which the first is ours; a row for each entry, which holds the values
/// of the rounds for each column.
fn results(rows: &[[&[f64]; 3]]) -> Results {
    let allocator = |(name, kind): (&str, Kind)| Allocator {
        name: name.into(),
        kind,
        version: String::new(),
        path: None,
        note: String::new(),
        absent: None,
    };
    let columns = [("ours", Kind::Ours), ("glibc", Kind::System), ("other", Kind::File)];
    let mut results = Results::new(Run::default(), columns.map(allocator).into());
    for (workload, columns) in rows.iter().enumerate() {
        results.workloads.push(Workload {
            name: format!("row/{workload}"),
            family: "row".into(),
            threads: 1,
            metric: Metric::Nanoseconds,
            about: String::new(),
            ops: 1,
        });
        for (allocator, values) in columns.iter().enumerate() {
            let sample = |(round, &value): (usize, &f64)| Sample {
                round: round as u32,
                value,
                peak_kib: 100 * (allocator as u64 + 1),
                ..Sample::default()
            };
            let samples: Vec<_> = values.iter().enumerate().map(sample).collect();
            if !samples.is_empty() {
                results.cells.push(Cell { workload, allocator, samples });
            }
        }
    }
    results
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

fn time(results: &Results) -> Table {
    table(results, Measure::Time)
}

#[test]
fn ratios_are_taken_within_the_round() {
    // Everything took ten times as long in the second round; the ratios do not care.
    let table = time(&results(&[[&[1.0, 10.0, 1.0], &[2.0, 20.0, 3.0], &[]]]));
    let figure = table.rows[0].figures[1].as_ref().unwrap();
    assert_eq!(figure.value, Spread { median: 3.0, min: 2.0, max: 20.0 });
    assert_eq!(figure.ratio, Some(Spread { median: 2.0, min: 2.0, max: 3.0 }));
    assert_eq!(table.rows[0].figures[2], None);
}

#[test]
fn the_mean_of_each_round_bounds_the_mean() {
    // Round 0: ratios 2 and 8, mean 4. Round 1: 4 and 4, mean 4. Round 2: 2 and 2, mean 2.
    // Medians: 2 and 4, mean 2.828…
    let rows: [[&[f64]; 3]; 2] =
        [[&[1.0; 3], &[2.0, 4.0, 2.0], &[]], [&[1.0; 3], &[8.0, 4.0, 2.0], &[]]];
    let mean = time(&results(&rows)).means[1].unwrap();
    assert_eq!(mean.rows, 2);
    assert!(close(mean.value.median, 8.0_f64.sqrt()));
    assert!(close(mean.value.min, 2.0) && close(mean.value.max, 4.0));
}

#[test]
fn a_round_that_lacks_a_row_has_no_mean_of_its_own() {
    // The second round was cut short after the first row, whose ratio there is 9.
    let rows: [[&[f64]; 3]; 2] = [[&[1.0; 2], &[3.0, 9.0], &[]], [&[1.0], &[3.0], &[]]];
    let mean = time(&results(&rows)).means[1].unwrap();
    assert!(close(mean.value.median, 18.0_f64.sqrt()));
    assert!(close(mean.value.min, 3.0) && close(mean.value.max, mean.value.median));
}

#[test]
fn ours_is_held_against_the_best_peer_of_each_row_and_against_each_peer() {
    let results = results(&[[&[4.0], &[2.0], &[8.0]], [&[4.0], &[8.0], &[2.0]]]);
    let standing = standing(&results, &time(&results)).unwrap();
    // Equal to each peer on average, and yet twice the best one everywhere.
    assert!(close(standing.to_best_of_each, 2.0));
    assert_eq!((standing.rows, standing.level), (2, 0));
    assert!(standing.peers.iter().all(|(_, mean, rows)| close(*mean, 1.0) && *rows == 2));
    assert_eq!(standing.behind.len(), 2);
}

#[test]
fn the_best_single_peer_is_the_one_that_comes_closest_to_ours() {
    let results = results(&[[&[3.0], &[6.0], &[4.0]], [&[3.0], &[6.0], &[1.0]]]);
    let standing = standing(&results, &time(&results)).unwrap();
    let (peer, mean) = standing.best_single.unwrap();
    assert_eq!(peer, 2);
    assert!(close(mean, 1.5));
    assert_eq!(standing.behind, [(1, 3.0)]);
    assert_eq!(standing.level, 1);
}

#[test]
fn a_peer_with_few_rows_is_not_the_best_single_one() {
    let rows: [[&[f64]; 3]; 2] = [[&[3.0], &[6.0], &[1.0]], [&[3.0], &[6.0], &[]]];
    let results = results(&rows);
    assert_eq!(standing(&results, &time(&results)).unwrap().best_single.unwrap().0, 1);
}

#[test]
fn an_allocator_that_failed_once_has_no_figure() {
    let mut results = results(&[[&[1.0], &[2.0], &[4.0]]]);
    results.failures.push(Failure { workload: 0, allocator: 0, why: "signal 11".into() });
    let table = time(&results);
    assert_eq!(table.rows[0].figures[0], None);
    // Nor is it the best of the row.
    assert_eq!(table.rows[0].figures[1].as_ref().unwrap().ratio.unwrap().median, 1.0);
    assert_eq!(standing(&results, &table), None);
}

#[test]
fn what_failed_has_no_figure_in_the_parts_of_its_row_either() {
    let mut results = results(&[[&[1.0], &[2.0], &[4.0]], [&[1.0], &[2.0], &[4.0]]]);
    results.workloads[0].name = "burst/freed".into();
    results.workloads[1].name = "burst-like".into();
    let whole = Workload { name: "burst".into(), ..results.workloads[0].clone() };
    results.workloads.push(whole);
    results.failures.push(Failure { workload: 2, allocator: 0, why: "signal 11".into() });
    let table = time(&results);
    assert_eq!(table.rows[0].figures[0], None);
    assert!(table.rows[1].figures[0].is_some());
    assert_eq!(failure(&results, 0, 0).unwrap().why, "signal 11");
}

#[test]
fn a_row_without_the_measure_is_left_out() {
    let mut results = results(&[[&[1.0], &[2.0], &[4.0]], [&[64.0], &[32.0], &[16.0]]]);
    results.workloads[1].metric = Metric::Kib;
    assert_eq!(time(&results).rows.len(), 1);
    let memory = table(&results, Measure::Memory);
    let medians = |row: usize| {
        memory.rows[row].figures.iter().map(|f| f.as_ref().unwrap().value.median).collect()
    };
    let [timed, own]: [Vec<f64>; 2] = [medians(0), medians(1)];
    assert_eq!(timed, [100.0, 200.0, 300.0]);
    assert_eq!(own, [64.0, 32.0, 16.0]);
}

#[test]
fn a_row_that_times_single_calls_is_in_no_table() {
    let mut results = results(&[[&[1.0], &[2.0], &[4.0]], [&[9.0], &[2.0], &[4.0]]]);
    let mut latency = crate::report::fixture::results().latencies.remove(0);
    latency.workload = 1;
    results.latencies.push(latency);
    for measure in [Measure::Time, Measure::Memory] {
        let rows: Vec<_> = table(&results, measure).rows.iter().map(|r| r.workload).collect();
        assert_eq!(rows, [0]);
    }
}

#[test]
fn a_peak_that_was_not_seen_is_no_figure() {
    let mut results = results(&[[&[1.0], &[2.0], &[4.0]]]);
    results.cells[0].samples[0].peak_kib = 0;
    let memory = table(&results, Measure::Memory);
    assert_eq!(memory.rows[0].figures[0], None);
    assert_eq!(memory.rows[0].figures[1].as_ref().unwrap().ratio.unwrap().median, 1.0);
}

#[test]
fn nothing_is_a_multiple_of_zero() {
    let table = time(&results(&[[&[0.0], &[2.0], &[]]]));
    assert_eq!(table.rows[0].figures[1].as_ref().unwrap().ratio, None);
    assert_eq!(table.means, [None, None, None]);
}

#[test]
fn a_round_whose_best_is_zero_has_no_mean() {
    let mean = time(&results(&[[&[1.0, 0.0], &[2.0, 2.0], &[]]])).means[1].unwrap();
    assert_eq!(mean.value, Spread { median: 2.0, min: 2.0, max: 2.0 });
}

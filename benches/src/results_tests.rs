//! Results go through JSON and come back; damaged ones are refused by name.

use super::*;

fn even(value: f64) -> Spread {
    Spread { median: value, min: value - 0.25, max: value + 0.5 }
}

fn every_kind_of_figure() -> Results {
    let allocator = |name: &str, kind| Allocator {
        name: name.into(),
        kind,
        version: "1.2".into(),
        path: Some("/opt/with space/lib\"a\".so".into()),
        note: String::new(),
        absent: None,
    };
    let mut results = Results::new(
        Run { commit: Some("abc".into()), scale: 0.1, seconds: 1e-3, ..Run::default() },
        vec![allocator("ours", Kind::Ours), allocator("glibc", Kind::System)],
    );
    results.allocators[1].absent = Some("not <there>".into());
    results.workloads.push(Workload {
        name: "pair/16/1t".into(),
        family: "pair".into(),
        threads: 1,
        metric: Metric::Nanoseconds,
        about: "two lines\nof text".into(),
        ops: u64::MAX,
    });
    let sample = Sample { value: 0.1 + 0.2, minflt: 7, disturbed: true, ..Sample::default() };
    results.cells.push(Cell { workload: 0, allocator: 0, samples: vec![sample] });
    results.latencies.push(LatencyCell {
        workload: 0,
        allocator: 0,
        op: Op::Free,
        clock_ns: 21.5,
        n: 10,
        p50: even(20.0),
        p90: even(30.0),
        p99: even(40.0),
        p999: even(50.0),
        max: even(60.0),
        histogram: vec![(16.0, 9), (64.0, 1)],
    });
    let points = vec![(0.0, 4), (20.5, 1 << 40)];
    results.timelines.push(Timeline { workload: 0, allocator: 0, points });
    results.failures.push(Failure { workload: 0, allocator: 1, why: "signal 11".into() });
    results
}

#[test]
fn results_survive_writing_and_reading() {
    let results = every_kind_of_figure();
    assert_eq!(Results::from_json(&results.to_json().unwrap()), Ok(results));
}

#[test]
fn another_schema_is_refused_by_its_number() {
    let text = every_kind_of_figure().to_json().unwrap().replace("\"schema\":1", "\"schema\":7");
    let why = Results::from_json(&text).unwrap_err();
    assert!(why.starts_with("results have schema 7, and this program reads 1"), "{why}");
}

#[test]
fn a_figure_without_its_row_is_refused() {
    let mut results = every_kind_of_figure();
    results.failures[0].allocator = 2;
    let why = Results::from_json(&results.to_json().unwrap()).unwrap_err();
    assert!(why.contains("workload 0 and allocator 2"), "{why}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let why = Results::read(Path::new("/nowhere/results.json")).unwrap_err();
    assert!(why.starts_with("/nowhere/results.json: "), "{why}");
}

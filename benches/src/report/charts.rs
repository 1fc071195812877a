//! From results to charts of lines: memory over time, latency, threads.

use super::derive::Table;
use super::lines::{Axis, Chart, Series};
use super::number::{count, kib, nanoseconds, trimmed};
use super::svg::{log_ticks, ticks};
use crate::results::{LatencyCell, Op, Results, Timeline};

/// Points of a line on a page; more would not be seen.
const POINTS_MAX: usize = 240;

/// Charts with their captions.
pub(crate) type Captioned = Vec<(String, String, Chart)>;

fn most(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

fn axis(log: bool, range: (f64, f64), title: &str, number: impl Fn(f64) -> String) -> Axis {
    let values = if log { log_ticks(range.0, range.1, 6.0) } else { ticks(range.0, range.1, 4.0) };
    let ticks = values.into_iter().map(|v| (v, number(v))).collect();
    Axis { log, range, ticks, title: title.to_owned() }
}

/// Of each few neighbours, the smallest and the largest, in their order.
fn thinned(points: &[(f64, u64)]) -> Vec<(f64, f64)> {
    let group = (points.len() * 2).div_ceil(POINTS_MAX).max(1);
    let mut out = Vec::new();
    for part in points.chunks(group) {
        let by = |p: &&(f64, u64)| p.1;
        if let (Some(low), Some(high)) = (part.iter().min_by_key(by), part.iter().max_by_key(by)) {
            let (a, b) = if low.0 <= high.0 { (low, high) } else { (high, low) };
            out.push((a.0, a.1 as f64));
            if a.0 < b.0 {
                out.push((b.0, b.1 as f64));
            }
        }
    }
    out
}

/// Without what was sampled when the process had ended already.
fn alive(timeline: &Timeline) -> &[(f64, u64)] {
    let end = timeline.points.iter().rposition(|p| p.1 > 0).map_or(0, |last| last + 1);
    &timeline.points[..end]
}

/// Resident memory over time, a chart for each workload.
pub(crate) fn timelines(results: &Results) -> Captioned {
    let mut charts = Vec::new();
    for (index, workload) in results.workloads.iter().enumerate() {
        let own: Vec<&Timeline> = results
            .timelines
            .iter()
            .filter(|t| t.workload == index && !alive(t).is_empty())
            .collect();
        if own.is_empty() {
            continue;
        }
        let points = || own.iter().flat_map(|t| alive(t));
        let end = most(points().map(|p| p.0)).max(1.0);
        let top = most(points().map(|p| p.1 as f64)).max(1.0);
        // Ticks of a round number of mebibytes, not of kibibytes.
        let unit = if top >= 2048.0 { 1024.0 } else { 1.0 };
        let y_ticks = ticks(0.0, top / unit, 4.0).into_iter();
        let y = Axis {
            log: false,
            range: (0.0, top),
            ticks: y_ticks.map(|v| (v * unit, format!("{v}"))).collect(),
            title: if unit > 1.0 { "MiB resident".into() } else { "KiB resident".into() },
        };
        let mut x = axis(false, (0.0, end / 1000.0), "seconds", |v| format!("{v}"));
        x.range = (0.0, end);
        x.ticks.iter_mut().for_each(|t| t.0 *= 1000.0);
        let series = own.iter().map(|t| Series {
            allocator: t.allocator,
            points: thinned(alive(t)),
            whiskers: Vec::new(),
        });
        let chart = Chart {
            label: format!("Resident memory over time, {}", workload.name),
            x,
            y,
            series: series.collect(),
            stepped: false,
            marked: false,
            guides: Vec::new(),
            level: None,
        };
        charts.push((workload.name.clone(), format!("peak {}", kib(top)), chart));
    }
    charts
}

/// Nines: 0 for no call, 1 for 90 %, 2 for 99 %, …
fn nines(share: f64) -> f64 {
    -(1.0 - share).max(1e-12).log10()
}

fn latency_points(cell: &LatencyCell) -> Vec<(f64, f64)> {
    let total = cell.histogram.iter().map(|b| b.1).sum::<u64>() as f64;
    let mut seen = 0;
    let mut points = Vec::new();
    for (bound, calls) in &cell.histogram {
        if points.is_empty() {
            points.push((0.0, *bound));
        }
        seen += calls;
        // The last call is the share of all, which lies infinitely far out.
        let share = (seen as f64).min(total - 0.5) / total;
        points.push((nines(share), *bound));
    }
    points
}

/// One call in how many: `10`, `1k`, `1M`.
fn one_in(nines: i32) -> String {
    let zeros = "0".repeat(nines as usize % 3);
    format!("1{zeros}{}", ["", "k", "M", "G"][(nines as usize / 3).min(3)])
}

/// Latency curves, a chart for each workload and call.
pub(crate) fn latencies(results: &Results) -> Captioned {
    let mut charts = Vec::new();
    for (index, workload) in results.workloads.iter().enumerate() {
        for op in [Op::Malloc, Op::Free] {
            let cells: Vec<&LatencyCell> = (results.latencies.iter())
                .filter(|c| c.workload == index && c.op == op && !c.histogram.is_empty())
                .collect();
            let Some(first) = cells.first() else { continue };
            let clock = first.clock_ns;
            let series: Vec<_> = cells
                .iter()
                .map(|c| Series {
                    allocator: c.allocator,
                    points: latency_points(c),
                    whiskers: Vec::new(),
                })
                .collect();
            let points = || series.iter().flat_map(|s| s.points.iter());
            let right = most(points().map(|p| p.0)).max(1.0);
            let top = most(points().map(|p| p.1)).max(2.0);
            let low = points().map(|p| p.1.max(1.0)).fold(clock.max(1.0), f64::min);
            let whole = (0..=right.floor() as i32).map(|n| (f64::from(n), one_in(n)));
            let known = [(0.9, "p90"), (0.99, "p99"), (0.999, "p99.9")];
            let guides = known.map(|(share, name)| (nines(share), name.to_owned()));
            let chart = Chart {
                label: format!("Latency of {} by percentile, {}", op.word(), workload.name),
                x: Axis {
                    log: false,
                    range: (0.0, right),
                    ticks: whole.collect(),
                    title: "one call in so many takes longer".into(),
                },
                y: axis(true, (low * 0.8, top * 1.1), "one call, log scale", |v| {
                    trimmed(&nanoseconds(v))
                }),
                series,
                stepped: true,
                marked: false,
                guides: guides.into_iter().filter(|g| g.0 <= right).collect(),
                level: (clock > 0.0).then(|| (clock, "the clock alone".to_owned())),
            };
            let calls = format!("{} calls in a round", count(first.n as f64));
            charts.push((format!("{} · {}", op.word(), workload.name), calls, chart));
        }
    }
    charts
}

/// The name without its thread count, where it ends in one.
fn without_threads(name: &str, threads: usize) -> Option<&str> {
    name.strip_suffix(&format!("/{threads}t"))
}

/// Throughput over threads, a chart for each group of rows that differ in nothing else.
pub(crate) fn scaling(results: &Results, time: &Table) -> Captioned {
    let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
    for (n, row) in time.rows.iter().enumerate() {
        let workload = &results.workloads[row.workload];
        let Some(stem) = without_threads(&workload.name, workload.threads) else { continue };
        match groups.iter_mut().find(|(known, _)| *known == stem) {
            Some((_, rows)) => rows.push(n),
            None => groups.push((stem, vec![n])),
        }
    }
    let mut charts = Vec::new();
    for (stem, mut rows) in groups.into_iter().filter(|(_, rows)| rows.len() > 1) {
        let threads = |n: &usize| results.workloads[time.rows[*n].workload].threads;
        rows.sort_by_key(threads);
        let mut series = Vec::new();
        for allocator in 0..results.allocators.len() {
            let mut line = Series { allocator, points: Vec::new(), whiskers: Vec::new() };
            for n in &rows {
                let Some(figure) = &time.rows[*n].figures[allocator] else { continue };
                let (x, v) = (threads(n) as f64, figure.value);
                if v.min > 0.0 {
                    line.points.push((x, 1000.0 / v.median));
                    line.whiskers.push((x, 1000.0 / v.max, 1000.0 / v.min));
                }
            }
            if !line.points.is_empty() {
                series.push(line);
            }
        }
        let top = most(series.iter().flat_map(|s| s.whiskers.iter().map(|w| w.2)));
        if top <= 0.0 {
            continue;
        }
        let counts: Vec<_> = rows.iter().map(|n| threads(n) as f64).collect();
        let range = (counts[0] * 0.85, counts[counts.len() - 1] * 1.1);
        let chart = Chart {
            label: format!("Operations per second by threads, {stem}"),
            x: Axis {
                log: true,
                range,
                ticks: counts.iter().map(|c| (*c, format!("{c}"))).collect(),
                title: format!("threads on {} CPUs", results.run.cpus),
            },
            y: axis(false, (0.0, top), "million operations per second", |v| format!("{v}")),
            series,
            stepped: false,
            marked: true,
            guides: Vec::new(),
            level: None,
        };
        charts.push((stem.to_owned(), String::new(), chart));
    }
    charts
}

#[cfg(test)]
mod tests {
    use super::super::{Measure, derive, fixture};
    use super::*;
    use crate::stats::Spread;

    #[test]
    fn percentiles_run_up_to_the_last_call_but_not_to_infinity() {
        let zero = Spread::default();
        let cell = LatencyCell {
            workload: 0,
            allocator: 0,
            op: Op::Free,
            clock_ns: 1.0,
            n: 1000,
            p50: zero,
            p90: zero,
            p99: zero,
            p999: zero,
            max: zero,
            histogram: vec![(10.0, 900), (20.0, 90), (5000.0, 10)],
        };
        let points = latency_points(&cell);
        let expected = [(0.0, 10.0), (1.0, 10.0), (2.0, 20.0), (3.301, 5000.0)];
        assert_eq!(points.len(), expected.len());
        for (point, wanted) in points.iter().zip(expected) {
            assert!((point.0 - wanted.0).abs() < 1e-3 && point.1 == wanted.1, "{points:?}");
        }
    }

    #[test]
    fn a_line_ends_where_the_process_did() {
        let points = vec![(0.0, 0), (20.0, 400), (40.0, 300), (60.0, 0), (80.0, 0)];
        let timeline = Timeline { workload: 0, allocator: 0, points };
        assert_eq!(alive(&timeline), [(0.0, 0), (20.0, 400), (40.0, 300)]);
    }

    #[test]
    fn rare_calls_are_counted_in_short_words() {
        assert_eq!(
            [0, 1, 2, 3, 5, 6, 7].map(one_in),
            ["1", "10", "100", "1k", "100k", "1M", "10M"]
        );
    }

    #[test]
    fn thinning_keeps_the_peak_and_the_order() {
        let points: Vec<_> =
            (0..5000).map(|i| (f64::from(i), if i == 3333 { 900 } else { 5 })).collect();
        let thin = thinned(&points);
        assert!(thin.len() <= POINTS_MAX, "{}", thin.len());
        assert!(thin.contains(&(3333.0, 900.0)));
        assert!(thin.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(thinned(&points[..3]).len(), 3);
    }

    #[test]
    fn only_rows_that_differ_in_threads_alone_are_one_line() {
        let results = fixture::results();
        let charts = scaling(&results, &derive::table(&results, Measure::Time));
        let names: Vec<_> = charts.iter().map(|c| c.0.as_str()).collect();
        assert!(names.contains(&"random/small") && names.contains(&"larson"), "{names:?}");
        assert!(!names.iter().any(|n| n.starts_with("prodcons") || n.starts_with("batch")));
        let small = &charts.iter().find(|c| c.0 == "random/small").unwrap().2;
        let threads: Vec<_> = small.series[0].points.iter().map(|p| p.0).collect();
        assert_eq!(threads, [1.0, 2.0, 8.0, 64.0]);
    }
}

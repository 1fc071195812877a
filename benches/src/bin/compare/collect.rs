//! From the runs' findings to the results.
//!
//! ```text
//!   a run's findings                             in the results
//!     Figure  name, metric, sample        ──▶  workload, cell: a sample per round
//!     Latency name, op, percentiles       ──▶  workload, latency cell: spreads over the rounds
//!     points of the resident set          ──▶  timeline: the first round that nobody disturbed
//! ```

use cidalloc_benches::catalog::{Kind, Row};
use cidalloc_benches::record::{self, Record};
use cidalloc_benches::results::{
    Allocator, Cell, Failure, LatencyCell, Metric, Op, Results, Run, Sample, Timeline, Workload,
};
use cidalloc_benches::stats::{Spread, spread};

use crate::noise::{CORE_SHARE_MAX, Noise};

/// One latency line, out of its text.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    op: Op,
    clock_ns: f64,
    n: u64,
    /// p50, p90, p99, p99.9, max.
    ranks: [f64; 5],
    histogram: Vec<(f64, u64)>,
}

/// One thing that a run found out.
#[derive(Clone, Debug)]
pub(crate) enum Finding {
    Figure { name: String, metric: Metric, ops: u64, sample: Sample },
    Latency { name: String, calls: Calls },
}

impl Finding {
    pub(crate) fn of_record(record: &Record<'_>) -> Self {
        let (metric, wall_ns) = match record.metric {
            record::Metric::Nanoseconds => (Metric::Nanoseconds, record.value),
            record::Metric::Kib => (Metric::Kib, 0.0),
        };
        let sample = Sample {
            value: record.value,
            wall_ns,
            user_ns: record.user,
            sys_ns: record.sys,
            asked_kib: record.asked_kib,
            peak_kib: record.peak_kib,
            end_kib: record.end_kib,
            minflt: record.minflt,
            majflt: record.majflt,
            vcsw: record.vcsw,
            icsw: record.icsw,
            ..Sample::default()
        };
        Self::Figure { name: record.name.to_owned(), metric, ops: record.ops, sample }
    }

    pub(crate) fn of_latency(line: &record::Latency<'_>) -> Self {
        let calls = Calls {
            op: line.op,
            clock_ns: line.clock_ns,
            n: line.n,
            ranks: [line.p50, line.p90, line.p99, line.p999, line.max],
            histogram: line.buckets().collect(),
        };
        Self::Latency { name: line.name.to_owned(), calls }
    }
}

/// What one run gave.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) findings: Vec<Finding>,
    pub(crate) noise: Noise,
    pub(crate) points: Vec<(f64, u64)>,
}

/// The latency lines of one workload, allocator and call, one per round.
struct Rounds {
    workload: usize,
    allocator: usize,
    calls: Vec<Calls>,
}

/// What the values of a row count, where no finding says so.
const fn metric(row: &Row) -> Metric {
    match row.kind() {
        Kind::Memory => Metric::Kib,
        Kind::Program => Metric::Seconds,
        Kind::Time | Kind::Latency => Metric::Nanoseconds,
    }
}

/// Results that grow.
pub(crate) struct Collector {
    pub(crate) results: Results,
    latencies: Vec<Rounds>,
    /// Whether the timeline of the same index was disturbed.
    timelines_disturbed: Vec<bool>,
}

impl Collector {
    pub(crate) fn new(mut run: Run, allocators: Vec<Allocator>) -> Self {
        run.noise.limit = CORE_SHARE_MAX;
        let results = Results::new(run, allocators);
        Self { results, latencies: Vec::new(), timelines_disturbed: Vec::new() }
    }

    /// Index of a workload, which may be new.
    fn know(&mut self, row: &Row, name: &str, metric: Metric, ops: u64) -> usize {
        let workloads = &mut self.results.workloads;
        if let Some(at) = workloads.iter().position(|known| known.name == name) {
            return at;
        }
        workloads.push(Workload {
            name: name.to_owned(),
            family: row.family().to_owned(),
            threads: row.threads,
            metric,
            about: row.about().to_owned(),
            ops,
        });
        workloads.len() - 1
    }

    /// Counts a run, whether it will be kept or not.
    pub(crate) fn count(&mut self, noise: Noise) {
        let total = &mut self.results.run.noise;
        total.runs += 1;
        total.steal_ms += noise.steal * 1e3;
        total.foreign_ms += noise.foreign * 1e3;
    }

    pub(crate) fn add(&mut self, row: &Row, allocator: usize, round: u32, outcome: Outcome) {
        let disturbed = outcome.noise.disturbed;
        self.results.run.noise.disturbed += u64::from(disturbed);
        for finding in outcome.findings {
            match finding {
                Finding::Figure { name, metric, ops, sample } => {
                    let workload = self.know(row, &name, metric, ops);
                    self.cell(workload, allocator).samples.push(Sample {
                        round,
                        disturbed,
                        ..sample
                    });
                }
                Finding::Latency { name, calls } => {
                    let workload = self.know(row, &name, Metric::Nanoseconds, calls.n);
                    self.rounds(workload, allocator, calls.op).push(calls);
                }
            }
        }
        if !outcome.points.is_empty() {
            let workload = self.know(row, row.name, metric(row), row.ops);
            self.timeline(Timeline { workload, allocator, points: outcome.points }, disturbed);
        }
    }

    pub(crate) fn fail(&mut self, row: &Row, allocator: usize, why: String) {
        let workload = self.know(row, row.name, metric(row), row.ops);
        self.results.failures.push(Failure { workload, allocator, why });
    }

    /// A row that cannot be run here, whatever the allocator.
    pub(crate) fn missing(&mut self, row: &Row, why: &str) {
        let workload = self.know(row, row.name, metric(row), row.ops);
        self.results.workloads[workload].about += &format!(" Not run here: {why}.");
    }

    fn cell(&mut self, workload: usize, allocator: usize) -> &mut Cell {
        let cells = &mut self.results.cells;
        let at = cells.iter().position(|c| (c.workload, c.allocator) == (workload, allocator));
        let at = at.unwrap_or_else(|| {
            cells.push(Cell { workload, allocator, samples: Vec::new() });
            cells.len() - 1
        });
        &mut cells[at]
    }

    fn rounds(&mut self, workload: usize, allocator: usize, op: Op) -> &mut Vec<Calls> {
        let same = |rounds: &Rounds| {
            let key = (rounds.workload, rounds.allocator, rounds.calls[0].op);
            key == (workload, allocator, op)
        };
        let at = self.latencies.iter().position(same).unwrap_or_else(|| {
            self.latencies.push(Rounds { workload, allocator, calls: Vec::new() });
            self.latencies.len() - 1
        });
        &mut self.latencies[at].calls
    }

    fn timeline(&mut self, timeline: Timeline, disturbed: bool) {
        let key = (timeline.workload, timeline.allocator);
        let timelines = &mut self.results.timelines;
        match timelines.iter().position(|known| (known.workload, known.allocator) == key) {
            None => {
                timelines.push(timeline);
                self.timelines_disturbed.push(disturbed);
            }
            Some(at) if self.timelines_disturbed[at] && !disturbed => {
                timelines[at] = timeline;
                self.timelines_disturbed[at] = false;
            }
            Some(_) => {}
        }
    }

    /// The results, with what is derived over all rounds.
    pub(crate) fn finish(mut self) -> Results {
        self.results.latencies = self.latencies.iter().filter_map(over_rounds).collect();
        // Not in the order of the runs, which differs from row to row.
        self.results.latencies.sort_by_key(|c| (c.workload, c.allocator));
        self.results.cells.sort_by_key(|c| (c.workload, c.allocator));
        self.results.timelines.sort_by_key(|t| (t.workload, t.allocator));
        self.results
    }
}

fn over_rounds(rounds: &Rounds) -> Option<LatencyCell> {
    let Rounds { workload, allocator, calls } = rounds;
    let rank = |i: usize| spread(calls.iter().map(|c| c.ranks[i]));
    let p99: Spread = rank(2)?;
    let shown = calls.iter().min_by(|a, b| {
        (a.ranks[2] - p99.median).abs().total_cmp(&(b.ranks[2] - p99.median).abs())
    })?;
    Some(LatencyCell {
        workload: *workload,
        allocator: *allocator,
        op: shown.op,
        clock_ns: spread(calls.iter().map(|c| c.clock_ns))?.median,
        n: shown.n,
        p50: rank(0)?,
        p90: rank(1)?,
        p99,
        p999: rank(3)?,
        max: rank(4)?,
        histogram: shown.histogram.clone(),
    })
}

#[cfg(test)]
mod tests {
    use cidalloc_benches::catalog::find;

    use super::*;

    fn collector() -> Collector {
        Collector::new(Run::default(), Vec::new())
    }

    fn figure(value: f64) -> Outcome {
        let line = format!(
            "cidbench name=pair/64/1t metric=ns value={value} cpu=1 ops=7 asked_kib=0 peak_kib=9 \
             end_kib=8 minflt=1 user=2 sys=3 majflt=4 vcsw=5 icsw=6 lib=x"
        );
        let findings = vec![Finding::of_record(&Record::parse(&line).unwrap())];
        Outcome { findings, ..Outcome::default() }
    }

    fn latency(p99: f64) -> Outcome {
        let line = format!(
            "cidlatency name=latency/small/1t op=free clock_ns=8 n=10 p50=1 p90=2 p99={p99} p999=9 \
             max=99 hist={p99}:10 lib=x"
        );
        let findings = vec![Finding::of_latency(&record::Latency::parse(&line).unwrap())];
        Outcome { findings, ..Outcome::default() }
    }

    #[test]
    fn rounds_of_one_workload_and_allocator_share_a_cell() {
        let row = find("pair/64/1t").unwrap();
        let mut collector = collector();
        for (allocator, round, value) in [(0, 0, 5.0), (1, 0, 6.0), (0, 1, 7.0)] {
            collector.add(row, allocator, round, figure(value));
        }
        let results = collector.finish();
        assert_eq!((results.workloads.len(), results.cells.len()), (1, 2));
        assert_eq!((results.workloads[0].ops, results.workloads[0].threads), (7, 1));
        let [first, second] = results.cells[0].samples[..] else { panic!("two samples") };
        assert_eq!((first.value, second.value, second.round), (5.0, 7.0, 1));
        assert_eq!((first.user_ns, first.sys_ns, first.icsw, first.end_kib), (2.0, 3.0, 6, 8));
    }

    #[test]
    fn latencies_have_spreads_and_the_histogram_of_the_median_round() {
        let row = find("latency/small/1t").unwrap();
        let mut collector = collector();
        for (round, p99) in [40.0, 90.0, 50.0].into_iter().enumerate() {
            collector.add(row, 0, u32::try_from(round).unwrap(), latency(p99));
        }
        let results = collector.finish();
        assert!(results.cells.is_empty());
        let [cell] = &results.latencies[..] else { panic!("one cell") };
        assert_eq!((cell.p99.min, cell.p99.median, cell.p99.max), (40.0, 50.0, 90.0));
        assert_eq!((cell.op, cell.n, cell.histogram.as_slice()), (Op::Free, 10, &[(50.0, 10)][..]));
    }

    #[test]
    fn a_timeline_is_of_the_first_round_that_nobody_disturbed() {
        let row = find("larson/8t").unwrap();
        let mut collector = collector();
        for (round, disturbed) in [true, false, false].into_iter().enumerate() {
            let noise = Noise { disturbed, ..Noise::default() };
            let points = vec![(0.0, round as u64)];
            let outcome = Outcome { noise, points, ..Outcome::default() };
            collector.add(row, 0, u32::try_from(round).unwrap(), outcome);
        }
        let results = collector.finish();
        assert_eq!(results.run.noise.disturbed, 1);
        let [timeline] = &results.timelines[..] else { panic!("one timeline") };
        assert_eq!(timeline.points, [(0.0, 1)]);
    }

    #[test]
    fn a_failure_and_a_missing_program_make_their_row_known() {
        let row = find("pair/64/1t").unwrap();
        let mut collector = collector();
        collector.fail(row, 3, "signal 11".to_owned());
        collector.missing(find("once").unwrap(), "no cc");
        let results = collector.finish();
        assert_eq!(results.failures[0].why, "signal 11");
        assert!(results.workloads[1].about.ends_with("Not run here: no cc."));
    }
}

//! `workload ROW [--scale F]` runs one row of the catalogue in this process and prints
//! its records; `workload --list` prints the names. Which allocator is measured is the
//! dynamic linker's decision.

mod aligned;
mod alloctest;
mod batch;
mod burst;
mod cachelines;
mod churn;
mod clock;
mod drift;
mod grow;
mod handover;
mod heap;
mod histogram;
mod idle;
mod large;
mod larson;
mod latency;
mod leak;
mod meter;
mod mleak;
mod mstress;
mod pair;
mod proc;
mod random;
mod rng;
mod rptest;
mod simple;
mod smartheap;
mod table;
mod threads;
mod zeroed;

use core::fmt::Write;

use cidalloc_benches::catalog::{ROWS, Row, Work, find};
use cidalloc_benches::record::{Metric, Record};
use meter::Timed;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        proc::die("usage: workload ROW [--scale F]; the rows: workload --list");
    };
    if name == "--list" {
        ROWS.iter().for_each(|row| println!("{}", row.name));
        return;
    }
    if name == leak::FLAG {
        let threads = arguments.next().and_then(|text| text.parse().ok());
        leak::child(threads.unwrap_or(1));
    }
    let Some(row) = find(&name) else {
        proc::die("no such row; the rows: workload --list");
    };
    let scale = match (arguments.next().as_deref(), arguments.next()) {
        (None, None) => 1.0,
        (Some("--scale"), Some(text)) => match text.parse::<f64>() {
            Ok(scale) if scale > 0.0 && scale <= 1000.0 => scale,
            _ => proc::die("--scale wants a number above 0 and up to 1000"),
        },
        _ => proc::die("usage: workload ROW [--scale F]"),
    };
    let ops = ((row.ops as f64 * scale) as u64).max(row.threads as u64);
    match run(row, ops) {
        Some(time) => send(row.name, &Figure::of(&time)),
        None => memory(row, scale),
    }
}

/// Runs a timed row; `None` for rows that measure memory.
fn run(row: &Row, ops: u64) -> Option<Timed> {
    let threads = row.threads;
    Some(match row.work {
        Work::Pair { size } => pair::run(size, threads, ops),
        Work::Batch { count, order, touch } => batch::run(count, order, touch, ops),
        Work::Random { mix } => random::run(mix, threads, ops),
        Work::Handover { producers, consumers } => handover::run(producers, consumers, ops),
        Work::Larson => larson::run(threads, ops),
        Work::Mstress => mstress::run(threads, ops),
        Work::Rptest => rptest::run(threads, ops),
        Work::Sh6 => smartheap::sh6(threads, ops),
        Work::Sh8 => smartheap::sh8(threads, ops),
        Work::CacheScratch => cachelines::run(threads, true, ops),
        Work::CacheThrash => cachelines::run(threads, false, ops),
        Work::Large { touch } => large::run(touch, ops),
        Work::GrowDoubling => grow::run(true, ops),
        Work::GrowByOne => grow::run(false, ops),
        Work::Calloc { size } => zeroed::run(size, ops),
        Work::Aligned { align } => aligned::run(align, ops),
        Work::Churn => churn::run(threads, ops),
        Work::AllocTest => alloctest::run(threads, ops),
        Work::Simple { count, company } => simple::run(count, company, ops),
        Work::Mleak => mleak::run(threads, ops),
        Work::Leak => leak::run(threads, ops),
        Work::Latency { large } => {
            latency::run(large, threads, ops, |op, figures| figures.send(row.name, op))
        }
        Work::Idle { .. } | Work::Burst | Work::Drift | Work::Once | Work::Program(_) => {
            return None;
        }
    })
}

/// Runs a memory row and sends its records.
fn memory(row: &Row, scale: f64) {
    let kib = |name: &str, rss, asked_kib| {
        let metric = Metric::Kib;
        send(name, &Figure { metric, value: rss as f64, time: Timed::default(), asked_kib });
    };
    match row.work {
        Work::Idle { keep } => {
            let idle::Waiting { rss_kib, asked_kib } = idle::run(keep, row.threads);
            kib(row.name, rss_kib, asked_kib);
        }
        Work::Burst => burst::run(scale, kib),
        Work::Drift => {
            let found = drift::run(row.threads, scale);
            kib(row.name, found.rss_kib, found.live_kib);
            let mut freed: proc::Line = proc::Line::new();
            let _ = write!(freed, "{}/freed", row.name);
            kib(freed.as_str(), found.freed_kib, 0);
        }
        _ => proc::die("this row is not for workload: compare runs it as a program of its own"),
    }
}

/// What a record is about.
struct Figure {
    metric: Metric,
    value: f64,
    time: Timed,
    asked_kib: u64,
}

impl Figure {
    fn of(time: &Timed) -> Self {
        let value = time.per_op(time.wall_ns);
        Self { metric: Metric::Nanoseconds, value, time: *time, asked_kib: 0 }
    }
}

fn send(name: &str, figure: &Figure) {
    let Figure { metric, value, time, asked_kib } = *figure;
    let mut record = Record {
        name,
        metric,
        value,
        cpu: time.per_op(time.cpu_ns),
        ops: time.ops,
        asked_kib,
        end_kib: proc::rss_kib(),
        peak_kib: proc::peak_kib(),
        minflt: proc::Usage::of_self().minflt,
        user: time.per_op(time.usage.user_ns),
        sys: time.per_op(time.usage.sys_ns),
        majflt: time.usage.majflt,
        vcsw: time.usage.vcsw,
        icsw: time.usage.icsw,
        lib: proc::malloc_library(),
    };
    if let Some(children) = time.children {
        // The work was theirs, and they freed nothing.
        record.peak_kib = children.peak_kib;
        record.end_kib = children.peak_kib;
        record.minflt = children.minflt;
    }
    let mut line: proc::Line = proc::Line::new();
    if write!(line, "{record}").is_err() {
        proc::die("the path of the allocator's library is too long for a record");
    }
    line.send(1);
}

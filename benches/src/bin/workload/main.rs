//! `workload ROW [--scale F]` runs one row of the catalogue in this process and prints
//! its records; `workload --list` prints the names. Which allocator is measured is the
//! dynamic linker's decision.

mod aligned;
mod batch;
mod burst;
mod cachelines;
mod churn;
mod grow;
mod handover;
mod heap;
mod idle;
mod large;
mod larson;
mod meter;
mod mstress;
mod pair;
mod proc;
mod random;
mod rng;
mod rptest;
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
        Some(time) => {
            let per_op = |ns: u64| ns as f64 / time.ops.max(1) as f64;
            send(
                row.name,
                Metric::Nanoseconds,
                per_op(time.wall_ns),
                per_op(time.cpu_ns),
                time.ops,
                0,
            );
        }
        None => memory(row),
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
        Work::Idle { .. } | Work::Burst | Work::Once => return None,
    })
}

/// Runs a memory row and sends its records.
fn memory(row: &Row) {
    let kib = |name: &str, rss: u64, asked: u64| send(name, Metric::Kib, rss as f64, 0.0, 0, asked);
    match row.work {
        Work::Idle { keep } => {
            let idle::Waiting { rss_kib, asked_kib } = idle::run(keep, row.threads);
            kib(row.name, rss_kib, asked_kib);
        }
        Work::Burst => burst::run(kib),
        _ => proc::die("this row is not for workload: it is a program that compare builds"),
    }
}

fn send(name: &str, metric: Metric, value: f64, cpu: f64, ops: u64, asked_kib: u64) {
    let record = Record {
        name,
        metric,
        value,
        cpu,
        ops,
        asked_kib,
        end_kib: proc::rss_kib(),
        peak_kib: proc::peak_kib(),
        minflt: proc::minor_faults(),
        lib: proc::malloc_library(),
    };
    let mut line = proc::Line::new();
    if write!(line, "{record}").is_err() {
        proc::die("the path of the allocator's library is too long for a record");
    }
    line.send(1);
}

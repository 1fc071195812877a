//! The stress run for minutes or hours, and whether anything grows; `tests/soak` starts it.
//!
//! ```text
//!  leg     a process of its own, with one source of cids
//!  round   all phases, one after the other: other threads, sizes, and what runs beside
//!  phase   the stress run ─► all is freed, checked and trimmed ─► validate ─► a sample: one line
//!  end     of each column the least value of each round ─► trend ─► grown or not
//! ```
//!
//! After each phase exactly nothing may be live, and no span and no dirty page left; the others must
//! come back to their level after the warm-up, within the bounds of `BOUNDS`, by the test of
//! `trend.rs`. The least value of a round, since what is left over by chance only adds.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `SOAK_SECONDS` | how long the leg is; at least [`ROUNDS_MIN`] rounds are made |
//! | `SOAK_PHASE_MS` | how long a phase is; else two hundred of them are a leg |
//! | `SOAK_NAME` | what the lines call the source |
//! | `SOAK_TIMES` | so many times the threads of `PHASES` |
//! | `SOAK_CSV` | the file to which each sample is added |
//! | `STRESS_SEED` | where all randomness comes from |
#![allow(unsafe_code)]

mod blocks;
mod disturb;
mod engine;
mod face;
mod sample;
mod signals;
mod trend;

use blocks::{Sizes, fail};
use cidalloc_tests::hung;
use core::fmt::Write as _;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use engine::Plan;
use face::Direct;
use sample::{COLUMNS, Sample};
use std::io::Write as _;
use std::time::Instant;
use trend::{Bound, ROUNDS_MIN, trend};

/// Threads, sizes, what runs beside.
const PHASES: [(u64, Sizes, &str); 6] = [
    (2, Sizes::Mixed, "signals,trim"),
    (24, Sizes::Small, "churn,trim"),
    (12, Sizes::Mixed, "signals,fork,trim"),
    (4, Sizes::Large, "trim"),
    (16, Sizes::Mixed, "signals,prof,churn,affinity"),
    (1, Sizes::Middle, ""),
];

/// What may differ between the first rounds after the warm-up and the last ones.
///
/// Not what is committed: it never falls, so it has the height of the highest peak of random sizes so
/// far, and records go on being broken. That no page of it is lost is looked at exactly.
const BOUNDS: [Bound; 7] = [
    // Stacks that libc keeps, the harness's own blocks, tables of a region whose end moved.
    Bound { name: "resident_kib", share: 0.10, plus: 4096.0 },
    Bound { name: "metadata_kib", share: 0.25, plus: 1024.0 },
    // Threads that were there at once, those on their way out among them.
    Bound { name: "lease_records", share: 0.25, plus: 32.0 },
    Bound { name: "lease_users", share: 0.0, plus: 1.0 },
    Bound { name: "shards_in_use", share: 0.0, plus: 1.0 },
    Bound { name: "arenas", share: 0.0, plus: 2.0 },
    Bound { name: "maps", share: 0.10, plus: 64.0 },
];
/// What is exactly this much after each phase.
const EXACT: [(&str, f64); 4] =
    [("live_bytes", 0.0), ("spans", 0.0), ("dirty_pages", 0.0), ("lost_pages", 0.0)];
/// What is as much after each phase as after the first one.
const CONSTANT: [&str; 2] = ["descriptors", "threads"];

fn column(name: &str) -> usize {
    COLUMNS.iter().position(|column| *column == name).expect("a column of samples")
}

#[test]
#[ignore = "is started by tests/soak, for as long as that says"]
fn leg() {
    engine::set_seed(engine::number("STRESS_SEED", 1));
    let length = Duration::from_secs(engine::number("SOAK_SECONDS", 60));
    // Where they are short, most of the time goes to the checks.
    let phase_ms = (length.as_millis() as u64 / 200).max(500);
    let ms = engine::number("SOAK_PHASE_MS", phase_ms);
    let source = engine::variable("SOAK_NAME");
    let times = engine::number("SOAK_TIMES", 1);
    let mut csv = open(&engine::variable("SOAK_CSV"));
    std::thread::spawn(watch);
    let at_rest = sample::threads();
    let begin = Instant::now();
    let (heap, before) = engine::start(&Direct, true);
    let mut rounds: Vec<Vec<Sample>> = Vec::new();
    let (mut lives, mut operations) = (0, 0);
    while begin.elapsed() < length || rounds.len() < ROUNDS_MIN {
        let mut samples = Vec::new();
        for (number, &(threads, sizes, with)) in PHASES.iter().enumerate() {
            blocks::set_sizes(sizes);
            let board = engine::board();
            let plan = Plan { threads: threads * times, ms, with };
            let (done, peak) = with_peak(|| engine::work(&Direct, heap, &plan, &board));
            let census = engine::finish(&Direct, heap, board, true, &before);
            let sample = sample::take(heap, &census, at_rest);
            PHASES_DONE.fetch_add(1, Relaxed);
            lives += done.lives.load(Relaxed);
            let mut line = format!(
                "{:.0},{source},{},{number},{},{},{peak}",
                begin.elapsed().as_secs_f64(),
                rounds.len(),
                plan.threads,
                done.lives.load(Relaxed)
            );
            sample.iter().for_each(|value| _ = write!(line, ",{value}"));
            writeln!(csv, "{line}").expect("the file of samples can be written");
            judge_at_once(&sample, rounds.first().map(|round| &round[0]), &line);
            samples.push(sample);
        }
        rounds.push(samples);
        operations = cidalloc::stats::Snapshot::take(heap).events.fast_ops;
        // What is far above its bound need not go on to the end.
        if let Some(name) = BOUNDS.iter().find(|bound| far_above(&rounds, bound)) {
            fail!(
                "after {:.0} s {} is far above its first level",
                begin.elapsed().as_secs_f64(),
                name.name
            );
        }
    }
    judge(&rounds, &source, lives, operations);
}

/// Phases that have ended.
static PHASES_DONE: AtomicU64 = AtomicU64::new(0);

/// Ends a process that hangs, and says where it does: seconds are hours for the nicest of all.
fn watch() {
    const PATIENCE: Duration = Duration::from_secs(1800);
    loop {
        let before = PHASES_DONE.load(Relaxed);
        std::thread::sleep(PATIENCE);
        if PHASES_DONE.load(Relaxed) == before {
            let mut said = String::new();
            hung::look_at(std::process::id(), &mut said);
            fail!("not one phase ended in {} s:\n{said}", PATIENCE.as_secs());
        }
    }
}

/// Runs `work`, and says how much memory the process had at most, looked at ten times a second.
fn with_peak<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looker = scope.spawn(|| {
            let mut peak = sample::resident_kib();
            while !over.load(Relaxed) {
                std::thread::sleep(Duration::from_millis(100));
                peak = peak.max(sample::resident_kib());
            }
            peak
        });
        let result = work();
        over.store(true, Relaxed);
        (result, looker.join().expect("it only reads"))
    })
}

fn open(path: &str) -> std::fs::File {
    let path = if path.is_empty() { "/dev/null" } else { path };
    let mut file =
        std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap_or_else(|why| {
            panic!("SOAK_CSV={path}: {why}; name a file that can be written")
        });
    if file.metadata().is_ok_and(|about| about.len() == 0) {
        let columns = COLUMNS.join(",");
        writeln!(file, "seconds,source,round,phase,workers,lives,peak_kib,{columns}")
            .expect("the file of samples can be written");
    }
    file
}

fn judge_at_once(sample: &Sample, first: Option<&Sample>, line: &str) {
    for (name, value) in EXACT {
        if sample[column(name)] != value {
            fail!("after a phase {name} is {}, not {value}: {line}", sample[column(name)]);
        }
    }
    for name in CONSTANT {
        let (now, before) = (sample[column(name)], first.map(|first| first[column(name)]));
        if before.is_some_and(|before| now != before) {
            fail!("after a phase {name} is {now}, and was {before:?}: {line}");
        }
    }
}

/// The least value of each round.
fn least(rounds: &[Vec<Sample>], bound: &Bound) -> Vec<f64> {
    let of_round = |round: &Vec<Sample>| {
        round.iter().map(|sample| sample[column(bound.name)]).fold(f64::INFINITY, f64::min)
    };
    rounds.iter().map(of_round).collect()
}

fn far_above(rounds: &[Vec<Sample>], bound: &Bound) -> bool {
    trend(&least(rounds, bound), bound).is_some_and(|trend| trend.is_far_above)
}

/// The table of trends, and the verdict.
fn judge(rounds: &[Vec<Sample>], source: &str, lives: u64, operations: u64) {
    println!("{:>16} {:>12} {:>12} {:>12} {:>6}", source, "first", "last", "at most", "z");
    let mut grown = Vec::new();
    for bound in &BOUNDS {
        let trend = trend(&least(rounds, bound), bound).expect("enough rounds were made");
        let word = if trend.is_grown { "  GROWN" } else { "" };
        println!(
            "{:>16} {:>12.0} {:>12.0} {:>12.0} {:>6.2}{word}",
            bound.name, trend.first, trend.last, trend.most, trend.z
        );
        if trend.is_grown {
            grown.push(bound.name);
        }
    }
    let phases = rounds.len() * PHASES.len();
    println!("{source}: {phases} phases, {lives} threads, {operations} fast operations");
    if !grown.is_empty() {
        fail!("{} grew without a reason", grown.join(", "));
    }
    cidalloc_tests::reliability::line(
        "soak",
        "growth without a reason",
        &format!(
            "the stress test with other threads, sizes and company in each phase, cids: {source}"
        ),
        phases as u64,
        &format!(
            "all came back after each phase, in {lives} threads' lives and {operations} fast operations"
        ),
    );
    println!("ok: soak of {source}");
}

#[test]
fn a_leg_of_few_phases_comes_back() {
    let program = std::env::current_exe().expect("the path of this program");
    let output = std::process::Command::new(&program)
        .args(["--exact", "leg", "--ignored", "--nocapture", "--test-threads=1"])
        .envs([("SOAK_SECONDS", "1"), ("SOAK_PHASE_MS", "20")])
        .envs([("CIDALLOC_CID", "emulated"), ("SOAK_NAME", "emulated")])
        .output()
        .expect("this program can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("ok: soak of emulated"), "{said}");
}

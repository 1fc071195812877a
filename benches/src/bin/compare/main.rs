//! `compare` runs the workloads under each allocator and prints how they compare.
//!
//! ```text
//!   round 1: row 1 [A B C]  row 2 [A B C] …
//!   round 2: row 1 [B C A]  row 2 [B C A] …     so that drift hits all alike
//! ```

mod allocators;
mod child;
mod cli;
mod grid;
mod noise;
mod once;
mod report;
mod results;

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cidalloc_benches::catalog::{Row, Work, matching};
use cidalloc_benches::record::Record;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use allocators::{Allocator, Choice, choose};
use noise::Noise;
use results::{Measure, Results, Sample};

fn main() -> ExitCode {
    match compare(&cli::Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            eprintln!("compare: {why}");
            ExitCode::from(2)
        }
    }
}

/// All that a run needs besides its row and its allocator.
struct Setup {
    workload: PathBuf,
    scale: String,
    limit: Duration,
    /// Runs that may be repeated in all: a machine that is busy throughout gains nothing
    /// from more, and takes twice the time.
    repeats_max: usize,
    once: Option<Result<once::Program, String>>,
}

/// True where nothing failed.
fn compare(options: &cli::Options) -> Result<bool, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let beside = exe.parent().unwrap_or(Path::new("."));
    let ours = options.ours.clone().unwrap_or_else(|| beside.join("libcidmalloc.so"));
    let Choice { allocators, missing } = choose(&ours, &options.preload, &options.allocators)?;
    let rows: Vec<&Row> = matching(&options.filter).collect();
    if rows.is_empty() {
        return Err(
            "no row's name contains any part of --filter; the names: workload --list".into()
        );
    }
    let workload = beside.join("workload");
    if !workload.exists() {
        return Err(format!(
            "{} does not exist; build it: cargo build --release -p cidalloc-benches",
            workload.display()
        ));
    }
    let scale = options.scale.unwrap_or(if options.quick { 0.25 } else { 1.0 });
    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 3 });
    let total = rows.len() * allocators.len() * rounds as usize;
    let setup = Setup {
        workload,
        scale: scale.to_string(),
        limit: Duration::from_secs(options.limit),
        repeats_max: if options.no_repeat { 0 } else { total.div_ceil(4) },
        once: rows.iter().any(|row| row.work == Work::Once).then(once::build),
    };
    let head = heading(&allocators, &missing, rounds, scale);
    head.iter().for_each(|line| println!("{line}"));

    let results = run_all(&setup, &rows, &allocators, rounds);

    let mut markdown = format!("# Allocators compared\n\n- {}\n", head.join("\n- "));
    let mut tables = options.tables.clone();
    if results.disturbed * 4 > results.runs && !tables.contains(&Measure::Cpu) {
        println!("\nMuch was disturbed; CPU time suffers less from that, so its table comes too.");
        tables.push(Measure::Cpu);
    }
    for measure in &tables {
        if let Some(grid) = report::table(&results, &allocators, *measure) {
            print!("{}", grid.text());
            markdown += &grid.markdown();
        }
    }
    let closing = report::closing(&results, &allocators);
    println!();
    closing.iter().for_each(|line| println!("{line}"));
    markdown += &format!("\n- {}\n", closing.join("\n- "));
    let write = |path: &Option<PathBuf>, text: &str| match path {
        Some(path) => std::fs::write(path, text)
            .map_err(|error| format!("{} cannot be written: {error}", path.display())),
        None => Ok(()),
    };
    write(&options.csv, &report::csv(&results, &allocators))?;
    write(&options.markdown, &markdown)?;
    Ok(results.failures.is_empty())
}

/// What was compared with what, and where.
fn heading(allocators: &[Allocator], missing: &[String], rounds: u32, scale: f64) -> Vec<String> {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let mut lines = vec![format!(
        "{cpus} CPUs, Linux {}, huge pages {}; {rounds} rounds at scale {scale}",
        file("/proc/sys/kernel/osrelease"),
        file("/sys/kernel/mm/transparent_hugepage/enabled"),
    )];
    for allocator in allocators {
        lines.push(match &allocator.preload {
            Some(path) => {
                let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
                format!("{}: {}", allocator.name, real.display())
            }
            None => format!("{}: the C library, nothing preloaded", allocator.name),
        });
    }
    lines.extend(missing.iter().map(|line| format!("missing: {line}")));
    let tuning = ["CIDALLOC_", "MALLOC_", "MIMALLOC_", "TCMALLOC_", "GLIBC_TUNABLES"];
    for (key, value) in std::env::vars() {
        if tuning.iter().any(|prefix| key.starts_with(prefix)) {
            lines.push(format!("tuned by the environment: {key}={value}"));
        }
    }
    lines
}

fn run_all(setup: &Setup, rows: &[&Row], allocators: &[Allocator], rounds: u32) -> Results {
    let mut results = Results::default();
    let total = rows.len() * allocators.len() * rounds as usize;
    let style = ProgressStyle::with_template("{pos}/{len} {msg} [{elapsed} of about {duration}]");
    let bar = ProgressBar::new(total as u64);
    if let Ok(style) = style {
        bar.set_style(style);
    }
    for round in 0..rounds as usize {
        for row in rows {
            for turn in 0..allocators.len() {
                let column = (turn + round) % allocators.len();
                bar.set_message(format!("{} {}", row.name, allocators[column].name));
                measure(setup, row, allocators, column, &mut results);
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    results
}

/// One run of a row, repeated once where others disturbed it.
fn measure(
    setup: &Setup,
    row: &Row,
    allocators: &[Allocator],
    column: usize,
    results: &mut Results,
) {
    results.runs += 1;
    let once = || run_once(setup, row, &allocators[column]);
    let mut outcome = once();
    // Memory does not depend on who else runs.
    let timed = !matches!(row.work, Work::Idle { .. } | Work::Burst | Work::Once);
    let may_repeat = timed && results.repeated < setup.repeats_max;
    if let (true, Ok((_, noise))) = (may_repeat, &outcome)
        && noise.disturbed
    {
        results.repeated += 1;
        let first = noise.total();
        match once() {
            Ok((_, second)) if second.total() >= first => {}
            second => outcome = second,
        }
    }
    match outcome {
        Ok((samples, noise)) => {
            results.disturbed += usize::from(noise.disturbed && timed);
            samples.into_iter().for_each(|(name, mut sample)| {
                sample.noise.disturbed &= timed;
                results.add(&name, column, sample);
            });
        }
        Err(why) => results.fail(row.name, column, why),
    }
}

type Samples = Vec<(String, Sample)>;

fn run_once(setup: &Setup, row: &Row, allocator: &Allocator) -> Result<(Samples, Noise), String> {
    if let (Work::Once, Some(program)) = (row.work, &setup.once) {
        let program = program.as_ref().map_err(Clone::clone)?;
        let sample = once::run(program, allocator, setup.limit)?;
        return Ok((vec![(row.name.to_owned(), sample)], Noise::default()));
    }
    let preload = allocator.preload.as_deref();
    let arguments = [row.name, "--scale", &setup.scale];
    let output = child::run(&setup.workload, &arguments, preload, setup.limit)?;
    let mut samples = Vec::new();
    for record in output.text.lines().filter_map(Record::parse) {
        took_effect(record.lib, preload)?;
        samples.push((record.name.to_owned(), Sample::new(&record, output.noise)));
    }
    if samples.is_empty() {
        return Err("the workload printed no record".to_owned());
    }
    Ok((samples, output.noise))
}

/// Whether the file that served `malloc` is the one that was asked for.
fn took_effect(served: &str, preload: Option<&Path>) -> Result<(), String> {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let right = match preload {
        Some(library) => real(Path::new(served)) == real(library),
        None => served.contains("libc.so") || served.contains("libc-"),
    };
    if right {
        return Ok(());
    }
    Err(match served {
        "mixed" => {
            "the malloc family is served by more than one library: an export is missing".into()
        }
        _ => format!("the preload did not take effect: malloc came from {served}"),
    })
}

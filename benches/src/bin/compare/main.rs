//! `compare` runs the workloads under each allocator and shows how they compare.
//!
//! ```text
//!   cli ─▶ allocators ─▶ runs ──────────▶ collect ─▶ results.json, .csv, report.html, .svg, tables
//!            └ peers      ├ child, noise   (library: results, report)
//!                         ├ once
//!                         └ programs
//!   compare report: results.json ─▶ the rest      compare gate: gate
//! ```

mod allocators;
mod child;
mod cli;
mod collect;
mod folder;
mod gate;
mod interrupt;
mod machine;
mod noise;
mod once;
mod pace;
mod peers;
mod programs;
mod runs;

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use cidalloc_benches::catalog::{Row, Work, matching};
use cidalloc_benches::report::{self, Measure};
use cidalloc_benches::results::{Kind, Results};
use clap::Parser;

use allocators::{Column, OURS, Wanted};
use child::Job;
use collect::Collector;
use runs::Setup;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let ended = match &cli.command {
        None => compare(&cli.options),
        Some(cli::Command::Compare(options)) => compare(options.as_ref()),
        Some(cli::Command::Report(options)) => show_again(options),
        Some(cli::Command::Gate(options)) => gate::run(options),
    };
    if let Err(why) = &ended {
        eprintln!("compare: {why}");
    }
    match ended {
        _ if interrupt::asked() => ExitCode::from(130),
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(_) => ExitCode::from(2),
    }
}

/// True where nothing failed.
fn compare(options: &cli::Options) -> Result<bool, String> {
    let start = Instant::now();
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let beside = exe.parent().unwrap_or(Path::new("."));
    let target = beside.parent().unwrap_or(beside);
    let rows: Vec<&Row> = matching(&options.filter)
        .filter(|row| options.threads.is_empty() || options.threads.contains(&row.threads))
        // Whole programs cannot be scaled, and would take as long as all the rest.
        .filter(|row| !(options.quick && options.filter.is_empty() && is_program(row)))
        .collect();
    if rows.is_empty() {
        return Err(
            "no row has a name with any part of --filter and as many threads as --threads \
                    says; the names: workload --list"
                .to_owned(),
        );
    }
    let workload = beside.join("workload");
    build_missing(&workload, "cidalloc-benches");
    if !workload.exists() {
        return Err(format!(
            "{} does not exist; build it: cargo build --release -p cidalloc-benches",
            workload.display()
        ));
    }
    let setup = Setup {
        workload,
        scale: options.scale()?,
        limit: Duration::from_secs(options.limit),
        rounds: options.rounds(),
        repeat_share: match options {
            _ if options.no_repeat => 0.0,
            _ if options.quick => 0.1,
            _ => 0.25,
        },
    };
    let out = options.out.clone().unwrap_or_else(|| target.join("compare"));
    std::fs::create_dir_all(&out).map_err(|error| format!("--out {}: {error}", out.display()))?;
    interrupt::watch()?;

    let ours = options.ours.clone().unwrap_or_else(|| {
        let ours = beside.join("libcidmalloc.so");
        if options.allocators.is_empty() || options.allocators.iter().any(|name| name == OURS) {
            build_missing(&ours, "cidmalloc");
        }
        ours
    });
    let (files, names) = (&options.preload, &options.allocators);
    let wanted = Wanted { ours: &ours, files, names, target: &target.join("peers") };
    let mut columns = wanted.columns()?;
    if interrupt::asked() {
        return Err("interrupted before anything was measured".to_owned());
    }
    let mut run = machine::describe(setup.rounds, setup.scale);
    for column in &mut columns {
        ask(&setup, column, &mut run.cid_source);
    }
    for column in columns.iter().filter(|column| column.is_absent()) {
        let why = column.entry.absent.as_deref().unwrap_or_default();
        println!("absent: {}: {why}", column.entry.name);
    }
    let entries: Vec<_> = columns.iter().map(|column| column.entry.clone()).collect();
    let present = columns.iter().filter(|column| !column.is_absent()).count();
    println!(
        "{} workloads with {present} allocators, {} rounds at scale {}",
        rows.len(),
        setup.rounds,
        setup.scale
    );
    let mut collector = Collector::new(run, entries);
    runs::all(&setup, &rows, &columns, &mut collector);

    let mut results = collector.finish();
    results.run.interrupted = interrupt::asked();
    results.run.seconds = start.elapsed().as_secs_f64();
    let tables = tables(&results, &options.tables);
    print!("{}", report::text_of(&results, &tables));
    write(&out.join("results.json"), &results.to_json()?)?;
    write_report(&out, &results)?;
    if let Some(path) = &options.markdown {
        write(path, &report::markdown_of(&results, &tables))?;
    }
    println!("written to {}: results.json, {}", out.display(), REPORT.join(", "));
    Ok(results.failures.is_empty())
}

/// What is made of results.
const REPORT: [&str; 5] =
    ["results.csv", "report.html", "overview.svg", "means.svg", "scatter.svg"];

fn write_report(folder: &Path, results: &Results) -> Result<(), String> {
    let makers =
        [report::csv, report::html, report::svg_overview, report::svg_means, report::svg_scatter];
    for (name, make) in REPORT.iter().zip(makers) {
        write(&folder.join(name), &make(results))?;
    }
    Ok(())
}

fn is_program(row: &Row) -> bool {
    matches!(row.work, Work::Program(_))
}

/// Builds a file that belongs beside this program, where `cargo run` built this one alone.
fn build_missing(file: &Path, package: &str) {
    let (Some(cargo), Some(folder)) = (std::env::var_os("CARGO"), file.parent()) else { return };
    if file.exists() {
        return;
    }
    let mut command = std::process::Command::new(cargo);
    command.args(["build", "--package", package, "--target-dir"]);
    command.arg(folder.parent().unwrap_or(folder)).current_dir(env!("CARGO_MANIFEST_DIR"));
    if folder.ends_with("release") {
        command.arg("--release");
    }
    // Cargo says itself what fails, and the file's absence is what counts.
    let _ = command.status();
}

/// Lets two allocators say of themselves what bears on their figures.
fn ask(setup: &Setup, column: &mut Column, cid_source: &mut String) {
    let (is_ours, is_tcmalloc) =
        (column.entry.kind == Kind::Ours, column.entry.name == peers::TCMALLOC);
    if column.is_absent() || !(is_ours || is_tcmalloc) {
        return;
    }
    let mut env = column.env.clone();
    let name = if is_ours { "CIDALLOC_STATS" } else { "PEER_STATISTICS" };
    env.push((name.to_owned(), "1".to_owned()));
    let job = Job {
        program: &setup.workload,
        arguments: &["pair/64/1t", "--scale", "0.0001"],
        preload: column.preload.as_deref(),
        env: &env,
        limit: setup.limit,
        timeline: false,
    };
    let said = child::run(job).map(|output| output.complaint).unwrap_or_default();
    let line = |start: &str| said.lines().find_map(|line| line.trim().strip_prefix(start));
    if is_ours {
        *cid_source =
            line("cid_source").map_or("it does not say".to_owned(), |s| s.trim().to_owned());
        return;
    }
    let env: Vec<_> = column.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mode = line("peer: ").unwrap_or("it does not say whether its caches are per CPU");
    column.entry.note = format!("{mode}; run with {}", env.join(" "));
}

/// The tables that were asked for, or the usual ones.
fn tables(results: &Results, wanted: &[Measure]) -> Vec<Measure> {
    if !wanted.is_empty() {
        return wanted.to_vec();
    }
    let mut tables = report::USUAL.to_vec();
    let noise = &results.run.noise;
    if noise.disturbed * 4 > noise.runs {
        println!("Much was disturbed; CPU time suffers less from that, so its table comes too.\n");
        tables.push(Measure::Cpu);
    }
    tables
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text)
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// `compare report`
fn show_again(options: &cli::Report) -> Result<bool, String> {
    let results = Results::read(&options.results)?;
    let beside = || options.results.parent().unwrap_or(Path::new("")).to_owned();
    let out: PathBuf = options.out.clone().unwrap_or_else(beside);
    std::fs::create_dir_all(&out).map_err(|error| format!("--out {}: {error}", out.display()))?;
    write_report(&out, &results)?;
    let tables = tables(&results, &options.tables);
    if let Some(path) = &options.markdown {
        write(path, &report::markdown_of(&results, &tables))?;
    }
    print!("{}", report::text_of(&results, &tables));
    println!("written to {}: {}", out.display(), REPORT.join(", "));
    Ok(true)
}

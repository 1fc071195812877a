//! Has the children take turns, and makes of it what is shown.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{self, Command, Stdio};

use cidalloc_benches::pools::plot;
use cidalloc_benches::pools::samples::{Group, Results, Sample};
use cidalloc_benches::pools::tables::{self, Form};
use indicatif::{ProgressBar, ProgressStyle};

use crate::child::Turn;
use crate::cli::Options;
use crate::{machine, memory};

/// A process with cids from one source, waiting for its turns.
struct Child {
    process: process::Child,
    answers: BufReader<process::ChildStdout>,
}

impl Child {
    /// Starts it; or says why there are no such cids.
    fn start(source: &str, groups: &[Group], without_cids: bool) -> Result<Self, String> {
        let words: Vec<_> = groups.iter().map(|group| group.word()).collect();
        let mut command = own_program()?;
        command.args(["contenders", "--groups", &words.join(",")]);
        if without_cids {
            command.arg("--without-cids");
        }
        command.env("CIDALLOC_CID", source).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(|error| format!("no child: {error}"))?;
        let stdout = process.stdout.take().ok_or("a child without output")?;
        let mut child = Self { process, answers: BufReader::new(stdout) };
        match child.line()? {
            found if found == source => Ok(child),
            found => Err(format!("{source} cids: there are {found} ones instead")),
        }
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(0) => Err("a child ended early".to_owned()),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn take(&mut self, turn: Turn) -> Result<Vec<Sample>, String> {
        let text = serde_json::to_string(&turn).map_err(|error| error.to_string())?;
        let stdin = self.process.stdin.as_mut().ok_or("a child without input")?;
        writeln!(stdin, "{text}").map_err(|error| format!("a child ended early: {error}"))?;
        let mut samples = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(samples);
            }
            samples.push(serde_json::from_str(&line).map_err(|error| error.to_string())?);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The end of its input is the end of it.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// This program, without options of the allocator.
pub(crate) fn own_program() -> Result<Command, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(exe);
    command.env_remove("LD_PRELOAD");
    Ok(command)
}

/// Compares, and shows the results.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let groups = if options.groups.is_empty() { &Group::ALL[..] } else { &options.groups };
    let (rounds, interval_ms) = if options.quick { (3, 4) } else { (11, 20) };
    let rounds = options.rounds.unwrap_or(rounds);
    let interval_ms = options.interval_ms.unwrap_or(interval_ms);
    let mut results = machine::describe(rounds, interval_ms);
    results.by_cpu_time = options.cpu_time;
    contend(options, groups, &mut results)?;
    if !options.no_memory {
        results.memory = memory::measure(options.quick)?;
    }
    show(options, groups, &results)
}

fn contend(options: &Options, groups: &[Group], results: &mut Results) -> Result<(), String> {
    let mut children = Vec::new();
    for source in &options.sources {
        match Child::start(source, groups, children.is_empty()) {
            Ok(child) => children.push(child),
            Err(why) => results.absent.push(why),
        }
    }
    let turns = u64::from(results.rounds) * (groups.len() * options.threads.len()) as u64;
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {elapsed}");
    let bar = ProgressBar::new(turns).with_style(style.map_err(|error| error.to_string())?);
    for round in 0..results.rounds {
        for &group in groups {
            for &threads in &options.threads {
                bar.set_message(format!("{}, {threads} threads", group.word()));
                let turn = Turn { round, group, threads, interval_ms: results.interval_ms };
                for child in &mut children {
                    results.samples.extend(child.take(turn)?);
                }
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn text(results: &Results, groups: &[Group], form: Form) -> String {
    let mut text = tables::heading(results);
    for &group in groups {
        text.push_str(&tables::costs(results, group, form));
    }
    if !results.memory.is_empty() {
        text.push_str(&tables::memory(&results.memory, form));
    }
    text
}

fn show(options: &Options, groups: &[Group], results: &Results) -> Result<(), String> {
    print!("{}", text(results, groups, Form::Text));
    fs::create_dir_all(&options.out).map_err(|e| format!("{}: {e}", options.out.display()))?;
    let json = serde_json::to_string_pretty(results).map_err(|error| error.to_string())?;
    let mut files = vec![(options.out.join("results.json"), json)];
    if !results.memory.is_empty() {
        let source = format!(
            "Measured by smaps_rollup on {} CPUs, Linux {}: pools --plot",
            results.cpus, results.kernel
        );
        let file = options.plot.clone().unwrap_or_else(|| options.out.join("pool-memory.svg"));
        files.push((file, plot::memory(&results.memory, &source)));
    }
    if let Some(file) = &options.markdown {
        files.push((file.clone(), text(results, groups, Form::Markdown)));
    }
    for (file, text) in &files {
        write(file, text)?;
    }
    let names: Vec<_> = files.iter().map(|(file, _)| file.display().to_string()).collect();
    println!("\nwritten: {}", names.join(", "));
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

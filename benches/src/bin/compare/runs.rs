//! All runs: rounds interleaved over the allocators, and what is disturbed made again.
//!
//! ```text
//!   round 1: row 1 [A B C]  row 2 [B C A]  row 3 [C A B] …
//!   round 2: row 1 [B C A]  row 2 [C A B]  row 3 [A B C] …   drift hits all alike
//! ```

use core::time::Duration;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cidalloc_benches::catalog::{Kind, Row, Work};
use cidalloc_benches::record::{Latency, Record};
use cidalloc_benches::results::{Metric, Sample};

use crate::allocators::Column;
use crate::child::{self, Job, Output};
use crate::collect::{Collector, Finding, Outcome};
use crate::noise::Watch;
use crate::pace::Pace;
use crate::{interrupt, once, programs};

/// All that a run needs besides its row and its allocator.
pub(crate) struct Setup {
    pub(crate) workload: PathBuf,
    pub(crate) scale: f64,
    pub(crate) limit: Duration,
    pub(crate) rounds: u32,
    /// Disturbed runs are made again, up to this share of all: a machine that is busy
    /// throughout gains nothing from more, and takes twice the time.
    pub(crate) repeat_share: f64,
}

/// What some rows need, made once.
#[derive(Default)]
struct Prepared {
    once: Option<once::Program>,
    programs: HashMap<&'static str, programs::Prepared>,
}

impl Prepared {
    fn row(&mut self, row: &Row, limit: Duration) -> Result<(), String> {
        match row.work {
            Work::Once => self.once = Some(once::build()?),
            Work::Program(name) => {
                self.programs.insert(name, programs::prepare(name, limit)?);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Runs every row with every column that is not absent.
pub(crate) fn all(setup: &Setup, rows: &[&Row], columns: &[Column], collector: &mut Collector) {
    let mut prepared = Prepared::default();
    let rows: Vec<&Row> = rows
        .iter()
        .copied()
        .filter(|row| match prepared.row(row, setup.limit) {
            Ok(()) => true,
            Err(_) if interrupt::asked() => false,
            Err(why) => {
                println!("{} is not run: {why}", row.name);
                collector.missing(row, &why);
                false
            }
        })
        .collect();
    let present: Vec<usize> = (0..columns.len()).filter(|&i| !columns[i].is_absent()).collect();
    let turns = present.len();
    let of_each = setup.rounds * u32::try_from(turns).unwrap_or(u32::MAX);
    let mut pace = Pace::new(rows.len(), of_each);
    let repeats = (rows.len() as f64 * f64::from(of_each) * setup.repeat_share).ceil();
    let mut runs = Runs { setup, prepared, repeats_left: repeats as u64, collector };
    for round in 0..setup.rounds {
        for (i, row) in rows.iter().enumerate() {
            for turn in 0..turns {
                if interrupt::asked() {
                    pace.clear();
                    return;
                }
                let at = present[(turn + i + round as usize) % turns];
                pace.begin(&format!("{} {}", row.name, columns[at].entry.name));
                let start = Instant::now();
                runs.measure(row, &columns[at], at, round);
                pace.end(i, start.elapsed());
            }
        }
    }
    pace.clear();
}

struct Runs<'a> {
    setup: &'a Setup,
    prepared: Prepared,
    repeats_left: u64,
    collector: &'a mut Collector,
}

impl Runs<'_> {
    /// One run of a row, made once more where others disturbed it; the quieter one counts.
    fn measure(&mut self, row: &Row, column: &Column, at: usize, round: u32) {
        let mut outcome = self.once(row, column);
        if let Ok(first) = &outcome
            && first.noise.disturbed
            && self.repeats_left > 0
        {
            self.repeats_left -= 1;
            self.collector.results.run.noise.repeated += 1;
            match self.once(row, column) {
                Ok(second) if second.noise.cores() >= first.noise.cores() => {}
                second => outcome = second,
            }
        }
        if interrupt::asked() {
            return;
        }
        match outcome {
            Ok(outcome) => self.collector.add(row, at, round, outcome),
            Err(why) => self.collector.fail(row, at, why),
        }
    }

    fn once(&mut self, row: &Row, column: &Column) -> Result<Outcome, String> {
        let mut outcome = self.run(row, column);
        let noise = outcome.as_ref().map_or_else(|_| Default::default(), |outcome| outcome.noise);
        self.collector.count(noise);
        // Memory does not depend on who else runs.
        if let (Ok(outcome), Kind::Memory) = (&mut outcome, row.kind()) {
            outcome.noise.disturbed = false;
        }
        outcome
    }

    fn run(&self, row: &Row, column: &Column) -> Result<Outcome, String> {
        let job = Job {
            program: &self.setup.workload,
            arguments: &[],
            preload: column.preload.as_deref(),
            env: &column.env,
            limit: self.setup.limit,
            timeline: row.timeline(),
        };
        match row.work {
            Work::Once => {
                let program = self.prepared.once.as_ref().ok_or("it was not compiled")?;
                let sample = once::run(program, job)?;
                let name = row.name.to_owned();
                let figure = Finding::Figure { name, metric: Metric::Kib, ops: 1, sample };
                Ok(Outcome { findings: vec![figure], ..Outcome::default() })
            }
            Work::Program(name) => {
                let program = self.prepared.programs.get(name).ok_or("it was not prepared")?;
                real_program(row, program, column)
            }
            _ => {
                let scale = self.setup.scale.to_string();
                let arguments = [row.name, "--scale", &scale];
                of_workload(child::run(Job { arguments: &arguments, ..job })?, job.preload)
            }
        }
    }
}

fn real_program(
    row: &Row,
    program: &programs::Prepared,
    column: &Column,
) -> Result<Outcome, String> {
    let watch = Watch::start();
    let took = program.run(column.preload.as_deref(), &column.env)?;
    let noise = watch.stop();
    let sample = Sample { value: took.wall_ns / 1e9, ..took };
    let name = row.name.to_owned();
    let figure = Finding::Figure { name, metric: Metric::Seconds, ops: 1, sample };
    Ok(Outcome { findings: vec![figure], noise, points: Vec::new() })
}

/// What a run of `workload` printed. The record of a latency row is left out: its time
/// contains the clock's.
fn of_workload(output: Output, preload: Option<&Path>) -> Result<Outcome, String> {
    let mut findings = Vec::new();
    for line in output.text.lines().filter_map(Latency::parse) {
        took_effect(line.lib, preload)?;
        findings.push(Finding::of_latency(&line));
    }
    let has_latencies = !findings.is_empty();
    for record in output.text.lines().filter_map(Record::parse) {
        took_effect(record.lib, preload)?;
        if !has_latencies {
            findings.push(Finding::of_record(&record));
        }
    }
    if findings.is_empty() {
        return Err("the workload printed no record".to_owned());
    }
    Ok(Outcome { findings, noise: output.noise, points: output.points })
}

/// Whether the file that served `malloc` is the one that was asked for.
pub(crate) fn took_effect(served: &str, preload: Option<&Path>) -> Result<(), String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_served_malloc_must_be_who_was_asked_for() {
        assert!(took_effect("/lib/x86_64-linux-gnu/libc.so.6", None).is_ok());
        assert!(took_effect("/opt/liba.so", Some(Path::new("/opt/liba.so"))).is_ok());
        assert!(took_effect("/opt/liba.so", None).is_err());
        let mixed = took_effect("mixed", Some(Path::new("/opt/liba.so"))).unwrap_err();
        assert!(mixed.contains("an export is missing"), "{mixed}");
    }
}

//! The regression gate: few fixed workloads, ours as a ratio to glibc in the same minute, and
//! that ratio compared with a stored one.
//!
//! ```text
//!  round   ours glibc glibc ours ours glibc …     many short runs, taking turns
//!          fastest of ours / fastest of glibc = r
//!  median of the r of several rounds ─► against the baseline's
//! ```
//!
//! A busy machine slows both, and not alike: glibc, bound by throughput, loses more CPU time
//! beside a neighbour on the same core than we do, bound by latency, so that 0.76 at rest was
//! seen as 0.55. Hence the fastest of many runs, each a few milliseconds long: one of each side
//! finds a moment at rest. Whether it did is told by glibc itself, which does not change: a round
//! in which its fastest run is slower than at rest does not count and is made again, up to a
//! bound. A median over the limit, or one from too few rounds at rest, is measured again; a
//! regression is one seen twice at rest.
//!
//! Ends with 0 when all is within its limit, 1 on a regression, 2 when the machine was too busy
//! to say, or something is missing.
//!
//! `judge.rs` has the workloads with their limits and the verdict, `baseline.rs` the file.

mod baseline;
mod judge;

use core::time::Duration;
use std::path::{Path, PathBuf};

use cidalloc_benches::record::Record;
use clap::Args;

use crate::child::{self, Job};
use crate::runs::took_effect;
use baseline::{Baseline, Entry, Figure, Machine};
use judge::{Finding, Measured, Round, Verdict, WORKLOADS, Workload};

/// Passes over all rounds that a baseline is written from.
const PASSES: usize = 5;
/// Rounds made in all, per round wanted.
const TRIES: usize = 3;
/// A run takes milliseconds; one over this hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// Compares a few workloads with a stored baseline, as ratios to glibc; fails on a regression.
#[derive(Args)]
pub(crate) struct Options {
    /// Where the stored ratios are
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/gate/baseline.json"))]
    baseline: PathBuf,
    /// Measure several times over and store the ratios for this machine
    #[arg(long)]
    write: bool,
    /// Our library; default: libcidmalloc.so beside this program
    #[arg(long, value_name = "LIB")]
    ours: Option<PathBuf>,
    /// Only workloads whose name contains one of these
    #[arg(long, value_name = "SUBSTR,..", value_delimiter = ',', conflicts_with = "write")]
    filter: Vec<String>,
}

/// The two sides of every round.
struct Gate {
    workload: PathBuf,
    ours: PathBuf,
    /// Whether the baseline is of this machine, so that its times count, too.
    own: bool,
}

/// True where nothing regressed. The error is one line.
pub(crate) fn run(options: &Options) -> Result<bool, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let beside = exe.parent().unwrap_or(Path::new("."));
    let ours = options.ours.clone().unwrap_or_else(|| beside.join("libcidmalloc.so"));
    let ours = std::fs::canonicalize(&ours).map_err(|error| {
        format!("{}: {error}; build it: cargo build --release -p cidmalloc", ours.display())
    })?;
    let workload = beside.join("workload");
    if !workload.exists() {
        let name = workload.display();
        return Err(format!("{name} is not there; cargo build --release -p cidalloc-benches"));
    }
    let machine = Machine::here();
    if options.write {
        return Gate { workload, ours, own: false }.write(options, machine);
    }
    let stored = Baseline::read(&options.baseline)?;
    let entry = stored.entry_for(&machine).ok_or_else(|| {
        let name = options.baseline.display();
        format!("{name} has no entries; write one: compare gate --write")
    })?;
    let own = entry.machine == machine;
    if !own {
        println!(
            "note: no baseline of this machine ({machine}); compared with that of {}. Ratios \
             carry over roughly; for firm limits: compare gate --write",
            entry.machine
        );
    }
    Gate { workload, ours, own }.check(options, entry)
}

impl Gate {
    fn check(&self, options: &Options, entry: &Entry) -> Result<bool, String> {
        let wanted = |w: &&Workload| {
            options.filter.is_empty() || options.filter.iter().any(|part| w.name.contains(part))
        };
        let (mut failed, mut busy, mut done) = (0, 0, 0);
        for workload in WORKLOADS.iter().filter(wanted) {
            let figure = entry.figure(workload.name).ok_or_else(|| {
                format!("the baseline lacks {}; write it anew: compare gate --write", workload.name)
            })?;
            let verdict = self.verdict(workload, figure)?;
            println!("{verdict}");
            done += 1;
            failed += usize::from(verdict.finding() == Finding::Regressed);
            busy += usize::from(verdict.finding() == Finding::Busy);
        }
        match (done, failed, busy) {
            (0, ..) => {
                let names: Vec<_> = WORKLOADS.iter().map(|w| w.name).collect();
                Err(format!("--filter selects none of {}", names.join(", ")))
            }
            (_, 0, 0) => {
                println!("gate: {done} workloads within their limits");
                Ok(true)
            }
            (_, 0, _) => Err(format!(
                "gate: the machine was too busy to judge {busy} of {done} workloads; run it \
                 again when nothing else runs"
            )),
            _ => {
                println!("gate: {failed} of {done} workloads regressed");
                Ok(false)
            }
        }
    }

    /// One measurement at rest within the limit; else as many as decide.
    fn verdict<'a>(
        &self,
        workload: &'a Workload,
        figure: &'a Figure,
    ) -> Result<Verdict<'a>, String> {
        let mut verdict = Verdict::new(workload, figure);
        while !verdict.is_decided() {
            let known = self.own.then_some(figure.glibc_ns);
            verdict.add(self.measure(workload, known)?);
        }
        Ok(verdict)
    }

    fn write(&self, options: &Options, machine: Machine) -> Result<bool, String> {
        let mut figures: Vec<Figure> = Vec::new();
        let mut passes: Vec<Vec<Measured>> = vec![Vec::new(); WORKLOADS.len()];
        for pass in 1..=PASSES {
            println!("pass {pass} of {PASSES}");
            for (workload, measured) in WORKLOADS.iter().zip(&mut passes) {
                measured.push(self.measure(workload, None)?);
            }
        }
        for (workload, measured) in WORKLOADS.iter().zip(&passes) {
            let seen: Vec<_> = measured.iter().map(ToString::to_string).collect();
            println!("{}: {}", workload.name, seen.join(", "));
            let figure = workload.figure(measured)?;
            println!("{figure}");
            figures.push(figure);
        }
        let mut stored = match options.baseline.exists() {
            true => Baseline::read(&options.baseline)?,
            false => Baseline::default(),
        };
        stored.replace(Entry { machine, figures });
        stored.write(&options.baseline)?;
        println!("gate: written to {}", options.baseline.display());
        Ok(true)
    }

    /// As many rounds at rest as are wanted, or all that could be had. `known` is what glibc
    /// takes at rest.
    fn measure(&self, workload: &Workload, known: Option<f64>) -> Result<Measured, String> {
        let mut rounds = Vec::new();
        loop {
            rounds.push(self.round(workload)?);
            let measured = Measured::of(&rounds, workload, known);
            if measured.calm >= 1.0 || rounds.len() >= workload.rounds * TRIES {
                return Ok(measured);
            }
        }
    }

    /// The fastest run of each side, the sides taking turns at going first.
    fn round(&self, workload: &Workload) -> Result<Round, String> {
        let mut round = Round { ours: f64::INFINITY, glibc: f64::INFINITY };
        for run in 0..workload.runs {
            let mut ours =
                || self.once(workload, Some(&self.ours)).map(|ns| round.ours = round.ours.min(ns));
            if run % 2 == 0 {
                ours()?;
            }
            let glibc = self.once(workload, None)?;
            if run % 2 == 1 {
                ours()?;
            }
            round.glibc = round.glibc.min(glibc);
        }
        Ok(round)
    }

    /// CPU nanoseconds per operation of one run.
    fn once(&self, workload: &Workload, preload: Option<&Path>) -> Result<f64, String> {
        let side = preload.map_or("glibc", |_| "ours");
        let at = |why: String| format!("{} under {side}: {why}", workload.name);
        let job = Job {
            program: &self.workload,
            arguments: &[workload.name, "--scale", workload.scale],
            preload,
            env: &[],
            limit: LIMIT,
            timeline: false,
        };
        let text = child::run(job).map_err(at)?.text;
        let record = text.lines().find_map(Record::parse);
        let record = record.ok_or_else(|| at("it printed no record".to_owned()))?;
        took_effect(record.lib, preload).map_err(at)?;
        Ok(record.cpu)
    }
}

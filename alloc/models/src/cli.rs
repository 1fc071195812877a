//! The command: which scenarios, how many executions, from which seed.

use crate::random::Random;
use crate::reliability;
use crate::run::{self, Fact, Outcome, Scenario};
use crate::scenarios;
use std::process::ExitCode;

const USAGE: &str = "\
usage: models [--full] [--executions N] [--seed N] [--replay N] [--jobs N] [--list] [NAME...]
  NAME            scenarios whose name contains it; all without one
  --full          40 times as many executions, from a seed of the moment
  --executions N  so many of each
  --seed N        from this seed on; the quick form has one of its own for each scenario
  --replay N      the execution of this seed alone
  --jobs N        executions at a time (default: CPUs)
  --list          print the scenarios, run nothing";

#[derive(Default)]
struct Wanted {
    full: bool,
    list: bool,
    executions: Option<u64>,
    seed: Option<u64>,
    jobs: Option<u64>,
    names: Vec<String>,
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().ok_or_else(|| format!("{argument} needs a number"))?;
            value.parse::<u64>().map_err(|_| format!("{argument} needs a number, not {value:?}"))
        };
        match argument.as_str() {
            "--full" => wanted.full = true,
            "--list" => wanted.list = true,
            "--executions" => wanted.executions = Some(number()?),
            "--seed" => wanted.seed = Some(number()?),
            "--jobs" => wanted.jobs = Some(number()?.max(1)),
            "--replay" => (wanted.seed, wanted.executions) = (Some(number()?), Some(1)),
            other if other.starts_with('-') => return Err(format!("no option {other}\n{USAGE}")),
            name if scenarios::all().any(|scenario| scenario.name.contains(name)) => {
                wanted.names.push(argument);
            }
            name => return Err(format!("no scenario named {name:?}; --list prints them")),
        }
    }
    Ok(wanted)
}

/// The quick form's first seed: the same at each run, another for each scenario.
fn seed_of(name: &str) -> u64 {
    let step = |seed: u64, byte: u8| Random::new(seed ^ u64::from(byte)).next();
    name.bytes().fold(0, step) >> 32
}

pub(crate) fn main() -> ExitCode {
    let wanted = match parse(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(why) => {
            eprintln!("models: {why}");
            return ExitCode::from(2);
        }
    };
    let chosen = scenarios::all().filter(|scenario| {
        wanted.names.is_empty()
            || wanted.names.iter().any(|name| scenario.name.contains(name.as_str()))
    });
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let base = wanted.full.then(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |now| now.as_nanos() as u64 >> 8)
    });
    let mut failed = false;
    for scenario in chosen {
        if wanted.list {
            println!("{:>6}  {}", scenario.executions, scenario.name);
            continue;
        }
        let first = wanted.seed.or(base).unwrap_or_else(|| seed_of(scenario.name));
        let usual = if wanted.full { scenario.executions * 40 } else { scenario.executions };
        let count = wanted.executions.unwrap_or(usual);
        let outcome =
            run::explore(scenario, first, count, wanted.jobs.unwrap_or(cpus).min(count).max(1));
        failed |= !report(scenario, first, count, &outcome);
    }
    ExitCode::from(u8::from(failed))
}

fn report(scenario: &Scenario, first: u64, count: u64, outcome: &Outcome) -> bool {
    let (name, counts) = (scenario.name, outcome.counts);
    if let Some((seed, why)) = &outcome.failed {
        println!(
            "FAIL {name}: seed {seed}: {why} (execution {} of {count}, {:.1} s)",
            seed.wrapping_sub(first) + 1,
            outcome.took.as_secs_f64()
        );
        println!("     again: tests/models --replay {seed} {name}");
        return false;
    }
    let (executions, points) = (counts.get(Fact::Executions), counts.get(Fact::Points));
    println!(
        "ok   {name}: {executions} executions from seed {first}, {points} points, {} ({:.1} s)",
        counts.words(),
        outcome.took.as_secs_f64()
    );
    // One alone need not reach everything.
    let missing = scenario
        .reaches
        .iter()
        .find(|&&fact| count >= scenario.executions && counts.get(fact) == 0);
    if let Some(fact) = missing {
        println!("FAIL {name}: no execution had any of: {fact:?}");
        return false;
    }
    reliability::line(
        "models",
        scenario.fault,
        &format!("schedules of the allocator's own code, {points} points; {}", counts.words()),
        executions,
        &format!("held in all: {}", name.replace('_', " ")),
    );
    true
}

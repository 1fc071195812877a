//! A process with cids from one source.
//!
//! ```text
//!   stdin    round 0, 8 threads, 20 ms                       a [`Turn`] as JSON, one a line
//!   stdout   the source ─┐  sample, sample, …, an empty line   a sample each: `round 0` is done
//!            at first ───┘
//! ```

use core::time::Duration;
use std::io::{Write, stdin, stdout};

use cidalloc::heap::Source;
use cidalloc_benches::pools::samples::{Group, SOURCES, Sample};
use serde::{Deserialize, Serialize};

use crate::contenders::{self, Contender};
use crate::threads::Load;

/// What a child is asked to do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Turn {
    pub(crate) round: u32,
    pub(crate) group: Group,
    pub(crate) threads: usize,
    pub(crate) interval_ms: u64,
}

/// Where this process's cids come from.
fn source() -> &'static str {
    let [kernel, cpu, emulated] = SOURCES;
    match cidalloc::percid::get().map(|cids| cids.source) {
        Ok(Source::Kernel) => kernel,
        Ok(Source::Cpu) => cpu,
        Ok(Source::Emulated) => emulated,
        _ => "none",
    }
}

fn sample(contender: &Contender, turn: Turn) -> Sample {
    let load = Load { threads: turn.threads, interval: Duration::from_millis(turn.interval_ms) };
    let cost = (contender.run)(load);
    Sample {
        group: contender.group,
        contender: contender.name.to_owned(),
        source: contender.uses_cids.then(|| source().to_owned()),
        threads: turn.threads,
        round: turn.round,
        wall_ns: cost.wall_ns,
        cpu_ns: cost.cpu_ns,
    }
}

/// Takes turns until the input ends.
pub(crate) fn run(groups: &[Group], without_cids: bool) -> Result<(), String> {
    let mut out = stdout().lock();
    let mut say = |line: &str| {
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| error.to_string())
    };
    say(source())?;
    for line in stdin().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let turn: Turn = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        let is_wanted = |c: &&Contender| {
            c.group == turn.group && groups.contains(&c.group) && (c.uses_cids || without_cids)
        };
        let mut wanted: Vec<&Contender> = contenders::ALL.iter().filter(is_wanted).collect();
        // Another one is the first in each round, so that none always comes after the same one.
        let first = turn.round as usize % wanted.len().max(1);
        wanted.rotate_left(first);
        for contender in wanted {
            let sample = sample(contender, turn);
            say(&serde_json::to_string(&sample).map_err(|error| error.to_string())?)?;
        }
        say("")?;
    }
    Ok(())
}

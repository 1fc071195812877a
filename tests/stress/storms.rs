//! The stress run in bad weather: signals of two clocks, CPUs that are taken and given back, a process
//! that is stopped and goes on, again and again.
#![allow(unsafe_code)]

mod blocks;
mod disturb;
mod engine;
mod face;
mod parent;
mod signals;
mod worker;

use cidalloc_tests::{compile_c, reliability};
use face::Direct;
use std::process::Command;

#[test]
#[ignore = "is started by the others, in a process of its own"]
fn worker() {
    worker::run(&Direct, true);
}

/// A run, and a line of the table for each word of `told` that its threads were exposed to.
fn storm(cids: &str, threads: u32, with: &str, more: &[(&str, &str)]) {
    let environment: Vec<_> = [("CIDALLOC_CID", cids)].iter().chain(more).copied().collect();
    let (ok, stops) = parent::run(threads, with, &environment);
    // "… 17 lives, 900 signals, 200 of CPU time, 3 forks, 80 moves"
    let count = |word: &str| {
        let part = ok.split(", ").find_map(|part| part.strip_suffix(word));
        part.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    };
    let lines = [
        ("signals", "SIGALRM at 1 kHz over the stress test", count("signals")),
        ("prof", "SIGPROF at 1 kHz of CPU time over the stress test", count("of CPU time")),
        ("affinity", "affinity of all threads, changed all the time", count("moves")),
        ("fork", "fork of the stress test", count("forks")),
        ("stops", "SIGSTOP and SIGCONT of the whole process", stops),
    ];
    for (word, fault, times) in lines {
        if with.split(',').any(|one| one == word) {
            let how = format!("{threads} threads, {with}; cids: {cids}");
            let outcome = "each object in one place at the end, none lost";
            reliability::line("processes", fault, &how, times, outcome);
        }
    }
}

/// Where the host lets its users make cgroups; in guests it is always done (`tests/guest/run`).
#[test]
fn cpusets_may_change() {
    const NOTHING_TO_DO: i32 = 77;
    let Some(weather) = compile_c("guest/weather.c") else { return };
    let program = std::env::current_exe().expect("the path of the test binary");
    let output = Command::new(weather)
        .arg("cpuset")
        .arg(program)
        .args(["--exact", "worker", "--ignored", "--nocapture", "--test-threads=1"])
        .envs([("STRESS_MS", "1200"), ("STRESS_WITH", "signals,churn"), ("CIDALLOC_CID", "kernel")])
        .output()
        .expect("the program that was just built can be started");
    let (said, why) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(NOTHING_TO_DO) {
        println!("skipped: cpuset changes: {}", why.trim());
        return;
    }
    assert!(output.status.success() && said.contains("ok: seed"), "{said}{why}");
    let sets = said
        .lines()
        .find_map(|line| line.strip_suffix(" cpusets")?.rsplit(' ').next()?.parse().ok());
    let outcome = "each object in one place at the end, none lost";
    reliability::line("processes", "cpuset changes", "the stress test", sets.unwrap_or(0), outcome);
}

macro_rules! storms {
    ($($name:ident: $threads:literal $with:literal [$($var:literal = $value:literal)*];)*) => {
        mod kernel {
            $(#[test] fn $name() { super::storm("kernel", $threads, $with, &[$(($var, $value)),*]); })*
        }
        mod emulated {
            $(#[test] fn $name() { super::storm("emulated", $threads, $with, &[$(($var, $value)),*]); })*
        }
    };
}

storms! {
    two_clocks_may_interrupt: 16 "signals,prof,trim" [];
    affinities_may_change_all_the_time: 16 "affinity,churn,trim" [];
    the_process_may_be_stopped_again_and_again: 16 "stops,signals,fork" [];
    all_of_it_may_happen_at_once: 32 "stops,signals,prof,affinity,churn,fork,trim"
        ["CIDALLOC_DRAIN_MS" = "1" "CIDALLOC_DECAY_MS" = "1"];
}

//! `pools`: per-cid pools and counters beside what programs use otherwise, in one run.
//!
//! ```text
//!   conduct ──a line for each round──▶ child, CIDALLOC_CID=kernel      every contender once
//!      │                               child, CIDALLOC_CID=cpu       ┐ those that use cids
//!      │◀──a line for each sample───── child, CIDALLOC_CID=emulated  ┘ once
//!      │
//!      ├── a process for each way to keep sets, and number of threads ─▶ memory
//!      └─▶ results ─▶ tables, results.json, pool-memory.svg
//! ```
//!
//! Where cids come from is settled once per process. The children live through the whole run and take
//! turns, one contender at a time, so that whatever slows the machine for a while slows all of them.

mod child;
mod cli;
mod conduct;
mod contenders;
mod machine;
mod memory;
mod threads;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let ended = match cli.child {
        Some(cli::Child::Contenders { groups, without_cids }) => child::run(&groups, without_cids),
        Some(cli::Child::Memory { way, threads }) => memory::child(way, threads),
        None => conduct::run(&cli.options),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("pools: {why}");
            ExitCode::from(2)
        }
    }
}

//! `locality`: how near a thread finds the data that it had last, by what its area is indexed
//! with: measured on this machine, and simulated for machines that are not here.
//!
//! ```text
//!   run        pinned threads increment 16 KiB one after another ─▶ ns a burst for each index
//!   lines      what another core's lines cost ────────────────────┐
//!   footprint  what a used shard keeps resident ──────────────────┤
//!   simulate   the library's model with those two ◀───────────────┘ ─▶ tables, SVG
//! ```

mod areas;
mod cli;
mod footprint;
mod lines;
mod pinned;
mod run;
mod simulate;

use std::process::ExitCode;

use clap::Parser;

/// Areas, and all else here, come from the allocator that the experiment is about.
#[global_allocator]
static ALLOCATOR: cidalloc::CidAlloc = cidalloc::CidAlloc;

fn main() -> ExitCode {
    let ended = match cli::Cli::parse().command {
        cli::Command::Run(options) => run::run(&options),
        cli::Command::Lines(options) => lines::run(&options),
        cli::Command::Footprint(options) => footprint::run(&options),
        cli::Command::Simulate(options) => simulate::run(&options),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("locality: {why}");
            ExitCode::from(2)
        }
    }
}

//! The command line.

use std::path::PathBuf;

use cidalloc_benches::locality::inputs;
use clap::{Args, Parser, Subcommand};

/// How near a thread finds the data that it had last, by CPU number and by concurrency id.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs the experiment on this machine
    Run(Run),
    /// Measures what lines cost that another core wrote
    Lines(Lines),
    /// Measures what a shard keeps resident once it was used
    Footprint(Footprint),
    /// Simulates the experiment on two EPYC 9654, and the growth of shards by CPUs and threads
    Simulate(Simulate),
}

/// `locality run`
#[derive(Args)]
pub(crate) struct Run {
    /// Few bursts, in less than ten seconds
    #[arg(long)]
    pub(crate) quick: bool,
    /// Milliseconds between two threads' bursts; one table row for each
    #[arg(long, value_name = "MS,..", value_delimiter = ',', default_values_t = [200, 10, 0])]
    pub(crate) delays: Vec<u64>,
    /// Rounds of each run, in which each thread has one burst; by default as many as end
    /// within two minutes
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: Option<u32>,
    /// How often each run is made; 5, or 1 with --quick
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeats: Option<u32>,
    /// Of the order of threads
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// `locality lines`
#[derive(Args)]
pub(crate) struct Lines {
    /// Turns of each of the two threads; 4000, or as many as fit into 20 seconds
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) turns: Option<u32>,
    /// Let the thread that wrote the lines sleep for so many milliseconds before the other one,
    /// which stays awake, takes them
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) owner_sleeps: u32,
}

/// `locality footprint`
#[derive(Args)]
pub(crate) struct Footprint {
    /// Processes of each kind
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeats: u32,
    /// Be such a process, with so many threads at work
    #[arg(long, hide = true)]
    pub(crate) child: Option<usize>,
    /// Blocks of 64 bytes only, in such a process
    #[arg(long, hide = true)]
    pub(crate) narrow: bool,
}

/// `locality simulate`
#[derive(Args)]
pub(crate) struct Simulate {
    /// Where to write the plots
    #[arg(long, value_name = "DIR", default_value = "target/locality")]
    pub(crate) out: PathBuf,
    /// Write the tables to this file as Markdown as well
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Lines that are under way at once from beyond an L3
    #[arg(long, default_value_t = inputs::IN_FLIGHT.value)]
    pub(crate) in_flight: f64,
    /// Bursts of a cell, at least
    #[arg(long, default_value_t = 8000)]
    pub(crate) bursts: usize,
    /// Of all that is random
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// KiB that a used shard keeps resident with its arena: see `locality footprint`
    #[arg(long, default_value_t = 1100.0)]
    pub(crate) shard_kib: f64,
    /// The share of its time that a thread wants to run
    #[arg(long, default_value_t = 0.01)]
    pub(crate) duty: f64,
    /// The share of wakings that put a thread on another idle CPU
    #[arg(long, default_value_t = 0.1)]
    pub(crate) migration: f64,
    /// Few bursts and a short watch, in a few seconds
    #[arg(long)]
    pub(crate) quick: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

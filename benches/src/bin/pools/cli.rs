//! The command line.

use std::path::PathBuf;

use cidalloc_benches::pools::memory::Way;
use cidalloc_benches::pools::samples::{Group, SOURCES};
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

/// Compares per-cid pools, counters and structures with atomics, locks, queues and thread-locals.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) child: Option<Child>,
    #[command(flatten)]
    pub(crate) options: Options,
}

fn group(text: &str) -> Result<Group, String> {
    let found = Group::ALL.into_iter().find(|group| group.word() == text);
    found.ok_or_else(|| format!("one of {}", Group::ALL.map(Group::word).join(", ")))
}

fn way(text: &str) -> Result<Way, String> {
    Way::ALL.into_iter().find(|way| way.word() == text).ok_or_else(|| "no such way".to_owned())
}

/// The processes that are measured.
#[derive(Subcommand)]
pub(crate) enum Child {
    /// Runs a round for each line of its input
    #[command(hide = true)]
    Contenders {
        #[arg(long, value_parser = group, value_delimiter = ',')]
        groups: Vec<Group>,
        /// Those that use no cids, too
        #[arg(long)]
        without_cids: bool,
    },
    /// Has threads count in sets of their own, or of what they run on
    #[command(hide = true)]
    Memory {
        #[arg(long, value_parser = way)]
        way: Way,
        #[arg(long)]
        threads: usize,
    },
}

#[derive(Args)]
pub(crate) struct Options {
    /// Few short rounds, in some ten seconds
    #[arg(long)]
    pub(crate) quick: bool,
    /// What to compare: counter, list, ring, reader, items; all if not said
    #[arg(long, value_name = "GROUP,..", value_parser = group, value_delimiter = ',')]
    pub(crate) groups: Vec<Group>,
    /// Leave the sets of counters out
    #[arg(long)]
    pub(crate) no_memory: bool,
    /// Where cids come from
    #[arg(long, value_name = "SOURCE,..", value_delimiter = ',', default_values = SOURCES,
        value_parser = PossibleValuesParser::new(SOURCES))]
    pub(crate) sources: Vec<String>,
    /// Threads that do the same
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_values_t = [1, 2, 8, 64])]
    pub(crate) threads: Vec<usize>,
    /// Rounds; 11, or 3 with --quick
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: Option<u32>,
    /// Milliseconds that each contender has in a round; 20, or 4 with --quick
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) interval_ms: Option<u64>,
    /// Show CPU time, for a machine that has other work as well; results.json has both
    #[arg(long)]
    pub(crate) cpu_time: bool,
    /// Where results.json goes, and the plot
    #[arg(long, value_name = "DIR", default_value = "target/pools")]
    pub(crate) out: PathBuf,
    /// Write the plot to this file instead
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Write the tables to this file as Markdown as well
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
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

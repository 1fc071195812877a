//! The command line.

use std::path::PathBuf;

use cidalloc_benches::report::Measure;
use clap::{Args, Parser, Subcommand};

use crate::gate;

fn named_path(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            Ok((name.to_owned(), PathBuf::from(path)))
        }
        _ => Err("want NAME=/path/to/lib.so".to_owned()),
    }
}

/// Runs every workload with every allocator, each in a process of its own, and compares.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// The same as without this word
    #[command(hide = true)]
    Compare(Box<Options>),
    /// Shows the results of an earlier comparison once more
    Report(Report),
    /// Compares ours with a stored ratio to glibc, and fails where it fell behind
    Gate(gate::Options),
}

/// `compare report`
#[derive(Args)]
pub(crate) struct Report {
    /// The results.json of a comparison
    pub(crate) results: PathBuf,
    /// Where to write report.html, results.csv and the plots; default: beside the results
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Write the tables to this file as Markdown as well
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Tables to print
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) tables: Vec<Measure>,
}

/// `compare`
#[derive(Args)]
pub(crate) struct Options {
    /// One round of an eighth of the work, without the real programs, in less than two minutes
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only workloads whose name contains one of these
    #[arg(long, value_name = "SUBSTR,..", value_delimiter = ',')]
    pub(crate) filter: Vec<String>,
    /// Only these columns, in place of ours, the C library's, the crates' and Debian's tcmalloc
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    pub(crate) allocators: Vec<String>,
    /// Only workloads with so many threads
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    pub(crate) threads: Vec<usize>,
    /// How often each run is made; 3, or 1 with --quick
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: Option<u32>,
    /// Times the usual amount of work; 1, or 0.1 with --quick
    #[arg(long)]
    pub(crate) scale: Option<f64>,
    /// Where to write results.json, results.csv, report.html and plots; default: target/compare
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Write the tables to this file as Markdown as well
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// One more column: a library to preload
    #[arg(long, value_name = "NAME=LIB", value_parser = named_path)]
    pub(crate) preload: Vec<(String, PathBuf)>,
    /// Our library; default: libcidmalloc.so beside this program
    #[arg(long, value_name = "LIB")]
    pub(crate) ours: Option<PathBuf>,
    /// Tables to print
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) tables: Vec<Measure>,
    /// Seconds after which a run is ended and counts as failed
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: u64,
    /// Do not repeat runs that others disturbed
    #[arg(long)]
    pub(crate) no_repeat: bool,
}

impl Options {
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 1 } else { 3 })
    }

    pub(crate) fn scale(&self) -> Result<f64, String> {
        match self.scale.unwrap_or(if self.quick { 0.1 } else { 1.0 }) {
            scale if scale > 0.0 && scale <= 1000.0 => Ok(scale),
            scale => Err(format!("--scale {scale}: want a number above 0 and up to 1000")),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lists_are_separated_by_commas() {
        let line = ["compare", "--quick", "--filter", "pair,once", "--threads", "1,8"];
        let options = Cli::try_parse_from(line).unwrap().options;
        assert_eq!((options.filter.len(), options.threads), (2, vec![1, 8]));
        assert!(Cli::try_parse_from(["compare", "--preload", "x"]).is_err());
    }
}

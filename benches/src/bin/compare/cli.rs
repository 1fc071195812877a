//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::results::Measure;

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
#[command(version)]
pub(crate) struct Options {
    /// One round of a quarter of the work
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only rows whose name contains one of these
    #[arg(long, value_name = "SUBSTR,..", value_delimiter = ',')]
    pub(crate) filter: Vec<String>,
    /// Only these columns, in place of all that are installed
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    pub(crate) allocators: Vec<String>,
    /// How often each run is made; 3, or 1 with --quick
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: Option<u32>,
    /// Times the usual amount of work; 1, or 0.25 with --quick
    #[arg(long)]
    pub(crate) scale: Option<f64>,
    /// Write every sample to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Write the tables to this file as Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// One more column: a library to preload
    #[arg(long, value_name = "NAME=LIB", value_parser = named_path)]
    pub(crate) preload: Vec<(String, PathBuf)>,
    /// Our library; default: libcidmalloc.so beside this program
    #[arg(long, value_name = "LIB")]
    pub(crate) ours: Option<PathBuf>,
    /// Tables to print
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["time", "memory", "peak"])]
    pub(crate) tables: Vec<Measure>,
    /// Seconds after which a run is ended and counts as failed
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: u64,
    /// Do not repeat runs that others disturbed
    #[arg(long)]
    pub(crate) no_repeat: bool,
}

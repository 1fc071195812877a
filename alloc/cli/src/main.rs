//! `cidalloc`: runs programs under the allocator, and looks at the host for it.
//!
//! ```text
//!  cidalloc run [--stats] [--option NAME=VALUE]… -- PROGRAM ARGS
//!     library.rs   which libcidmalloc.so       options.rs   CIDALLOC_* for the child
//!     run.rs       child, its status           signals.rs   what is sent to us is for it
//!     reports.rs   what its processes left     program.rs   why it left nothing
//!  cidalloc options                            the table of options
//!  cidalloc doctor                             what this host gives and lacks: doctor/
//! ```
//!
//! Exit status of `run`: the program's own; 128 and the signal that ended it; 127 when it was not
//! found, 126 when it cannot be run, 2 for a wrong command line, 1 when something of ours is
//! missing.

mod doctor;
mod library;
mod options;
mod program;
mod reports;
mod run;
mod signals;

use clap::{Parser, Subcommand, ValueEnum};
use doctor::DoctorArguments;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs programs with the cidalloc memory allocator.
#[derive(Debug, Parser)]
#[command(name = "cidalloc", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a program, and all that it starts, with the allocator in place of libc's
    #[command(after_help = RUN_HELP)]
    Run(RunArguments),
    /// Print the options of the allocator with their values and defaults
    Options,
    /// Print what this host gives the allocator, what it lacks, what that costs, and the remedy
    #[command(after_help = DOCTOR_HELP)]
    Doctor(DoctorArguments),
}

const RUN_HELP: &str = "\
Exit status: that of PROGRAM; 128+N when signal N ended it; 127 when it was not found, 126 when
it cannot be run, 2 when the command line is wrong, 1 when the library is not there.

Examples:
  cidalloc run -- sort big.txt
  cidalloc run --stats -o cid=cpu -- python3 script.py";

const DOCTOR_HELP: &str = "\
Exit status: 0, whatever was found; with --strict 1 if a point is degraded; 2 when the command line
is wrong. Nothing on the host is changed.

Examples:
  cidalloc doctor
  cidalloc doctor --json | jq -r .points.cid_source.value";

/// What `cidalloc run` was asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArguments {
    /// Print statistics to standard error when the program has ended: those of the program and a
    /// line for each further process, or all of all
    #[arg(long, value_name = "WHOSE", num_args = 0..=1, require_equals = true,
          default_missing_value = "main")]
    stats: Option<Whose>,
    /// Set an option of the allocator; `cidalloc options` lists them
    #[arg(short, long = "option", value_name = "NAME=VALUE")]
    options: Vec<OsString>,
    /// The library to use, if not the one that was installed with this command
    #[arg(long, value_name = "PATH")]
    library: Option<PathBuf>,
    /// The program
    program: OsString,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Whose statistics are printed in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Whose {
    /// The program's; a line for each further process
    Main,
    /// Those of all processes
    All,
}

/// One line for the user, and the status to exit with.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    line: String,
}

impl Failure {
    /// The command line is wrong.
    pub(crate) const USAGE: u8 = 2;
    /// Something of ours is missing.
    pub(crate) const OURS: u8 = 1;

    pub(crate) fn new(status: u8, line: impl Into<String>) -> Self {
        Self { status, line: line.into() }
    }
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Doctor(arguments) => doctor::doctor(&arguments),
        Command::Options => {
            options::print();
            Ok(0)
        }
    };
    ExitCode::from(done.unwrap_or_else(|failure| {
        eprintln!("cidalloc: {}", failure.line);
        failure.status
    }))
}

//! `cidalloc run`: the program as a child with the library in it, and how it ended.

use crate::reports::{self, Place};
use crate::{Failure, RunArguments, Whose, library, options, program, signals};
use std::io::{ErrorKind, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};

/// Runs what `arguments` say; the status to exit with.
pub(crate) fn run(arguments: &RunArguments) -> Result<u8, Failure> {
    let environment = options::to_environment(&arguments.options)?;
    let library = library::find(arguments.library.as_deref())?;
    let existing = std::env::var_os("LD_PRELOAD");
    let mut command = Command::new(&arguments.program);
    command
        .args(&arguments.args)
        .env("LD_PRELOAD", library::preload(&library, existing.as_deref()))
        .envs(environment);
    let Some(whose) = arguments.stats else {
        if let Some(why) = program::obstacle(&arguments.program) {
            let name = arguments.program.to_string_lossy();
            eprintln!("cidalloc: warning: {name} runs without the allocator: {why}");
        }
        let (_, status) = child(&mut command, arguments)?;
        return Ok(code(status));
    };
    if arguments.options.iter().any(|o| o.as_encoded_bytes().starts_with(b"stats")) {
        let line = "--stats and an option stats or stats_file: give one of them";
        return Err(Failure::new(Failure::USAGE, line));
    }
    let place = Place::new()?;
    command.env(options::variable("stats"), "1").env(options::variable("stats_file"), place.file());
    let (pid, status) = child(&mut command, arguments)?;
    tell(&place.text(), pid, status, whose, arguments);
    Ok(code(status))
}

/// Starts the program and waits for its end.
fn child(command: &mut Command, arguments: &RunArguments) -> Result<(u32, ExitStatus), Failure> {
    signals::catch();
    let mut child = command.spawn().map_err(|error| {
        let name = arguments.program.to_string_lossy();
        match error.kind() {
            ErrorKind::NotFound if program::is_there(&arguments.program) => {
                Failure::new(126, format!("{name}: the interpreter or loader it names is missing"))
            }
            ErrorKind::NotFound => Failure::new(127, format!("{name}: not found")),
            _ => Failure::new(126, format!("{name}: cannot be run: {error}")),
        }
    })?;
    let pid = child.id();
    signals::child_is(pid.cast_signed());
    signals::wait_for_end(pid.cast_signed());
    let status = child
        .wait()
        .map_err(|error| Failure::new(Failure::OURS, format!("lost the program: {error}")))?;
    Ok((pid, status))
}

/// The program's own status, or 128 and the signal that ended it, as shells have it.
fn code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code as u8,
        (None, signal) => 128 + signal.unwrap_or(0) as u8,
    }
}

/// Prints the statistics, or why there are none.
fn tell(text: &str, pid: u32, status: ExitStatus, whose: Whose, arguments: &RunArguments) {
    let (shown, main_is_there) = reports::render(text, pid, whose);
    let mut out = std::io::stderr().lock();
    if !main_is_there {
        let name = arguments.program.to_string_lossy();
        let why = program::obstacle(&arguments.program).map_or_else(
            || match status.signal() {
                Some(signal) => format!("signal {signal} ended it"),
                None => "it ended without exit handlers (by _exit), or closed the file".into(),
            },
            String::from,
        );
        let _ = writeln!(out, "cidalloc: no statistics of {name}: {why}");
    }
    // Who closed our standard error wants no statistics.
    let _ = out.write_all(shown.as_bytes());
}

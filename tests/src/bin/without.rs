//! Runs a program without some system calls: `without CALL=ERROR[,CALL=ERROR…] PROGRAM [ARG…]`.
//!
//! ```text
//!  without rseq=ENOSYS,membarrier=EPERM cargo test
//! ```
//!
//! A seccomp filter answers each of the named calls with its error, in the program and in all that
//! it starts: what gVisor, old kernels and the profiles of containers do.

#[path = "../seccomp.rs"]
mod seccomp;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

const CALLS: [(&str, i64); 4] = [
    ("rseq", libc::SYS_rseq),
    ("membarrier", libc::SYS_membarrier),
    ("sched_getaffinity", libc::SYS_sched_getaffinity),
    ("madvise", libc::SYS_madvise),
];
const ERRORS: [(&str, i32); 3] =
    [("ENOSYS", libc::ENOSYS), ("EPERM", libc::EPERM), ("EINVAL", libc::EINVAL)];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(denied), Some(program)) = (arguments.next(), arguments.next()) else {
        return fail("usage: without CALL=ERROR[,CALL=ERROR…] PROGRAM [ARG…]");
    };
    let denied = match denied.to_str().ok_or_else(|| "not text".to_string()).and_then(pairs) {
        Ok(denied) => denied,
        Err(why) => return fail(&why),
    };
    if let Err(why) = seccomp::refuse(&denied) {
        return fail(&format!("the kernel takes no filter: {why}"));
    }
    let why = Command::new(&program).args(arguments).exec();
    fail(&format!("cannot run {}: {why}", program.display()))
}

fn fail(why: &str) -> ExitCode {
    eprintln!("without: {why}");
    ExitCode::from(125)
}

/// The number in `table` of the name `word`.
fn number<T: Copy>(table: &[(&str, T)], word: &str) -> Result<T, String> {
    let names = || table.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let found = table.iter().find(|(name, _)| *name == word);
    found.map(|(_, number)| *number).ok_or_else(|| format!("`{word}` is not one of: {}", names()))
}

/// The calls that `denied` names, with their errors.
fn pairs(denied: &str) -> Result<Vec<(i64, i32)>, String> {
    let pair = |text: &str| {
        let (call, error) =
            text.split_once('=').ok_or_else(|| format!("`{text}` is not CALL=ERROR"))?;
        Ok((number(&CALLS, call)?, number(&ERRORS, error)?))
    };
    denied.split(',').map(pair).collect()
}

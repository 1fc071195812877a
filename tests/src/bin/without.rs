//! Runs a program without some system calls: `without CALL=ERROR[,CALL=ERROR…] PROGRAM [ARG…]`.
//!
//! ```text
//!  without rseq=ENOSYS,membarrier=EPERM cargo test
//! ```
//!
//! A seccomp filter answers each of the named calls with its error, in the program and in all that
//! it starts: what gVisor, old kernels and the profiles of containers do.
#![allow(unsafe_code)]

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

const CALLS: [(&str, i64); 5] = [
    ("rseq", libc::SYS_rseq),
    ("membarrier", libc::SYS_membarrier),
    ("mbind", libc::SYS_mbind),
    ("get_mempolicy", libc::SYS_get_mempolicy),
    ("sched_getaffinity", libc::SYS_sched_getaffinity),
];
const ERRORS: [(&str, i32); 3] =
    [("ENOSYS", libc::ENOSYS), ("EPERM", libc::EPERM), ("EINVAL", libc::EINVAL)];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(denied), Some(program)) = (arguments.next(), arguments.next()) else {
        return refuse("usage: without CALL=ERROR[,CALL=ERROR…] PROGRAM [ARG…]");
    };
    let filter = match denied.to_str().ok_or_else(|| "not text".to_string()).and_then(filter) {
        Ok(filter) => filter,
        Err(why) => return refuse(&why),
    };
    if let Err(why) = install(&filter) {
        return refuse(&format!("the kernel takes no filter: {why}"));
    }
    let why = Command::new(&program).args(arguments).exec();
    refuse(&format!("cannot run {}: {why}", program.display()))
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("without: {why}");
    ExitCode::from(125)
}

/// The number in `table` of the name `word`.
fn number<T: Copy>(table: &[(&str, T)], word: &str) -> Result<T, String> {
    let names = || table.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let found = table.iter().find(|(name, _)| *name == word);
    found.map(|(_, number)| *number).ok_or_else(|| format!("`{word}` is not one of: {}", names()))
}

fn step(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// The filter for `denied`: compares the call's number with one after the other.
fn filter(denied: &str) -> Result<Vec<libc::sock_filter>, String> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    // The number is the first word of `seccomp_data`.
    let mut steps = vec![step(LOAD, 0, 0, 0)];
    for pair in denied.split(',') {
        let (call, error) =
            pair.split_once('=').ok_or_else(|| format!("`{pair}` is not CALL=ERROR"))?;
        let (call, error) = (number(&CALLS, call)?, number(&ERRORS, error)?);
        steps.push(step(IF_EQUAL, call as u32, 0, 1));
        steps.push(step(RETURN, libc::SECCOMP_RET_ERRNO | error as u32, 0, 0));
    }
    steps.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0));
    Ok(steps)
}

fn install(filter: &[libc::sock_filter]) -> std::io::Result<()> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: prctl reads the filter; both calls change this process alone.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

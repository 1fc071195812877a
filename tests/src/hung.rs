//! What a process that hangs is doing, before it is ended.
//!
//! ```text
//!  each process of its group   each thread: where in the kernel it sleeps
//!                              gdb, where there is one: where each thread is
//! ```

use core::fmt::Write;
use std::process::{Command, Stdio};

/// Looks at all processes of the group `group`.
#[must_use]
pub fn look(group: u32) -> String {
    let mut said = String::new();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if group_of(process) == Some(group) {
            look_at(process, &mut said);
        }
    }
    said
}

/// Looks at one process, and adds to `said`.
pub fn look_at(process: u32, said: &mut String) {
    _ = writeln!(said, "process {process}:");
    threads(process, said);
    said.push_str(&backtraces(process));
}

/// The fifth field of `stat`, the third after the name, which may hold anything.
fn group_of(process: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()
}

fn threads(process: u32, said: &mut String) {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    for task in tasks {
        let read = |name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let (name, call, place) = (read("comm"), read("syscall"), read("wchan"));
        let number = task.file_name();
        let (name, call) = (name.trim(), call.trim());
        _ = writeln!(said, "  {} {name}: {place} {call}", number.display());
    }
}

fn backtraces(process: u32) -> String {
    let gdb = ["-batch", "-nx", "-ex", "thread apply all backtrace 30", "-p"];
    let output = Command::new("timeout")
        .args(["60", "gdb"])
        .args(gdb)
        .arg(process.to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    output.map_or_else(|_| String::new(), |o| String::from_utf8_lossy(&o.stdout).into_owned())
}

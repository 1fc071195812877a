//! One sequence in a process of its own, forked from a test that never used the heap.
//!
//! ```text
//!  test ── fork ──► child: stderr → pipe, runs, 24 bytes of counts → pipe, _exit(0)
//!    └─ reads the pipe to its end ◄─┘         a panic, a signal, a hang: text, not 0
//! ```

use cidalloc_operations::Done;
use core::fmt::Write as _;
use std::io::Read;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// Seconds after which a sequence hangs. It takes milliseconds.
const DEADLINE: u32 = 60;
const COUNTS: &str = "counts ";

/// Runs `sequence` in a child; its counts, or how it failed.
pub(crate) fn run(sequence: impl FnOnce() -> Done) -> Result<Done, String> {
    let mut ends = [0; 2];
    // SAFETY: fills two descriptors.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0, "a pipe");
    // SAFETY: the child runs on this thread alone; libc makes its malloc usable after fork.
    let child = unsafe { libc::fork() };
    if child == 0 {
        in_child(ends[1], sequence);
    }
    // SAFETY: the parent's own end for writing; the other becomes a file's.
    let mut reader = unsafe {
        libc::close(ends[1]);
        std::fs::File::from_raw_fd(ends[0])
    };
    assert!(child > 0, "cannot fork: {}", std::io::Error::last_os_error());
    let mut bytes = Vec::new();
    // What was read so far is said.
    let _ = reader.read_to_end(&mut bytes);
    let mut status = 0;
    // SAFETY: our own child.
    while unsafe { libc::waitpid(child, &mut status, 0) } != child {}
    let said = String::from_utf8_lossy(&bytes);
    let status = ExitStatus::from_raw(status);
    // The heap may have said something of its options before.
    let counts = said.rsplit_once(COUNTS).filter(|_| status.success());
    match counts.map(|(_, text)| text.split(' ').filter_map(|n| n.parse().ok()).collect::<Vec<_>>())
    {
        Some(counts) if counts.len() == 3 => {
            Ok(Done { calls: counts[0], refused: counts[1], threads: counts[2] })
        }
        _ if status.signal() == Some(libc::SIGALRM) => {
            Err(format!("hung for {DEADLINE} s: {said}"))
        }
        _ => Err(format!("{status}: {}", said.trim_end())),
    }
}

fn in_child(pipe: i32, sequence: impl FnOnce() -> Done) -> ! {
    // What the heap says before it ends the process goes to stderr, whatever the harness does.
    // SAFETY: descriptors of this process; an alarm ends it where it hangs.
    unsafe {
        libc::dup2(pipe, 2);
        libc::alarm(DEADLINE);
    }
    std::panic::set_hook(Box::new(|info| {
        say(info.payload_as_str().unwrap_or("a panic without a text"));
        // SAFETY: ends the process at once: unwinding would run through a broken heap.
        unsafe { libc::_exit(1) }
    }));
    let done = sequence();
    let mut text = String::from(COUNTS);
    let _ = write!(text, "{} {} {}", done.calls, done.refused, done.threads);
    say(&text);
    // SAFETY: as above; exit handlers are the parent's.
    unsafe { libc::_exit(0) }
}

fn say(text: &str) {
    // SAFETY: descriptor 2 stays open.
    let stderr = unsafe { std::fs::File::from_raw_fd(2) };
    let _ = std::io::Write::write_all(&mut &stderr, text.as_bytes());
    let _ = stderr.into_raw_fd();
}

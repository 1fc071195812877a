//! Child processes: a program under the library, what it said, and how it ended.
//!
//! ```text
//!   exit 0 and "ok CASE"            passed
//!   exit 0 and "skip CASE: REASON"  the reason is printed; fails where skips are forbidden
//!   exit 1 and one line on stderr   the check that failed
//!   anything else                   a crash, or a hang that the deadline ended
//! ```
#![allow(unsafe_code)]

use crate::subject::subject;
use crate::{compile_c, compile_cxx, skip};
use core::fmt;
use core::time::Duration;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Instant;

/// How long a program may take before it counts as hanging. Programs take a few seconds on an
/// idle machine; the rest is for loaded ones.
const DEADLINE: Duration = Duration::from_secs(180);

/// The variables of the tests themselves: the library reports those of its prefix that it does not
/// know.
pub const VARIABLES: [&str; 5] = [
    "CIDALLOC_TEST_LIB",
    "CIDALLOC_TEST_SOURCE",
    "CIDALLOC_TEST_FULL",
    "CIDALLOC_FORBID_SKIP",
    "CIDALLOC_BLESS",
];

/// How a child ended and what it wrote.
#[derive(Debug)]
pub struct Output {
    /// The exit status; [`Output::timed_out`] says whether the deadline caused it.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
    /// Whether it was killed because it took too long.
    pub timed_out: bool,
    /// Where its threads were then.
    pub hung: String,
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.timed_out {
            write!(f, "hung and was killed:\n{}", self.hung)?;
        } else {
            write!(f, "{}", self.status)?;
        }
        write!(f, "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr)
    }
}

/// What surrounds a program: arguments, environment, address space, a launcher before it.
#[derive(Debug, Default, Clone)]
pub struct Limits<'a> {
    /// Arguments after the name of the case.
    pub args: &'a [&'a str],
    /// Variables added to the environment.
    pub envs: &'a [(&'a str, &'a str)],
    /// `RLIMIT_AS`, set before the program is executed.
    pub address_space: Option<u64>,
    /// A command that gets the program's command line as its last arguments, and executes it.
    pub launcher: &'a [&'a str],
    /// How long it may take before it counts as hanging, if longer than programs usually do.
    pub patience: Option<Duration>,
}

/// Runs `command` with the library under test preloaded and `envs` added.
///
/// # Panics
/// If the program cannot be started.
pub fn run_preloaded(command: &mut Command, envs: &[(&str, &str)]) -> Output {
    run_within(command, envs, DEADLINE)
}

fn run_within(command: &mut Command, envs: &[(&str, &str)], deadline: Duration) -> Output {
    let subject = subject();
    command.env_remove("LD_PRELOAD");
    if let Some(path) = subject.path() {
        command.env("LD_PRELOAD", path);
    }
    // The library reports variables of its prefix that it does not know, and these are ours.
    for name in VARIABLES {
        command.env_remove(name);
    }
    command.env("SUBJECT_UNDER_TEST", subject.word());
    command.envs(envs.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own, so that the children of a hanging child can be ended with it.
    command.process_group(0);
    let mut child =
        command.spawn().unwrap_or_else(|e| panic!("cannot start {:?}: {e}", command.get_program()));
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let timed_out = !exits_in_time(&child, deadline);
    let hung = if timed_out { crate::hung::look(child.id()) } else { String::new() };
    // Before the child is reaped, while its number cannot be another group's. Whatever it left
    // behind would hold the pipes open.
    // SAFETY: kill takes no memory of ours.
    unsafe { libc::kill(-group(&child), libc::SIGKILL) };
    let status = child.wait().expect("our own child can be waited for");
    Output {
        status,
        stdout: stdout.join().expect("the reader of stdout"),
        stderr: stderr.join().expect("the reader of stderr"),
        timed_out,
        hung,
    }
}

fn group(child: &Child) -> libc::pid_t {
    libc::pid_t::try_from(child.id()).expect("a process id is a pid_t")
}

fn collect<R: Read + Send + 'static>(pipe: Option<R>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // A pipe that breaks ends the text; how the child ended is told by its status.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn exits_in_time(child: &Child, deadline: Duration) -> bool {
    let start = Instant::now();
    let mut pause = Duration::from_micros(500);
    while start.elapsed() < deadline {
        // SAFETY: an all-zero siginfo_t is a valid one; waitid fills it.
        let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
        // SAFETY: info outlives the call.
        let rc = unsafe { libc::waitid(libc::P_PID, child.id(), &mut info, flags) };
        // SAFETY: waitid filled info, or left it zero while the child runs.
        if rc == 0 && unsafe { info.si_pid() } != 0 {
            return true;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
    false
}

/// Runs the case `case` of the C or C++ program `source` under the library, and expects `ok`.
///
/// # Panics
/// If the case fails, crashes or hangs.
pub fn passes(source: &str, case: &str) {
    passes_with(source, case, &Limits::default());
}

/// As [`passes`], surrounded by `limits`; what it said, where it was not skipped.
///
/// # Panics
/// As [`passes`].
pub fn passes_with(source: &str, case: &str, limits: &Limits<'_>) -> Option<Output> {
    let output = run_case(source, case, limits)?;
    let what = format!("{source} {case}");
    assert!(!output.timed_out && output.status.success(), "{what}: {output}");
    let said = |word: &str| {
        let start = format!("{word} {case}");
        output.stdout.lines().find(|line| {
            line.strip_prefix(&start).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        })
    };
    if let Some(line) = said("skip") {
        skip(&what, line.split_once(": ").map_or("", |(_, reason)| reason));
        return None;
    }
    assert!(said("ok").is_some(), "{what} ended without saying so: {output}");
    Some(output)
}

/// Runs `case` of `source` and returns how it ended; none where it cannot be compiled.
///
/// # Panics
/// If the program cannot be built or started.
#[must_use]
pub fn run_case(source: &str, case: &str, limits: &Limits<'_>) -> Option<Output> {
    let program = match source.ends_with(".cc") {
        false => compile_c(source)?,
        true => compile_cxx(source)?,
    };
    let mut command = match limits.launcher {
        [launcher, arguments @ ..] => {
            let mut command = Command::new(launcher);
            command.args(arguments).arg(program);
            command
        }
        [] => Command::new(program),
    };
    command.arg(case).args(limits.args);
    if let Some(bytes) = limits.address_space {
        // SAFETY: setrlimit is async-signal-safe and reads only its argument.
        unsafe {
            command.pre_exec(move || {
                let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
                match libc::setrlimit(libc::RLIMIT_AS, &limit) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
    }
    let deadline = limits.patience.unwrap_or_default().max(DEADLINE);
    Some(run_within(&mut command, limits.envs, deadline))
}

/// Expects that the child died by SIGABRT and that its first line on stderr is `line`.
///
/// # Panics
/// If it did not.
pub fn assert_aborted(output: &Output, line: &str) {
    assert!(
        !output.timed_out && output.status.signal() == Some(libc::SIGABRT),
        "expected SIGABRT and {line:?}: {output}"
    );
    assert_eq!(output.stderr.lines().next(), Some(line), "the first line of stderr: {output}");
}

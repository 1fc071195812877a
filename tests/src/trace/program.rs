//! A program to be traced: what it is executed with, and what it writes.
//!
//! ```text
//!   fork ─► traced, stopped ─► output, filter of calls ─► execve ─► stopped: a Tracee
//! ```
#![allow(unsafe_code)]

use super::tracee::{REFUSED, Stop, Tracee, become_traced, memory_of};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

/// A file without a name, for what a tracee writes.
#[derive(Debug)]
pub struct Memory(File);

impl Memory {
    /// An empty one.
    ///
    /// # Panics
    /// If the kernel has none.
    #[must_use]
    pub fn new() -> Self {
        // SAFETY: the name ends in zero; the descriptor is ours alone.
        let fd = unsafe { libc::memfd_create(c"tracee".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(fd >= 0, "no file in memory: {}", io::Error::last_os_error());
        // SAFETY: as above.
        Self(unsafe { File::from_raw_fd(fd) })
    }

    /// All that was written so far.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn text(&self) -> String {
        let length = self.0.metadata().expect("our own file").len() as usize;
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, 0).expect("our own file");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// What becomes a tracee by `execve`.
#[derive(Debug)]
pub struct Program<'a> {
    command: Vec<CString>,
    environment: Vec<CString>,
    output: &'a Memory,
    stops_at_calls: bool,
}

impl<'a> Program<'a> {
    /// `command`, a path and arguments, under the library under test, with `environment` alone;
    /// it writes to `output`.
    ///
    /// # Panics
    /// If there is no library, or a text has a zero in it.
    #[must_use]
    pub fn preloaded(command: &[&OsStr], environment: &[(&str, &str)], output: &'a Memory) -> Self {
        let text = |bytes: &[u8]| CString::new(bytes).expect("a text without a zero");
        let pair =
            |name: &str, value: &OsStr| text(&[name.as_bytes(), b"=", value.as_bytes()].concat());
        let library = crate::preload_library();
        let own = [
            pair("LD_PRELOAD", library.as_os_str()),
            pair("SUBJECT_UNDER_TEST", crate::subject().word().as_ref()),
        ];
        let others = environment.iter().map(|(name, value)| pair(name, value.as_ref()));
        Self {
            command: command.iter().map(|word| text(word.as_bytes())).collect(),
            environment: own.into_iter().chain(others).collect(),
            output,
            stops_at_calls: false,
        }
    }

    /// Each of its system calls is a stop.
    #[must_use]
    pub fn stopping_at_calls(self) -> Self {
        Self { stops_at_calls: true, ..self }
    }
}

/// Has each system call from now on be a stop, and fail where nobody traces.
///
/// # Safety
/// Only in a child that has just been forked.
unsafe fn stop_at_calls() -> bool {
    let all = libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_TRACE,
    };
    let filter = libc::sock_fprog { len: 1, filter: (&raw const all).cast_mut() };
    // SAFETY: the kernel copies the filter; both calls change this process alone.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) == 0
    }
}

impl Tracee {
    /// A child of this process that executes `program`, stopped behind the `execve`.
    ///
    /// # Errors
    /// As [`Self::fork`]; and the kernel has no seccomp, or the program cannot be executed.
    pub fn exec(program: &Program<'_>) -> Result<Self, String> {
        let pointers = |texts: &[CString]| {
            texts.iter().map(|text| text.as_ptr()).chain([core::ptr::null()]).collect::<Vec<_>>()
        };
        let (arguments, variables) = (pointers(&program.command), pointers(&program.environment));
        let output = program.output.0.as_raw_fd();
        // SAFETY: the child calls nothing but the system.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: as above; the vectors were made by the parent, and end with null.
            unsafe {
                become_traced();
                if libc::dup2(output, 1) == 1
                    && libc::dup2(output, 2) == 2
                    && (!program.stops_at_calls || stop_at_calls())
                {
                    libc::execve(arguments[0], arguments.as_ptr(), variables.as_ptr());
                }
                libc::_exit(REFUSED);
            }
        }
        let options = libc::PTRACE_O_TRACEEXEC
            | libc::PTRACE_O_TRACESECCOMP
            | libc::PTRACE_O_TRACECLONE
            | libc::PTRACE_O_TRACEFORK
            | libc::PTRACE_O_TRACEVFORK;
        let mut tracee = Self::adopt(pid, options)?;
        loop {
            tracee.resume(0);
            match tracee.wait() {
                Stop::Event(libc::PTRACE_EVENT_EXEC) => break,
                Stop::Event(_) => {}
                other => {
                    return Err(format!("{:?} cannot be executed: {other:?}", program.command[0]));
                }
            }
        }
        // What was opened is the memory of before.
        tracee.memory = memory_of(pid)?;
        Ok(tracee)
    }
}

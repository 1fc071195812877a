//! System calls of one library, in all threads and children of a program: counted, and failed.
//!
//! ```text
//!   seccomp: every call of the program is a stop
//!     └─ rip in the library, or in libc's `syscall` that returns to it?
//!          no   goes on
//!          yes  the n-th of them ─► does not happen, returns -ERROR     (orig_rax = -1)
//!
//!   marks   the program's own calls of numbers that no kernel has
//!     HOLD  nothing fails from here on, nothing counts       GO  all goes on as planned
//! ```

use super::maps::{mapping_at, mapping_of};
use super::program::Program;
use super::tracee::{
    Stop, Tracee, kill, memory_of, registers_of, request, set_registers_of, wait_for,
};
use crate::elf::Image;
use core::ops::Range;
use libc::{c_int, pid_t};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Nothing fails and nothing counts from here on, as `tests/exhaustion/all.c` says it.
const HOLD: u64 = 9_000_000;
/// From here on it does.
const GO: u64 = 9_000_001;

/// Bytes of libc's function `syscall`, at most.
const LENGTH_OF_SYSCALL: u64 = 64;

/// Which of the library's calls fail: counted from 1, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// None: they are counted.
    None,
    /// This one.
    Nth(u64),
    /// This one, and all that follow until the program says that memory is back.
    From(u64),
}

/// What became of a program.
#[derive(Debug)]
pub struct Run {
    /// How its first process ended.
    pub end: Stop,
    /// The library's calls that counted, by number.
    pub calls: Vec<u64>,
    /// How many failed.
    pub failed: u64,
}

struct Observer<'a> {
    path: &'a Path,
    /// Where the library is, in all tasks: none of them executes another program.
    library: Option<Range<u64>>,
    /// Where it keeps the address of libc's `syscall`, from its first byte on.
    import: u64,
    /// The loader, which makes the first call. It calls for nobody else.
    loader: Range<u64>,
    failing: Failing,
    error: c_int,
    is_held: bool,
    /// Whether the calls that were to fail have begun to.
    has_begun: bool,
    /// The memory of each traced thread or process.
    tasks: BTreeMap<pid_t, File>,
    run: Run,
}

/// Runs `program`, and has calls of the library at `library` fail with `error`.
///
/// # Errors
/// Why it cannot be traced.
///
/// # Panics
/// If the kernel breaks its word about a tracee.
pub fn observe(
    program: Program<'_>,
    library: &Path,
    failing: Failing,
    error: c_int,
) -> Result<Run, String> {
    let mut tracee = Tracee::exec(&program.stopping_at_calls())?;
    let mut observer = Observer {
        path: library,
        library: None,
        import: Image::read(library).import("syscall").expect("the library calls the system"),
        loader: 0..0,
        failing,
        error,
        is_held: false,
        has_begun: false,
        tasks: BTreeMap::new(),
        run: Run { end: Stop::Trap, calls: Vec::new(), failed: 0 },
    };
    let first = tracee.pid();
    observer.meet(first);
    tracee.resume(0);
    while !observer.tasks.is_empty() {
        let (pid, stop) = wait_for(-1);
        let signal = match stop {
            Stop::Exited(_) | Stop::Killed(_) => {
                observer.tasks.remove(&pid);
                if pid == first {
                    observer.run.end = stop;
                    tracee.is_over();
                    // What it left behind has nobody to end it.
                    observer.tasks.keys().for_each(|&pid| kill(pid));
                }
                continue;
            }
            Stop::Event(libc::PTRACE_EVENT_SECCOMP) => {
                observer.meet(pid);
                observer.call(pid);
                0
            }
            // Its first stop, which is told before or after its maker's event.
            Stop::Signal(libc::SIGSTOP) if observer.meet(pid) => 0,
            Stop::Signal(signal) => signal,
            Stop::Event(_) => 0,
            Stop::Trap => libc::SIGTRAP,
        };
        // One that was killed meanwhile is told of by the next wait.
        let _ = request(libc::PTRACE_CONT as c_int, pid, 0, signal as usize);
    }
    Ok(observer.run)
}

impl Observer<'_> {
    /// Whether it is a new task.
    fn meet(&mut self, pid: pid_t) -> bool {
        if self.tasks.contains_key(&pid) {
            return false;
        }
        memory_of(pid).is_ok_and(|memory| self.tasks.insert(pid, memory).is_none())
    }

    /// A system call of `pid` is about to be made.
    fn call(&mut self, pid: pid_t) {
        let mut registers = registers_of(pid);
        match registers.orig_rax {
            HOLD => (self.is_held, self.has_begun) = (true, false),
            GO => self.is_held = false,
            _ => {}
        }
        if self.is_held || !self.is_of_library(pid, registers.rip, registers.rsp) {
            return;
        }
        self.run.calls.push(registers.orig_rax);
        let now = self.run.calls.len() as u64;
        let fails = match self.failing {
            Failing::None => false,
            Failing::Nth(n) => n == now,
            Failing::From(n) => n == now || self.has_begun,
        };
        if fails {
            self.has_begun = true;
            self.run.failed += 1;
            registers.orig_rax = u64::MAX;
            registers.rax = i64::from(-self.error).cast_unsigned();
            set_registers_of(pid, &registers);
        }
    }

    fn is_of_library(&mut self, pid: pid_t, rip: u64, rsp: u64) -> bool {
        if self.loader.is_empty() {
            self.loader = mapping_at(pid, rip);
        }
        if self.loader.contains(&rip) {
            return false;
        }
        if self.library.is_none() {
            self.library = mapping_of(pid, self.path);
        }
        let (Some(library), Some(memory)) = (&self.library, self.tasks.get(&pid)) else {
            return false;
        };
        let word = |address: u64| {
            let mut bytes = [0; 8];
            memory.read_exact_at(&mut bytes, address).map_or(0, |()| u64::from_le_bytes(bytes))
        };
        // It has no frame: what it returns to is on top of the stack. On that of others may lie
        // whatever the library left there.
        let syscall = word(library.start + self.import);
        library.contains(&rip)
            || (syscall..syscall + LENGTH_OF_SYSCALL).contains(&rip) && library.contains(&word(rsp))
    }
}

//! One traced process and its breakpoints.
//!
//! ```text
//!   .. 48 8b 0c c3 ..      plant ─►   .. cc 8b 0c c3 ..      the byte is kept in `planted`
//!      ▲ address                        ▲ SIGTRAP, rip behind it
//!                          lift, rip ◄─ address ─► resume: as if it had never been there
//! ```
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::ops::Range;
use libc::{c_int, c_long, pid_t, user_regs_struct};
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Seconds after which a tracee is ended by SIGALRM: sections that never end, or a deadlock.
const DEADLINE_S: u32 = 150;
const INT3: u8 = 0xcc;
/// The exit status of a child that may not be traced.
const REFUSED: c_int = 77;

/// Why a tracee does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// An `int3`, or the end of a step.
    Trap,
    /// A `PTRACE_EVENT_…`.
    Event(c_int),
    /// A signal that it has not got yet.
    Signal(c_int),
    /// It ended with this status.
    Exited(c_int),
    /// It was ended by this signal.
    Killed(c_int),
}

impl Stop {
    pub(crate) fn of(status: c_int) -> Self {
        if libc::WIFEXITED(status) {
            return Self::Exited(libc::WEXITSTATUS(status));
        }
        if libc::WIFSIGNALED(status) {
            return Self::Killed(libc::WTERMSIG(status));
        }
        match (libc::WSTOPSIG(status), status >> 16) {
            (libc::SIGTRAP, 0) => Self::Trap,
            (signal, 0) => Self::Signal(signal),
            (_, event) => Self::Event(event),
        }
    }
}

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

/// A process traced by the thread that made it.
#[derive(Debug)]
pub struct Tracee {
    pid: pid_t,
    memory: File,
    planted: BTreeMap<u64, u8>,
    is_over: bool,
    /// Other threads are no tracers of it.
    not_send: PhantomData<*const ()>,
}

/// One request of ptrace.
pub(crate) fn request(what: c_int, pid: pid_t, address: usize, data: usize) -> io::Result<c_long> {
    // SAFETY: by number, since libcs differ in the type of `request`. What a request writes to
    // our memory goes where its caller here says.
    match unsafe { libc::syscall(libc::SYS_ptrace, c_long::from(what), pid, address, data) } {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value),
    }
}

pub(crate) fn registers_of(pid: pid_t) -> user_regs_struct {
    // SAFETY: numbers, for which zero is a value.
    let mut registers: user_regs_struct = unsafe { core::mem::zeroed() };
    let place = (&raw mut registers).expose_provenance();
    request(libc::PTRACE_GETREGS as c_int, pid, 0, place).expect("a stopped tracee has registers");
    registers
}

pub(crate) fn set_registers_of(pid: pid_t, registers: &user_regs_struct) {
    let place = core::ptr::from_ref(registers).expose_provenance();
    request(libc::PTRACE_SETREGS as c_int, pid, 0, place)
        .expect("a stopped tracee takes registers");
}

/// Waits for `pid`, or with -1 for any tracee of the calling thread.
pub(crate) fn wait_for(pid: pid_t) -> (pid_t, Stop) {
    loop {
        let mut status = 0;
        // SAFETY: the status outlives the call. Without __WNOTHREAD another test's children
        // would be reaped here.
        let got = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        if got > 0 {
            return (got, Stop::of(status));
        }
        let why = io::Error::last_os_error();
        assert_eq!(why.kind(), io::ErrorKind::Interrupted, "waiting for the tracee {pid}: {why}");
    }
}

/// Ends a tracee that was not waited for yet.
pub(crate) fn kill(pid: pid_t) {
    // SAFETY: a child of this thread, whose number is nobody else's until it is reaped.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// In a child: makes it a tracee and stops it. It ends where that is refused.
unsafe fn become_traced() {
    // SAFETY: system calls alone, as in the child of a process with threads they must be.
    unsafe {
        if libc::syscall(libc::SYS_ptrace, libc::PTRACE_TRACEME as c_long, 0, 0, 0) != 0 {
            libc::_exit(REFUSED);
        }
        libc::alarm(DEADLINE_S);
        libc::raise(libc::SIGSTOP);
    }
}

/// Has each system call from now on be a stop, and fail where nobody traces.
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
    /// A child of this process that runs `body`, stopped before it.
    ///
    /// # Errors
    /// Why there is none: ptrace is refused, or there is no `/proc`.
    ///
    /// # Safety
    /// `body` is for a child of a process with threads: no allocation, no lock, no panic.
    pub unsafe fn fork(body: impl FnOnce()) -> Result<Self, String> {
        // SAFETY: the child calls what such a child may call, by the caller's promise.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: as above.
            unsafe {
                become_traced();
                body();
                libc::_exit(0);
            }
        }
        Self::adopt(pid, 0)
    }

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
        // The memory that was opened is that of before.
        tracee.memory = memory_of(pid)?;
        Ok(tracee)
    }

    fn adopt(pid: pid_t, options: c_int) -> Result<Self, String> {
        if pid < 0 {
            return Err(format!("no child for it: {}", io::Error::last_os_error()));
        }
        match wait_for(pid).1 {
            Stop::Signal(libc::SIGSTOP) => {}
            Stop::Exited(REFUSED) => return Err("ptrace is refused here".to_owned()),
            other => return Err(format!("the child to be traced: {other:?}")),
        }
        let options = (options | libc::PTRACE_O_EXITKILL) as usize;
        request(libc::PTRACE_SETOPTIONS as c_int, pid, 0, options)
            .map_err(|why| format!("the kernel takes no options of ptrace: {why}"))?;
        Ok(Self {
            pid,
            memory: memory_of(pid)?,
            planted: BTreeMap::new(),
            is_over: false,
            not_send: PhantomData,
        })
    }

    /// Notes that it ended, and was waited for by another function than [`Self::wait`].
    pub(crate) fn is_over(&mut self) {
        self.is_over = true;
    }

    /// Its process number.
    #[must_use]
    pub fn pid(&self) -> pid_t {
        self.pid
    }

    /// Where the file at `path` is mapped, from its first byte to its last mapping's end; none as
    /// long as it is not.
    #[must_use]
    pub fn mapping(&self, path: &Path) -> Option<Range<u64>> {
        mapping_of(self.pid, path)
    }

    /// Lets it run, with `signal` if that is not 0.
    pub fn resume(&self, signal: c_int) {
        self.go(libc::PTRACE_CONT as c_int, signal);
    }

    /// Lets it run one instruction.
    pub fn step(&self) {
        self.go(libc::PTRACE_SINGLESTEP as c_int, 0);
    }

    fn go(&self, how: c_int, signal: c_int) {
        // A tracee that was killed meanwhile is told of by `wait`.
        let _ = request(how, self.pid, 0, signal as usize);
    }

    /// Waits until it stops.
    pub fn wait(&mut self) -> Stop {
        let stop = wait_for(self.pid).1;
        self.is_over = matches!(stop, Stop::Exited(_) | Stop::Killed(_));
        stop
    }

    /// Its registers, while it is stopped.
    #[must_use]
    pub fn registers(&self) -> user_regs_struct {
        registers_of(self.pid)
    }

    /// Changes them.
    pub fn set_registers(&self, registers: &user_regs_struct) {
        set_registers_of(self.pid, registers);
    }

    /// Its memory from `address` on.
    ///
    /// # Panics
    /// If nothing is mapped there.
    pub fn read(&self, address: u64, bytes: &mut [u8]) {
        self.memory
            .read_exact_at(bytes, address)
            .unwrap_or_else(|why| panic!("the tracee's memory at {address:#x}: {why}"));
    }

    /// Plants an `int3` at `address`.
    ///
    /// # Panics
    /// If nothing is mapped there.
    pub fn plant(&mut self, address: u64) {
        if self.planted.contains_key(&address) {
            return;
        }
        let mut byte = [0];
        self.read(address, &mut byte);
        self.planted.insert(address, byte[0]);
        self.write_code(address, INT3);
    }

    /// Takes it away again.
    pub fn lift(&mut self, address: u64) {
        if let Some(byte) = self.planted.remove(&address) {
            self.write_code(address, byte);
        }
    }

    /// Takes all of them away.
    pub fn lift_all(&mut self) {
        while let Some((&address, _)) = self.planted.first_key_value() {
            self.lift(address);
        }
    }

    fn write_code(&self, address: u64, byte: u8) {
        self.memory
            .write_all_at(&[byte], address)
            .unwrap_or_else(|why| panic!("the tracee's code at {address:#x}: {why}"));
    }

    /// The planted `int3` at which it stopped, with its registers put back to before it; none
    /// where it ran into another one.
    #[must_use]
    pub fn arrived(&self) -> Option<u64> {
        let mut registers = self.registers();
        let address = registers.rip - 1;
        if !self.planted.contains_key(&address) {
            return None;
        }
        registers.rip = address;
        self.set_registers(&registers);
        Some(address)
    }

    /// From a planted `int3`, at which it is stopped: runs the instruction that belongs there.
    ///
    /// # Panics
    /// If the tracee does not come to the next one.
    pub fn step_over(&mut self, address: u64) {
        self.lift(address);
        self.step();
        let stop = self.wait();
        assert_eq!(stop, Stop::Trap, "one step from {address:#x}");
        self.plant(address);
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        kill(self.pid);
        while !matches!(wait_for(self.pid).1, Stop::Exited(_) | Stop::Killed(_)) {
            self.resume(0);
        }
    }
}

/// The mappings of the process `pid`: where they are, and of what.
fn mappings(pid: pid_t) -> Vec<(Range<u64>, String)> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let parsed = maps.lines().filter_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let address = |text| u64::from_str_radix(text, 16).ok();
        let name = rest.split_ascii_whitespace().nth(4).unwrap_or_default();
        Some((address(from)?..address(to)?, name.to_owned()))
    });
    parsed.collect()
}

/// As [`Tracee::mapping`], of the process `pid`.
pub(crate) fn mapping_of(pid: pid_t, path: &Path) -> Option<Range<u64>> {
    let mappings = mappings(pid);
    let mut ranges = mappings.iter().filter(|(_, name)| Path::new(name) == path);
    let first = &ranges.next()?.0;
    Some(first.start..ranges.next_back().map_or(first.end, |(last, _)| last.end))
}

/// The one mapping that `address` is in; empty if there is none.
pub(crate) fn mapping_at(pid: pid_t, address: u64) -> Range<u64> {
    let mut mappings = mappings(pid).into_iter();
    mappings.find(|(range, _)| range.contains(&address)).map_or(0..0, |(range, _)| range)
}

pub(crate) fn memory_of(pid: pid_t) -> Result<File, String> {
    let path = format!("/proc/{pid}/mem");
    File::options().read(true).write(true).open(&path).map_err(|why| format!("{path}: {why}"))
}

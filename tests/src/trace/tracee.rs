//! One traced process and its breakpoints.
//!
//! ```text
//!   .. 48 8b 0c c3 ..      plant ─►   .. cc 8b 0c c3 ..      the byte is kept in `planted`
//!      ▲ address                        ▲ SIGTRAP, rip behind it
//!                          lift, rip ◄─ address ─► resume: as if it had never been there
//! ```
#![allow(unsafe_code)]

use super::maps::mapping_of;
use core::marker::PhantomData;
use core::ops::Range;
use libc::{c_int, c_long, pid_t, user_regs_struct};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Seconds after which a tracee is ended by SIGALRM: sections that never end, or a deadlock.
const DEADLINE_S: u32 = 150;
const INT3: u8 = 0xcc;
/// The exit status of a child that may not be traced.
pub(super) const REFUSED: c_int = 77;

/// Of the debug registers, the one that says which watchpoint stopped the task.
const STATUS: usize = 6;
/// And the one that turns them on.
const CONTROL: usize = 7;

/// Where a debug register is for ptrace.
fn debug_register(number: usize) -> usize {
    core::mem::offset_of!(libc::user, u_debugreg) + number * size_of::<u64>()
}

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
    pub(super) fn of(status: c_int) -> Self {
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

/// A process traced by the thread that made it.
#[derive(Debug)]
pub struct Tracee {
    pid: pid_t,
    pub(super) memory: File,
    planted: BTreeMap<u64, u8>,
    is_over: bool,
    /// Other threads are no tracers of it.
    not_send: PhantomData<*const ()>,
}

/// One request of ptrace.
pub(super) fn request(what: c_int, pid: pid_t, address: usize, data: usize) -> io::Result<c_long> {
    // SAFETY: by number, since libcs differ in the type of `request`. What a request writes to
    // our memory goes where its caller here says.
    match unsafe { libc::syscall(libc::SYS_ptrace, c_long::from(what), pid, address, data) } {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value),
    }
}

pub(super) fn registers_of(pid: pid_t) -> user_regs_struct {
    // SAFETY: numbers, for which zero is a value.
    let mut registers: user_regs_struct = unsafe { core::mem::zeroed() };
    let place = (&raw mut registers).expose_provenance();
    request(libc::PTRACE_GETREGS as c_int, pid, 0, place).expect("a stopped tracee has registers");
    registers
}

pub(super) fn set_registers_of(pid: pid_t, registers: &user_regs_struct) {
    let place = core::ptr::from_ref(registers).expose_provenance();
    request(libc::PTRACE_SETREGS as c_int, pid, 0, place)
        .expect("a stopped tracee takes registers");
}

/// Waits for `pid`, or with -1 for any tracee of the calling thread.
pub(super) fn wait_for(pid: pid_t) -> (pid_t, Stop) {
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
pub(super) fn kill(pid: pid_t) {
    // SAFETY: a child of this thread, whose number is nobody else's until it is reaped.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// In a child: makes it a tracee and stops it. It ends where that is refused.
///
/// # Safety
/// Only in a child that has just been forked.
pub(super) unsafe fn become_traced() {
    // SAFETY: system calls alone, as in the child of a process with threads they must be.
    unsafe {
        if libc::syscall(libc::SYS_ptrace, libc::PTRACE_TRACEME as c_long, 0, 0, 0) != 0 {
            libc::_exit(REFUSED);
        }
        libc::alarm(DEADLINE_S);
        libc::raise(libc::SIGSTOP);
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

    /// The child `pid`, which calls [`become_traced`], with these options of ptrace.
    pub(super) fn adopt(pid: pid_t, options: c_int) -> Result<Self, String> {
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
    pub(super) fn is_over(&mut self) {
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

    /// Has it stop behind each write to the word at `address`, instead of another one; with none, no
    /// more.
    ///
    /// # Errors
    /// Of a kernel, or a machine, without watchpoints.
    pub fn watch(&self, address: Option<u64>) -> io::Result<()> {
        /// On: enabled for the task, for writes, of eight bytes.
        const WRITES_OF_A_WORD: u64 = 1 | 0b01 << 16 | 0b10 << 18;
        self.set_debug_register(CONTROL, 0)?;
        if let Some(address) = address {
            self.set_debug_register(0, address)?;
            self.set_debug_register(CONTROL, WRITES_OF_A_WORD)?;
        }
        Ok(())
    }

    /// Whether the word that is watched was the cause of this stop.
    ///
    /// # Panics
    /// If there are no watchpoints.
    #[must_use]
    pub fn has_written(&self) -> bool {
        let mut status = 0u64;
        let place = (&raw mut status).expose_provenance();
        // By number, the kernel writes the word to where the last argument leads.
        request(libc::PTRACE_PEEKUSER as c_int, self.pid, debug_register(STATUS), place)
            .and_then(|_| self.set_debug_register(STATUS, 0))
            .expect("the debug registers");
        status & 1 == 1
    }

    fn set_debug_register(&self, number: usize, value: u64) -> io::Result<()> {
        let place = debug_register(number);
        request(libc::PTRACE_POKEUSER as c_int, self.pid, place, value as usize).map(drop)
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

pub(super) fn memory_of(pid: pid_t) -> Result<File, String> {
    let path = format!("/proc/{pid}/mem");
    File::options().read(true).write(true).open(&path).map_err(|why| format!("{path}: {why}"))
}

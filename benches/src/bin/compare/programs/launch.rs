//! One process of a program: started, looked into, waited for.
//!
//! ```text
//!  spawn ─► /proc/PID/maps names the library ─► every 20 ms: VmHWM ─► pidfd readable ─► wait4
//!           or it has ended: an error            60 s over: killed
//! ```
//!
//! The kernel's `ru_maxrss` begins with what the parent held when the child became another
//! program, so it counts only where it is more than that; else the last `VmHWM` seen counts.

use core::time::Duration;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use super::Outcome;
use super::recipes::Recipe;

const LIMIT: Duration = Duration::from_secs(60);
const MAPPED_WITHIN: Duration = Duration::from_secs(5);
const LOOK_MS: i32 = 20;

/// Of the caller's environment, what must not reach a run.
const REMOVED: [&str; 6] =
    ["LD_PRELOAD", "LD_LIBRARY_PATH", "LD_DEBUG", "PYTHONPATH", "PYTHONHOME", "LUA_INIT"];

/// A run about to be made.
pub(crate) struct Launch<'a> {
    pub(crate) recipe: &'a Recipe,
    pub(crate) folder: &'a Path,
    pub(crate) preload: Option<&'a Path>,
    pub(crate) env: &'a [(String, String)],
}

/// A run going on. Dropped before its end, it is killed.
pub(crate) struct Running {
    child: Child,
    end: OwnedFd,
    started: Instant,
    errors: std::path::PathBuf,
    /// What `ru_maxrss` begins with.
    floor_kib: u64,
    peak_kib: u64,
    collected: bool,
}

impl Launch<'_> {
    /// Starts the program and makes sure that the library is in it.
    pub(crate) fn start(&self, stdout: Stdio) -> Result<Running, String> {
        let name = self.recipe.program.display();
        let errors = self.folder.join("errors");
        let file = fs::File::create(&errors)
            .map_err(|error| format!("{} cannot be made: {error}", errors.display()))?;
        let mut command = Command::new(&self.recipe.program);
        command.args(&self.recipe.arguments).current_dir(self.folder);
        REMOVED.iter().for_each(|key| {
            command.env_remove(key);
        });
        command.env("LC_ALL", "C").env("TZ", "UTC").env("HOME", self.folder);
        command.envs(self.recipe.env.iter().copied());
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        let library = self.preload.map(real).transpose()?;
        if let Some(library) = library.as_deref().or(self.recipe.preload_without.map(Path::new)) {
            command.env("LD_PRELOAD", library);
        }
        command.stdin(Stdio::null()).stdout(stdout).stderr(file);
        let floor_kib = status_kib("self", "VmHWM:").unwrap_or(0);
        let started = Instant::now();
        let child =
            command.spawn().map_err(|error| format!("{name} cannot be started: {error}"))?;
        let end = pidfd(child.id()).map_err(|why| format!("{name} cannot be watched: {why}"))?;
        let mut running =
            Running { child, end, started, errors, floor_kib, peak_kib: 0, collected: false };
        if let Some(library) = library {
            running.await_mapped(&library)?;
        }
        Ok(running)
    }
}

/// The file behind the library's path, which `maps` names.
fn real(library: &Path) -> Result<std::path::PathBuf, String> {
    let real = fs::canonicalize(library)
        .map_err(|error| format!("{} cannot be preloaded: {error}", library.display()))?;
    if real.to_string_lossy().contains([' ', ':']) {
        return Err(format!("{}: LD_PRELOAD splits at blanks and colons; move it", real.display()));
    }
    Ok(real)
}

/// A field in KiB of `/proc/PROCESS/status`.
fn status_kib(process: &str, key: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn pidfd(id: u32) -> Result<OwnedFd, std::io::Error> {
    // SAFETY: the call takes two numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0) };
    match i32::try_from(fd) {
        // SAFETY: a new descriptor that nobody else has.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(std::io::Error::last_os_error()),
    }
}

impl Running {
    /// Whether it ends within `wait_ms`.
    fn ended(&self, wait_ms: i32) -> bool {
        let mut poll = libc::pollfd { fd: self.end.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&raw mut poll, 1, wait_ms) > 0 }
    }

    fn await_mapped(&mut self, library: &Path) -> Result<(), String> {
        let path = format!("/proc/{}/maps", self.child.id());
        let library = library.to_string_lossy();
        loop {
            let maps = fs::read_to_string(&path).unwrap_or_default();
            if maps.lines().any(|line| line.ends_with(&*library)) {
                return Ok(());
            }
            if self.ended(1) {
                let why = self.complaint();
                return Err(format!("{library} was not mapped before the program ended: {why}"));
            }
            if self.started.elapsed() > MAPPED_WITHIN {
                return Err(format!("{library} is not mapped in the program"));
            }
        }
    }

    /// Notes the highest resident set so far.
    fn look(&mut self) {
        if let Some(kib) = status_kib(&self.child.id().to_string(), "VmHWM:") {
            self.peak_kib = self.peak_kib.max(kib);
        }
    }

    fn complaint(&self) -> String {
        let text = fs::read_to_string(&self.errors).unwrap_or_default();
        text.lines().next().unwrap_or("it said nothing").to_owned()
    }

    /// Waits for the end. The error is one line.
    pub(crate) fn finish(mut self) -> Result<Outcome, String> {
        while !self.ended(LOOK_MS) {
            if self.started.elapsed() > LIMIT {
                return Err(format!("over {} s", LIMIT.as_secs()));
            }
            self.look();
        }
        let wall = self.started.elapsed();
        let (status, usage) = self.collect()?;
        if !status.success() {
            let what = status.signal().map_or_else(
                || format!("exit {}", status.code().unwrap_or(-1)),
                |signal| format!("signal {signal}"),
            );
            return Err(format!("{what}: {}", self.complaint()));
        }
        // The loader only warns where a preload cannot be loaded.
        let complaints = fs::read_to_string(&self.errors).unwrap_or_default();
        if let Some(line) = complaints.lines().find(|line| line.contains("LD_PRELOAD")) {
            return Err(line.to_owned());
        }
        let nanoseconds = |t: libc::timeval| {
            t.tv_sec.unsigned_abs() * 1_000_000_000 + t.tv_usec.unsigned_abs() * 1000
        };
        let most = usage.ru_maxrss.unsigned_abs();
        Ok(Outcome {
            wall_ns: u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX),
            user_ns: nanoseconds(usage.ru_utime),
            sys_ns: nanoseconds(usage.ru_stime),
            peak_kib: if most > self.floor_kib { most } else { self.peak_kib },
            minflt: usage.ru_minflt.unsigned_abs(),
            majflt: usage.ru_majflt.unsigned_abs(),
            vcsw: usage.ru_nvcsw.unsigned_abs(),
            icsw: usage.ru_nivcsw.unsigned_abs(),
        })
    }

    fn collect(&mut self) -> Result<(ExitStatus, libc::rusage), String> {
        let id = i32::try_from(self.child.id()).map_err(|error| error.to_string())?;
        let mut status = 0;
        let mut usage = core::mem::MaybeUninit::<libc::rusage>::zeroed();
        loop {
            // SAFETY: both pointers are valid.
            if unsafe { libc::wait4(id, &raw mut status, 0, usage.as_mut_ptr()) } == id {
                self.collected = true;
                // SAFETY: filled by the call, and all-zero is a valid one.
                return Ok((ExitStatus::from_raw(status), unsafe { usage.assume_init() }));
            }
            let error = std::io::Error::last_os_error();
            if error.kind() != std::io::ErrorKind::Interrupted {
                return Err(format!("the program cannot be waited for: {error}"));
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.collected {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

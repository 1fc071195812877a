//! One process of a program: started, looked into, waited for.
//!
//! ```text
//!  spawn ─► /proc/PID/maps names the library ─► every 20 ms: VmHWM ─► pidfd readable ─► wait4
//!           or it has ended: an error            over its limit: killed
//! ```
//!
//! The kernel's `ru_maxrss` begins with what the parent held when the child became another
//! program, so it counts only where it is more than that; else the last `VmHWM` seen counts.

use core::time::Duration;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use cidalloc_benches::results::Sample;

use super::recipes::Recipe;
use crate::child::ended_well;

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
    /// After this long it is killed.
    pub(crate) limit: Duration,
}

/// A run going on. Dropped before its end, it is killed.
pub(crate) struct Running {
    child: Child,
    end: OwnedFd,
    started: Instant,
    limit: Duration,
    errors: PathBuf,
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
        let mut child =
            command.spawn().map_err(|error| format!("{name} cannot be started: {error}"))?;
        let end = end_of(&mut child).map_err(|why| format!("{name} {why}"))?;
        let mut running = Running {
            child,
            end,
            started,
            limit: self.limit,
            errors,
            floor_kib,
            peak_kib: 0,
            collected: false,
        };
        if let Some(library) = library {
            running.await_mapped(&library)?;
        }
        Ok(running)
    }
}

/// The file behind the library's path, which `maps` names.
fn real(library: &Path) -> Result<PathBuf, String> {
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

/// A descriptor that is readable once the child has ended. Without one the child is killed.
fn end_of(child: &mut Child) -> Result<OwnedFd, String> {
    // SAFETY: the call takes two numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    match i32::try_from(fd) {
        // SAFETY: a new descriptor that nobody else has.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => {
            let error = std::io::Error::last_os_error();
            let _ = child.kill();
            let _ = child.wait();
            Err(format!("cannot be watched: {error}; pidfd_open needs Linux 5.3"))
        }
    }
}

/// Whether what `end` tells of ends within `wait_ms`.
fn ends(end: &OwnedFd, wait_ms: i32) -> bool {
    let mut poll = libc::pollfd { fd: end.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd.
    unsafe { libc::poll(&raw mut poll, 1, wait_ms) > 0 }
}

/// Waits for a child that is not measured; killed where it takes longer than `limit`.
pub(crate) fn wait(mut child: Child, limit: Duration) -> Result<ExitStatus, String> {
    let end = end_of(&mut child)?;
    let in_time = ends(&end, i32::try_from(limit.as_millis()).unwrap_or(i32::MAX));
    if !in_time {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| format!("cannot be waited for: {error}"))?;
    if in_time { Ok(status) } else { Err(format!("took over {} s", limit.as_secs())) }
}

impl Running {
    /// Whether it ends within `wait_ms`.
    fn ended(&self, wait_ms: i32) -> bool {
        ends(&self.end, wait_ms)
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
                let said = self.complaints();
                let why = said.lines().next().unwrap_or("it said nothing");
                return Err(format!("{library} was not mapped before the program ended: {why}"));
            }
            if self.started.elapsed() > MAPPED_WITHIN {
                return Err(format!("{library} is not mapped in the program"));
            }
        }
    }

    /// Notes the highest resident set so far.
    pub(crate) fn look(&mut self) {
        if let Some(kib) = status_kib(&self.child.id().to_string(), "VmHWM:") {
            self.peak_kib = self.peak_kib.max(kib);
        }
    }

    fn complaints(&self) -> String {
        fs::read_to_string(&self.errors).unwrap_or_default()
    }

    /// Waits for the end. The error is one line.
    pub(crate) fn finish(mut self) -> Result<Sample, String> {
        while !self.ended(LOOK_MS) {
            if self.started.elapsed() > self.limit {
                return Err(format!("over {} s", self.limit.as_secs()));
            }
            self.look();
        }
        let wall = self.started.elapsed();
        let (status, usage) = self.collect()?;
        ended_well(status, &self.complaints())?;
        let ns = |t: libc::timeval| t.tv_sec as f64 * 1e9 + t.tv_usec as f64 * 1e3;
        let most = usage.ru_maxrss.unsigned_abs();
        let peak_kib = if most > self.floor_kib { most } else { self.peak_kib };
        if peak_kib == 0 {
            return Err(format!("it ended before its memory could be seen, in {wall:?}"));
        }
        Ok(Sample {
            wall_ns: wall.as_nanos() as f64,
            user_ns: ns(usage.ru_utime),
            sys_ns: ns(usage.ru_stime),
            peak_kib,
            minflt: usage.ru_minflt.unsigned_abs(),
            majflt: usage.ru_majflt.unsigned_abs(),
            vcsw: usage.ru_nvcsw.unsigned_abs(),
            icsw: usage.ru_nivcsw.unsigned_abs(),
            ..Sample::default()
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

//! One run: a process of its own under `LD_PRELOAD`, with a time limit, its output, and
//! the noise around it.

use core::time::Duration;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use crate::noise::{Noise, Watch, cpu_seconds};

/// A run that ended well.
pub(crate) struct Output {
    pub(crate) text: String,
    pub(crate) noise: Noise,
}

/// Runs `program` with `arguments` under `preload`; the error is one line for a cell.
pub(crate) fn run(
    program: &Path,
    arguments: &[&str],
    preload: Option<&Path>,
    limit: Duration,
) -> Result<Output, String> {
    let mut command = Command::new(program);
    command.args(arguments).env_remove("LD_PRELOAD").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(library) = preload {
        command.env("LD_PRELOAD", library);
    }
    let watch = Watch::start();
    let end = Instant::now() + limit;
    let mut child = command
        .spawn()
        .map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
    let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("the child has no pipes".to_owned());
    };
    let mut text = Vec::new();
    let in_time = read_until(&mut stdout, &mut text, end);
    if !in_time {
        // The wait below collects it.
        let _ = child.kill();
    }
    let (status, usage) = wait(child.id())?;
    let noise = watch.stop(cpu_seconds(&usage));
    let mut complaint = String::new();
    let _ = stderr.read_to_string(&mut complaint);
    if !in_time {
        return Err(format!("over {} s", limit.as_secs()));
    }
    if !status.success() {
        let what = status.signal().map_or_else(
            || format!("exit {}", status.code().unwrap_or(-1)),
            |signal| format!("signal {signal}"),
        );
        let why = complaint.lines().next().unwrap_or("it said nothing");
        return Err(format!("{what}: {why}"));
    }
    // The dynamic linker only warns where a preload cannot be loaded.
    if let Some(line) = complaint.lines().find(|line| line.contains("LD_PRELOAD")) {
        return Err(line.to_owned());
    }
    Ok(Output { text: String::from_utf8_lossy(&text).into_owned(), noise })
}

/// Reads to the end of the pipe; false where `end` came first.
fn read_until(pipe: &mut (impl Read + AsRawFd), text: &mut Vec<u8>, end: Instant) -> bool {
    let mut buffer = [0; 4096];
    loop {
        let left = end.saturating_duration_since(Instant::now()).as_millis();
        let mut poll = libc::pollfd { fd: pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd.
        let ready =
            unsafe { libc::poll(&raw mut poll, 1, i32::try_from(left).unwrap_or(i32::MAX)) };
        if ready == 0 {
            return false;
        }
        match pipe.read(&mut buffer) {
            Ok(0) => return true,
            Ok(len) => text.extend_from_slice(&buffer[..len]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return true,
        }
    }
}

/// Collects the child with its own CPU time, which `Child::wait` does not tell.
fn wait(id: u32) -> Result<(ExitStatus, libc::rusage), String> {
    let mut status = 0;
    let mut usage = core::mem::MaybeUninit::<libc::rusage>::zeroed();
    let id = i32::try_from(id).map_err(|error| error.to_string())?;
    loop {
        // SAFETY: both pointers are valid; all-zero is a valid `rusage`.
        let got = unsafe { libc::wait4(id, &raw mut status, 0, usage.as_mut_ptr()) };
        if got == id {
            // SAFETY: filled by the call.
            return Ok((ExitStatus::from_raw(status), unsafe { usage.assume_init() }));
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(format!("the child cannot be waited for: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn shell(script: &str, preload: Option<&Path>, limit: Duration) -> Result<Output, String> {
        run(Path::new("/bin/sh"), &["-c", script], preload, limit)
    }

    #[test]
    fn output_and_failures_of_a_child_are_told_apart() {
        assert_eq!(shell("echo hello", None, LIMIT).ok().unwrap().text, "hello\n");
        assert_eq!(shell("echo why >&2; exit 3", None, LIMIT).err().unwrap(), "exit 3: why");
        assert!(shell("kill -SEGV $$", None, LIMIT).err().unwrap().starts_with("signal 11"));
    }

    #[test]
    fn a_child_over_its_limit_is_ended() {
        let start = Instant::now();
        let error = shell("exec sleep 20", None, Duration::from_secs(1)).err().unwrap();
        assert_eq!(error, "over 1 s");
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_preload_that_the_linker_ignores_is_an_error() {
        let error = shell("true", Some(Path::new("/nonexistent/lib.so")), LIMIT).err().unwrap();
        assert!(error.contains("LD_PRELOAD"), "{error}");
    }
}

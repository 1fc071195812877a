//! One run: a process of its own under `LD_PRELOAD`, with a time limit, its output, its
//! resident set over time, and the noise around it.

use core::time::Duration;
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use crate::interrupt;
use crate::noise::{Noise, Watch};

/// Time between two looks at the resident set.
const SAMPLE_EVERY: Duration = Duration::from_millis(20);

/// What is to be run.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [&'a str],
    /// `None` for the C library's own allocator.
    pub(crate) preload: Option<&'a Path>,
    /// Added to the environment.
    pub(crate) env: &'a [(String, String)],
    pub(crate) limit: Duration,
    /// Whether to watch the resident set.
    pub(crate) timeline: bool,
}

/// A run that ended well.
pub(crate) struct Output {
    pub(crate) text: String,
    /// What it wrote to stderr.
    pub(crate) complaint: String,
    pub(crate) noise: Noise,
    /// Milliseconds since the start, and KiB.
    pub(crate) points: Vec<(f64, u64)>,
}

/// Runs a job; the error is one line for a cell.
pub(crate) fn run(job: Job<'_>) -> Result<Output, String> {
    let mut command = Command::new(job.program);
    command.args(job.arguments).env_remove("LD_PRELOAD").stdin(Stdio::null());
    command.envs(job.env.iter().map(|(key, value)| (key, value)));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(library) = job.preload {
        command.env("LD_PRELOAD", library);
    }
    let watch = Watch::start();
    let start = Instant::now();
    let mut child = command
        .spawn()
        .map_err(|error| format!("{} cannot be started: {error}", job.program.display()))?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("the child has no pipes".to_owned());
    };
    let mut follow = Follow {
        pipes: [(Box::new(stdout), Vec::new()), (Box::new(stderr), Vec::new())],
        open: 2,
        points: Vec::new(),
    };
    let in_time = follow.until_end(child.id(), start, job);
    if !in_time {
        // The wait below collects it.
        let _ = child.kill();
    }
    let status =
        child.wait().map_err(|error| format!("the child cannot be waited for: {error}"))?;
    let noise = watch.stop();
    if interrupt::asked() {
        return Err("interrupted".to_owned());
    }
    if !in_time {
        return Err(format!("over {} s", job.limit.as_secs()));
    }
    let [text, complaint] =
        follow.pipes.map(|(_, text)| String::from_utf8_lossy(&text).into_owned());
    ended_well(status, &complaint)?;
    Ok(Output { text, complaint, noise, points: follow.points })
}

/// Whether a child succeeded, and the dynamic linker took what was to be preloaded.
pub(crate) fn ended_well(status: ExitStatus, complaint: &str) -> Result<(), String> {
    if !status.success() {
        let what = status.signal().map_or_else(
            || format!("exit {}", status.code().unwrap_or(-1)),
            |signal| format!("signal {signal}"),
        );
        let why = complaint.lines().next().unwrap_or("it said nothing");
        return Err(format!("{what}: {why}"));
    }
    // The dynamic linker only warns where a preload cannot be loaded.
    match complaint.lines().find(|line| line.contains("LD_PRELOAD")) {
        Some(line) => Err(line.to_owned()),
        None => Ok(()),
    }
}

trait Pipe: Read + AsRawFd {}
impl<T: Read + AsRawFd> Pipe for T {}

/// A child that is being read from and looked at.
struct Follow {
    pipes: [(Box<dyn Pipe>, Vec<u8>); 2],
    open: usize,
    points: Vec<(f64, u64)>,
}

impl Follow {
    /// Reads to the end of both pipes; false where the limit or an interrupt came first.
    fn until_end(&mut self, id: u32, start: Instant, job: Job<'_>) -> bool {
        let mut next_look = Duration::ZERO;
        let mut is_open = [true; 2];
        while self.open > 0 {
            let now = start.elapsed();
            if now >= job.limit || interrupt::asked() {
                return false;
            }
            let mut pause = job.limit - now;
            if job.timeline {
                if now >= next_look {
                    let kib = resident_kib(id);
                    self.points.extend(kib.map(|kib| (now.as_secs_f64() * 1e3, kib)));
                    next_look = now + SAMPLE_EVERY;
                }
                pause = pause.min(next_look - now);
            }
            self.wait(&mut is_open, pause);
        }
        true
    }

    fn wait(&mut self, is_open: &mut [bool; 2], pause: Duration) {
        // A negative descriptor is left out by the call.
        let mut polls = [0, 1].map(|i| libc::pollfd {
            fd: if is_open[i] { self.pipes[i].0.as_raw_fd() } else { -1 },
            events: libc::POLLIN,
            revents: 0,
        });
        let ms = i32::try_from(pause.as_millis() + 1).unwrap_or(i32::MAX);
        // SAFETY: two valid pollfds.
        unsafe { libc::poll(polls.as_mut_ptr(), 2, ms) };
        for ((poll, (pipe, text)), is_open) in polls.iter().zip(&mut self.pipes).zip(is_open) {
            if poll.revents == 0 {
                continue;
            }
            let mut buffer = [0; 4096];
            match pipe.read(&mut buffer) {
                Ok(len) if len > 0 => text.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => {
                    *is_open = false;
                    self.open -= 1;
                }
            }
        }
    }
}

/// Resident set of a process, by the kernel's cheap counter.
fn resident_kib(id: u32) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{id}/statm")).ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: reads a constant of the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(pages * u64::try_from(page).ok()? / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn job<'a>(arguments: &'a [&'a str]) -> Job<'a> {
        let program = Path::new("/bin/sh");
        Job { program, arguments, preload: None, env: &[], limit: LIMIT, timeline: false }
    }

    fn shell(script: &str) -> Result<Output, String> {
        run(job(&["-c", script]))
    }

    #[test]
    fn output_and_failures_of_a_child_are_told_apart() {
        let output = shell("echo hello; echo aside >&2").ok().unwrap();
        assert_eq!((output.text.as_str(), output.complaint.as_str()), ("hello\n", "aside\n"));
        assert_eq!(shell("echo why >&2; exit 3").err().unwrap(), "exit 3: why");
        assert!(shell("kill -SEGV $$").err().unwrap().starts_with("signal 11"));
    }

    #[test]
    fn a_child_that_says_much_on_both_pipes_does_not_block() {
        let script = "i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789; \
                      echo 0123456789012345678901234567890123456789 >&2; i=$((i+1)); done";
        let output = shell(script).ok().unwrap();
        assert_eq!((output.text.len(), output.complaint.len()), (41 * 3000, 41 * 3000));
    }

    #[test]
    fn a_child_over_its_limit_is_ended() {
        let start = Instant::now();
        let limit = Duration::from_secs(1);
        let error = run(Job { limit, ..job(&["-c", "exec sleep 20"]) }).err().unwrap();
        assert_eq!(error, "over 1 s");
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_preload_that_the_linker_ignores_is_an_error() {
        let preload = Some(Path::new("/nonexistent/lib.so"));
        let error = run(Job { preload, ..job(&["-c", "true"]) }).err().unwrap();
        assert!(error.contains("LD_PRELOAD"), "{error}");
    }

    #[test]
    fn the_resident_set_is_seen_some_fifty_times_a_second() {
        let output = run(Job { timeline: true, ..job(&["-c", "exec sleep 0.5"]) }).ok().unwrap();
        let points = output.points;
        assert!((5..40).contains(&points.len()), "{points:?}");
        assert!(points.windows(2).all(|w| w[0].0 < w[1].0), "{points:?}");
        assert!(points.iter().any(|(_, kib)| *kib > 500), "{points:?}");
    }
}

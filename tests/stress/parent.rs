//! Starts the runs, each a process of its own since options are read once.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `CIDALLOC_STRESS_SECONDS` | how long each run is; else 1.2 s |
//! | `CIDALLOC_STRESS_SEED` | the first seed; else the time |
//! | `CIDALLOC_STRESS_THREADS` | workers, instead of what the test says |

use cidalloc_tests::child::VARIABLES;
use cidalloc_tests::hung;
use core::time::Duration;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Instant, SystemTime};

/// System calls that are denied to the run, as the program `without` takes them.
const WITHOUT: &str = "WITHOUT";

/// One run of the test `worker` of this very binary; what it said, and how often it was stopped.
pub(crate) fn run(threads: u32, with: &str, environment: &[(&str, &str)]) -> (String, u64) {
    let own = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let number = |name: &str| {
        own(name).map(|value| {
            value.parse::<u64>().unwrap_or_else(|_| panic!("{name}={value}: give a whole number"))
        })
    };
    let ms = number("CIDALLOC_STRESS_SECONDS").map_or(1200, |s| s * 1000);
    let seed = number("CIDALLOC_STRESS_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        u64::from(now.map_or(1, |t| t.subsec_nanos()))
    });
    let threads = number("CIDALLOC_STRESS_THREADS").unwrap_or(threads.into());
    let program = std::env::current_exe().expect("the path of the test binary");
    let denied = environment.iter().find(|(name, _)| *name == WITHOUT);
    let mut command = match denied {
        None => Command::new(program),
        Some((_, calls)) => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_without"));
            command.arg(calls).arg(program);
            command
        }
    };
    command.args(["--exact", "worker", "--ignored", "--nocapture", "--test-threads=1"]);
    // The library complains of variables with its prefix that it does not know.
    for name in ["SECONDS", "SEED", "THREADS"] {
        command.env_remove(format!("CIDALLOC_STRESS_{name}"));
    }
    for name in VARIABLES {
        command.env_remove(name);
    }
    let settings = [
        ("STRESS_SEED", seed.to_string()),
        ("STRESS_THREADS", threads.to_string()),
        ("STRESS_MS", ms.to_string()),
        ("STRESS_WITH", with.to_string()),
    ];
    command.envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
    command.envs(environment.iter().copied());
    let what = format!("{settings:?} {environment:?}");
    let log = std::env::temp_dir().join(format!("cidalloc-stress-{}-{seed}", std::process::id()));
    let log = log.with_extension(format!("{:?}", std::thread::current().id()));
    let file = std::fs::File::create(&log).expect("a file in the folder of temporary files");
    command.stdin(Stdio::null()).stdout(file.try_clone().expect("a descriptor")).stderr(file);
    // A group of its own, so that its children end with it.
    command.process_group(0);
    let mut child = command.spawn().expect("this binary can be started");
    let stops = with.split(',').any(|word| word == "stops");
    let deadline = Instant::now() + Duration::from_millis(ms) + Duration::from_secs(150);
    let mut stopped = 0;
    let status = loop {
        match child.try_wait().expect("our own child") {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => break None,
            None if stops => {
                stop_for_a_moment(&child);
                stopped += 1;
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let mut hung = String::new();
    if status.is_none() {
        hung = hung::look(child.id());
        signal(&child, -1, libc::SIGKILL);
        let _ = child.wait();
    }
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    let _ = std::fs::remove_file(&log);
    match status {
        None => panic!("hung and was killed: {what}\n{said}\n{hung}"),
        Some(status) if status.success() && said.contains("ok: seed") => {
            let told = |l: &&str| {
                l.contains("ok: seed")
                    || l.starts_with("skipped: ")
                    || l.starts_with("reliability\t")
            };
            println!("{what}, stopped {stopped} times:");
            said.lines().filter(told).for_each(|line| println!("{line}"));
            let ok = said.lines().find(|line| line.contains("ok: seed")).unwrap_or("");
            (ok.to_owned(), stopped)
        }
        Some(status) => panic!("{status}: {what}\n{said}"),
    }
}

/// Stops the process, and lets it go on.
fn stop_for_a_moment(child: &Child) {
    signal(child, 1, libc::SIGSTOP);
    std::thread::sleep(Duration::from_millis(1));
    signal(child, 1, libc::SIGCONT);
    std::thread::sleep(Duration::from_millis(4));
}

/// Sends `number` to the child (1), or to its whole group (-1).
fn signal(child: &Child, to: libc::pid_t, number: i32) {
    let process = libc::pid_t::try_from(child.id()).expect("a process id is a pid_t");
    // SAFETY: of our own child, which was not waited for yet.
    unsafe { libc::kill(to * process, number) };
}

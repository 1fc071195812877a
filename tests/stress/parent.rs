//! Starts the runs, each a process of its own since options are read once.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `CIDALLOC_STRESS_SECONDS` | how long each run is; else 1.2 s |
//! | `CIDALLOC_STRESS_SEED` | the first seed; else the time |
//! | `CIDALLOC_STRESS_THREADS` | workers, instead of what the test says |

use core::time::Duration;
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime};

/// System calls that are denied to the run, as the program `without` takes them.
const WITHOUT: &str = "WITHOUT";

/// One run of the test `worker` of this very binary.
pub(crate) fn run(threads: u32, with: &str, environment: &[(&str, &str)]) {
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
    for name in ["CIDALLOC_TEST_LIB", "CIDALLOC_FORBID_SKIP", "CIDALLOC_BLESS"] {
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
    let mut child = command.spawn().expect("this binary can be started");
    let deadline = Instant::now() + Duration::from_millis(ms) + Duration::from_secs(150);
    let status = loop {
        match child.try_wait().expect("our own child") {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => break None,
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    let _ = std::fs::remove_file(&log);
    match status {
        None => panic!("hung and was killed: {what}\n{said}"),
        Some(status) if status.success() && said.contains("ok: seed") => {
            let told = |l: &&str| {
                l.contains("ok: seed")
                    || l.starts_with("skipped: ")
                    || l.starts_with("reliability\t")
            };
            println!("{what}:");
            said.lines().filter(told).for_each(|line| println!("{line}"));
        }
        Some(status) => panic!("{status}: {what}\n{said}"),
    }
}

/// The runs that both faces go through.
macro_rules! runs {
    ($($name:ident: $threads:literal $with:literal [$($var:literal = $value:literal)*];)*) => {
        $(
            #[test]
            fn $name() {
                $crate::parent::run($threads, $with, &[$(($var, $value)),*]);
            }
        )*
    };
}
pub(crate) use runs;

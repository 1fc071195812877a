//! Where a run takes place.

use std::process::Command;

use cidalloc_benches::pools::samples::Results;

fn file(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn commit() -> Option<String> {
    let git = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "HEAD"])
        .output()
        .ok()?;
    git.status.success().then(|| String::from_utf8_lossy(&git.stdout).trim().to_owned())
}

/// All of a run that does not depend on what is measured.
pub(crate) fn describe(rounds: u32, interval_ms: u64) -> Results {
    let cpuinfo = file("/proc/cpuinfo");
    let model =
        |line: &str| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim().to_owned());
    Results {
        command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        commit: commit(),
        cpu: cpuinfo.lines().find_map(model).unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        // What a distributor or a provider adds to its number says nothing here.
        kernel: file("/proc/sys/kernel/osrelease").split('-').next().unwrap_or_default().to_owned(),
        rounds,
        interval_ms,
        ..Results::default()
    }
}

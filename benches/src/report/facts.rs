//! Lines on the machine, the columns, the failures and how quiet it was.

use super::number::kib;
use crate::results::{Allocator, Kind, Results};

/// What was compared with what, and where.
#[must_use]
pub fn heading(results: &Results) -> Vec<String> {
    let run = &results.run;
    let mut lines = vec![
        format!(
            "{}, {} CPUs, {}; Linux {}, {}, huge pages {}; cid source: {}",
            run.cpu,
            run.cpus,
            kib(run.memory_kib as f64).replace('\u{202f}', " "),
            run.kernel,
            run.libc,
            run.thp,
            run.cid_source
        ),
        format!("{}; {} at scale {}; {}", run.date, rounds(run.rounds), run.scale, commit(results)),
        format!("command: {}", run.command),
    ];
    lines.extend(results.allocators.iter().map(column));
    lines.extend(run.environment.iter().map(|e| format!("set in the environment: {e}")));
    if run.interrupted {
        lines.push("ended before its time: later rounds or rows are missing".to_owned());
    }
    lines
}

/// `3 rounds`
pub(crate) fn rounds(rounds: u32) -> String {
    if rounds == 1 { "1 round, so without spread".to_owned() } else { format!("{rounds} rounds") }
}

/// The commit, shortened, and whether the tree was just that.
pub(crate) fn commit(results: &Results) -> String {
    match &results.run.commit {
        Some(commit) => {
            let short: String = commit.chars().take(10).collect();
            let more = if results.run.dirty { " with changes" } else { "" };
            format!("commit {short}{more}")
        }
        None => "commit unknown".to_owned(),
    }
}

/// Where an allocator comes from, in words.
pub(crate) const fn origin(kind: Kind) -> &'static str {
    match kind {
        Kind::Ours => "this project",
        Kind::System => "the C library",
        Kind::Debian => "Debian package",
        Kind::Crate => "crate",
        Kind::File => "file",
    }
}

fn column(allocator: &Allocator) -> String {
    let Allocator { name, kind, version, path, note, absent } = allocator;
    if let Some(why) = absent {
        return format!("absent: {name}: {why}");
    }
    let mut line = format!("{name}: {}", origin(*kind));
    for part in [version.as_str(), path.as_deref().unwrap_or_default()] {
        if !part.is_empty() {
            line += &format!(" {part}");
        }
    }
    if !note.is_empty() {
        line += &format!(" ({note})");
    }
    line
}

/// Failures, and how quiet the machine was.
#[must_use]
pub fn closing(results: &Results) -> Vec<String> {
    let failure = |f: &crate::results::Failure| {
        format!(
            "FAILED {} with {}: {}",
            results.workloads[f.workload].name, results.allocators[f.allocator].name, f.why
        )
    };
    let mut lines: Vec<_> = results.failures.iter().map(failure).collect();
    lines.push(noise(results));
    lines
}

/// One sentence.
pub(crate) fn noise(results: &Results) -> String {
    let noise = &results.run.noise;
    format!(
        "{} runs; {} repeated since others took more than {:.0} % of a core; {} stayed disturbed \
         (marked ~); in all {:.0} ms stolen by the hypervisor, {:.0} ms taken by other processes",
        noise.runs,
        noise.repeated,
        noise.limit * 100.0,
        noise.disturbed,
        noise.steal_ms,
        noise.foreign_ms
    )
}

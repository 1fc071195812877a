//! Where and when the comparison runs.

use std::path::Path;
use std::process::Command;

use cidalloc_benches::results::Run;

use crate::allocators::libc_version;

/// Beginnings of names in the environment that tune an allocator.
const TUNING: [&str; 7] = [
    "CIDALLOC_",
    "MALLOC_",
    "MIMALLOC_",
    "TCMALLOC_",
    "_RJEM_MALLOC_",
    "GLIBC_TUNABLES",
    "RPMALLOC_",
];

fn file(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR")])
        .args(arguments)
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The number after `key:` in a file of `/proc`.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(key)?.split_once(':')?.1.trim()))
}

/// The word in brackets.
fn chosen(text: &str) -> &str {
    text.split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or("unknown", |(word, _)| word)
}

/// Now, in UTC, as ISO 8601.
fn date() -> String {
    let mut parts = core::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid, and all-zero is a valid `tm`.
    let parts = unsafe {
        let now = libc::time(core::ptr::null_mut());
        libc::gmtime_r(&raw const now, parts.as_mut_ptr());
        parts.assume_init()
    };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        parts.tm_year + 1900,
        parts.tm_mon + 1,
        parts.tm_mday,
        parts.tm_hour,
        parts.tm_min,
        parts.tm_sec
    )
}

/// Lines on what the environment tunes.
fn environment(set: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let mut lines: Vec<_> = set
        .filter(|(key, _)| TUNING.iter().any(|start| key.starts_with(start)))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    lines.sort();
    lines
}

/// All that does not depend on what will be measured.
pub(crate) fn describe(rounds: u32, scale: f64) -> Run {
    let arguments: Vec<_> = std::env::args().collect();
    let program =
        Path::new(&arguments[0]).file_name().map(|name| name.to_string_lossy().into_owned());
    let mut command = vec![program.unwrap_or_default()];
    command.extend(arguments.into_iter().skip(1));
    let cpu = file("/proc/cpuinfo");
    Run {
        commit: git(&["rev-parse", "HEAD"]),
        dirty: git(&["status", "--porcelain", "--untracked-files=no"])
            .is_some_and(|changes| !changes.is_empty()),
        date: date(),
        command: command.join(" "),
        cpu: field(&cpu, "model name")
            .map_or_else(|| format!("unknown {}", std::env::consts::ARCH), str::to_owned),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory_kib: field(&file("/proc/meminfo"), "MemTotal")
            .and_then(|text| text.split_ascii_whitespace().next()?.parse().ok())
            .unwrap_or(0),
        kernel: file("/proc/sys/kernel/osrelease"),
        libc: libc_version(),
        thp: chosen(&file("/sys/kernel/mm/transparent_hugepage/enabled")).to_owned(),
        cid_source: "not asked: ours did not run".to_owned(),
        rounds,
        scale,
        environment: environment(std::env::vars()),
        ..Run::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_described() {
        let run = describe(3, 1.0);
        assert!(run.cpus > 0 && run.memory_kib > 1000 && !run.kernel.is_empty(), "{run:?}");
        assert!(run.date.len() == 20 && run.date.starts_with("20"), "{}", run.date);
    }

    #[test]
    fn only_what_tunes_an_allocator_is_named_of_the_environment() {
        let set = [("PATH", "/bin"), ("MALLOC_ARENA_MAX", "1"), ("CIDALLOC_STATS", "1")];
        let lines = environment(set.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(lines, ["CIDALLOC_STATS=1", "MALLOC_ARENA_MAX=1"]);
    }

    #[test]
    fn the_mode_of_huge_pages_is_the_one_in_brackets() {
        assert_eq!(chosen("always [madvise] never"), "madvise");
        assert_eq!(chosen(""), "unknown");
    }
}

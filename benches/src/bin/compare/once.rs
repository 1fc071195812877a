//! The row `once`: a C program that allocates once. It is compiled here, since the
//! runtime of a Rust program allocates before `main` and would blur the answer.

use std::path::Path;
use std::process::Command;

use cidalloc_benches::results::Sample;
use cidalloc_benches::stats::spread;

use crate::child::{self, Job};
use crate::folder::Folder;

const LAUNCHES: usize = 9;

/// The folder of the compiled program.
pub(crate) struct Program(Folder);

/// Compiles the program; the error is one line.
pub(crate) fn build() -> Result<Program, String> {
    let folder = Folder::new("once")?;
    let source = folder.0.join("once.c");
    std::fs::write(&source, include_str!("once.c"))
        .map_err(|error| format!("{} cannot be written: {error}", source.display()))?;
    let status = Command::new("cc")
        .args(["-O1", "-o"])
        .arg(folder.0.join("once"))
        .arg(&source)
        .status()
        .map_err(|error| format!("cc cannot be run ({error}); apt-get install gcc libc6-dev"))?;
    if !status.success() {
        return Err("cc could not compile once.c; apt-get install libc6-dev".to_owned());
    }
    Ok(Program(folder))
}

/// The number after `key` at the start of a line.
fn field(text: &str, key: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.split_ascii_whitespace().next()?.parse().ok())
}

/// Launches the program several times under the job's allocator; the sample holds the
/// medians.
pub(crate) fn run(program: &Program, job: Job<'_>) -> Result<Sample, String> {
    let (mut values, mut peaks) = (Vec::new(), Vec::new());
    let once = program.0.0.join("once");
    for _ in 0..LAUNCHES {
        let text = child::run(Job { program: &once, arguments: &[], ..job })?.text;
        if let Some(library) = job.preload {
            let real = std::fs::canonicalize(library).unwrap_or_else(|_| library.to_owned());
            if !mapped(&text, &real) {
                return Err(format!("{} is not mapped in the process", real.display()));
            }
        }
        values.push(field(&text, "Rss:").ok_or("no Rss in smaps_rollup")?);
        peaks.push(field(&text, "VmHWM:").ok_or("no VmHWM in status")?);
    }
    let median = |values: Vec<f64>| spread(values).map_or(0.0, |s| s.median);
    let (value, peak) = (median(values), median(peaks));
    Ok(Sample { value, peak_kib: peak as u64, end_kib: value as u64, ..Sample::default() })
}

fn mapped(maps: &str, library: &Path) -> bool {
    library.to_str().is_some_and(|path| maps.lines().any(|line| line.ends_with(path)))
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn one_allocation_costs_glibc_between_half_a_megabyte_and_four() {
        let program = build().unwrap();
        let job = Job {
            program: Path::new(""),
            arguments: &[],
            preload: None,
            env: &[],
            limit: Duration::from_secs(10),
            timeline: false,
        };
        let sample = run(&program, job).unwrap();
        assert!((512.0..4096.0).contains(&sample.value), "{}", sample.value);
    }
}

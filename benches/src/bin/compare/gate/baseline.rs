//! The stored ratios: one entry per kind of machine, as JSON.
//!
//! ```text
//!  { "entries": [ { "machine": { "cpu", "libc" },
//!                   "figures": [ { "name", "ratio", "noise", "limit", "ours_ns", "glibc_ns" } ] } ] }
//! ```
//!
//! Ratios are compared; glibc's nanoseconds tell whether the machine is at rest.

use core::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::allocators::libc_release;

/// What a ratio depends on besides the two allocators' code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) libc: String,
}

/// The figures of one workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    /// Ours over glibc: the median of the passes' medians.
    pub(crate) ratio: f64,
    /// By how much those medians differed, as a share.
    pub(crate) noise: f64,
    /// By how much a later median may be above `ratio`, as a share.
    pub(crate) limit: f64,
    /// CPU time per operation, the median of the passes.
    pub(crate) ours_ns: f64,
    /// As above, the least of the passes: what it takes at rest.
    pub(crate) glibc_ns: f64,
}

/// The figures of one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) machine: Machine,
    pub(crate) figures: Vec<Figure>,
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Baseline {
    entries: Vec<Entry>,
}

impl Machine {
    /// This one.
    pub(crate) fn here() -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let key = ["model name", "CPU part"];
        let line = info.lines().find(|line| key.iter().any(|key| line.starts_with(key)));
        let cpu =
            line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, name)| name.trim());
        Self { cpu: cpu.to_owned(), libc: libc_release() }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, glibc {}", self.cpu, self.libc)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:18} {:.3} of glibc ({:.2} of {:.2} ns), passes differ by {:.1} %, limit +{:.0} %",
            self.name,
            self.ratio,
            self.ours_ns,
            self.glibc_ns,
            self.noise * 100.0,
            self.limit * 100.0
        )
    }
}

impl Entry {
    /// The figures of `workload`.
    pub(crate) fn figure(&self, workload: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == workload)
    }
}

impl Baseline {
    /// Reads a file; the error is one line.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{name}: {error}; write one: compare gate --write"))?;
        serde_json::from_str(&text).map_err(|error| format!("{name} is no baseline: {error}"))
    }

    /// Writes the file; the error is one line.
    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        std::fs::write(path, text + "\n")
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }

    /// The entry of `machine`, or the first.
    pub(crate) fn entry_for(&self, machine: &Machine) -> Option<&Entry> {
        let own = self.entries.iter().find(|entry| entry.machine == *machine);
        own.or(self.entries.first())
    }

    /// Stores an entry in place of its machine's.
    pub(crate) fn replace(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|old| old.machine == entry.machine) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(cpu: &str, ratio: f64) -> Entry {
        let machine = Machine { cpu: cpu.to_owned(), libc: "2.36".to_owned() };
        let name = "pair/64/1t".to_owned();
        let figure = Figure { name, ratio, noise: 0.01, limit: 0.1, ours_ns: 5.0, glibc_ns: 10.0 };
        Entry { machine, figures: vec![figure] }
    }

    #[test]
    fn each_machine_has_one_entry_and_others_the_first() {
        let mut baseline = Baseline::default();
        assert!(baseline.entry_for(&Machine::here()).is_none());
        for (cpu, ratio) in [("a", 0.5), ("b", 0.6), ("a", 0.7)] {
            baseline.replace(entry(cpu, ratio));
        }
        assert_eq!(baseline.entries, [entry("a", 0.7), entry("b", 0.6)]);
        assert_eq!(baseline.entry_for(&entry("b", 0.0).machine).unwrap(), &entry("b", 0.6));
        assert_eq!(baseline.entry_for(&entry("c", 0.0).machine).unwrap(), &entry("a", 0.7));
    }

    #[test]
    fn a_file_survives_writing_and_reading_and_another_is_refused() {
        let path = std::env::temp_dir().join(format!("cidalloc-gate-{}.json", std::process::id()));
        let mut baseline = Baseline::default();
        baseline.replace(entry("a", 0.5));
        baseline.write(&path).unwrap();
        assert_eq!(Baseline::read(&path).as_ref(), Ok(&baseline));
        std::fs::write(&path, "{}").unwrap();
        assert!(Baseline::read(&path).unwrap_err().contains("no baseline"));
        std::fs::remove_file(&path).unwrap();
        assert!(Baseline::read(&path).unwrap_err().contains("--write"));
    }

    #[test]
    fn the_stored_baseline_has_every_workload_of_the_gate() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/gate/baseline.json");
        let baseline = Baseline::read(Path::new(path)).unwrap();
        let entry = baseline.entries.first().unwrap();
        for workload in &super::super::judge::WORKLOADS {
            let figure = entry.figure(workload.name).unwrap();
            assert!(figure.limit <= workload.ceiling && figure.ratio > 0.0, "{figure}");
        }
    }
}

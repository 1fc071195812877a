//! The statistics that the program's processes left, and how they are shown.
//!
//! ```text
//!  TMP/cidalloc-PID-TIME/   ours alone, removed at the end
//!    statistics             each process appends "cidalloc: statistics of process PID (NAME)" …
//! ```

use crate::{Failure, Whose};
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const HEAD: &str = "cidalloc: statistics of process ";

/// The file to which processes append; goes with its directory when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    dir: PathBuf,
    file: PathBuf,
}

impl Place {
    /// A new, empty one.
    pub(crate) fn new() -> Result<Self, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_nanos());
        let dir = std::env::temp_dir().join(format!("cidalloc-{}-{now}", std::process::id()));
        let file = dir.join("statistics");
        let fail = |error: std::io::Error| {
            let line = format!("no place for statistics, {}: {error}; see TMPDIR", dir.display());
            Failure::new(Failure::OURS, line)
        };
        DirBuilder::new().mode(0o700).create(&dir).map_err(fail)?;
        File::create_new(&file).map_err(fail)?;
        let file = file.canonicalize().map_err(fail)?;
        Ok(Self { dir, file })
    }

    /// The file, by an absolute path.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// What is in it.
    pub(crate) fn text(&self) -> String {
        std::fs::read(&self.file)
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left behind in the directory for temporary files is not worth a failure.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The report of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Report<'a> {
    /// Number of the process.
    pid: u32,
    /// "PID (NAME)".
    who: &'a str,
    /// All of it, headline included.
    text: &'a str,
}

impl<'a> Report<'a> {
    /// The number that stands behind `key`.
    fn number(&self, key: &str) -> &'a str {
        let found = self.text.lines().find_map(|line| {
            let rest = line.strip_prefix(key).filter(|rest| rest.starts_with(' '))?;
            rest.trim_start().split("  ").next()
        });
        found.unwrap_or("?")
    }

    fn in_one_line(&self) -> String {
        format!(
            "cidalloc: process {}: live {}, large {}, committed {}, resident {}, hit rate {}",
            self.who,
            self.number("live"),
            self.number("live_large"),
            self.number("committed"),
            self.number("resident"),
            self.number("hit_rate"),
        )
    }
}

/// The reports in `text`, in the order in which the processes ended.
fn split(text: &str) -> Vec<Report<'_>> {
    let heads = text.match_indices(HEAD).map(|(at, _)| at);
    let starts: Vec<_> = heads.filter(|&at| at == 0 || text.as_bytes()[at - 1] == b'\n').collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let reports = starts.iter().zip(ends).filter_map(|(&start, end)| {
        let text = &text[start..end];
        let who = text.lines().next()?.strip_prefix(HEAD)?;
        Some(Report { pid: who.split(' ').next()?.parse().ok()?, who, text })
    });
    reports.collect()
}

/// What to print of `text` after process `main` has ended, and whether that one is in it.
pub(crate) fn render(text: &str, main: u32, whose: Whose) -> (String, bool) {
    let reports = split(text);
    // Of several, one for each program that the process was, the last is the one that ended.
    let of_main = reports.iter().rposition(|report| report.pid == main);
    let mut shown = String::new();
    if let Some(i) = of_main {
        shown.push_str(reports[i].text);
    }
    for (i, report) in reports.iter().enumerate() {
        match whose {
            _ if Some(i) == of_main => {}
            Whose::All => shown.push_str(report.text),
            Whose::Main => {
                shown.push_str(&report.in_one_line());
                shown.push('\n');
            }
        }
    }
    (shown, of_main.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
cidalloc: statistics of process 7 (child)
live             1.0 KiB  12 objects in use
live_large           0 B  0 large objects in use
committed        8.0 MiB  from the system
resident         2.0 MiB  of the whole process
hit_rate          98.1 %  of mallocs
cidalloc: statistics of process 5 (main)
live             7.0 KiB  70 objects in use
";

    #[test]
    fn main_comes_first_and_others_in_one_line() {
        let (shown, there) = render(TEXT, 5, Whose::Main);
        assert!(there);
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[0], "cidalloc: statistics of process 5 (main)");
        assert_eq!(
            lines[2],
            "cidalloc: process 7 (child): live 1.0 KiB, large 0 B, committed 8.0 MiB, \
             resident 2.0 MiB, hit rate 98.1 %"
        );
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn all_are_printed_whole_on_demand() {
        let (shown, there) = render(TEXT, 5, Whose::All);
        assert!(there);
        assert_eq!(shown.len(), TEXT.len());
        assert!(shown.starts_with("cidalloc: statistics of process 5"));
    }

    #[test]
    fn a_missing_main_is_told() {
        let (shown, there) = render(TEXT, 6, Whose::Main);
        assert!(!there);
        assert_eq!(shown.lines().count(), 2);
        assert_eq!(render("", 6, Whose::All), (String::new(), false));
    }
}

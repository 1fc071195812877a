//! What is mapped where in a tracee.

use core::ops::Range;
use libc::pid_t;
use std::path::Path;

/// The mappings of the process `pid`: where they are, and of what.
fn mappings(pid: pid_t) -> Vec<(Range<u64>, String)> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let parsed = maps.lines().filter_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let address = |text| u64::from_str_radix(text, 16).ok();
        let name = rest.split_ascii_whitespace().nth(4).unwrap_or_default();
        Some((address(from)?..address(to)?, name.to_owned()))
    });
    parsed.collect()
}

/// As [`Tracee::mapping`], of the process `pid`.
pub(super) fn mapping_of(pid: pid_t, path: &Path) -> Option<Range<u64>> {
    let mappings = mappings(pid);
    let mut ranges = mappings.iter().filter(|(_, name)| Path::new(name) == path);
    let first = &ranges.next()?.0;
    Some(first.start..ranges.next_back().map_or(first.end, |(last, _)| last.end))
}

/// The one mapping that `address` is in; empty if there is none.
pub(super) fn mapping_at(pid: pid_t, address: u64) -> Range<u64> {
    let mut mappings = mappings(pid).into_iter();
    mappings.find(|(range, _)| range.contains(&address)).map_or(0..0, |(range, _)| range)
}

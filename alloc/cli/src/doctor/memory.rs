//! Huge pages, and the limits on memory that this process inherits.
//!
//! ```text
//!  /sys/kernel/mm/transparent_hugepage/enabled    always [madvise] never
//!  RLIMIT_AS                                      the heap reserves half of it at most
//!  /proc/sys/vm/overcommit_memory                 2: what is committed counts, touched or not
//!  /proc/sys/vm/max_map_count                     ranges bound to nodes are mappings each
//! ```
#![allow(unsafe_code)]

use super::point::Point;
use cidalloc::os;

/// The kernel's default of `vm.max_map_count`.
const MAPS_USUAL: u64 = 65530;

/// Asks.
pub(crate) fn look() -> Vec<Point> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let number = |path: &str| read(path)?.trim().parse().ok();
    let huge = read("/sys/kernel/mm/transparent_hugepage/enabled");
    vec![
        huge_point(huge.as_deref(), huge_pages_disabled()),
        address_space_point(os::address_space_limit()),
        overcommit_point(number("/proc/sys/vm/overcommit_memory")),
        maps_point(number("/proc/sys/vm/max_map_count")),
    ]
}

/// Whether `prctl(PR_SET_THP_DISABLE)` was used on this process or on one before it.
fn huge_pages_disabled() -> bool {
    // SAFETY: the command takes no pointers.
    unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, 0usize, 0usize, 0usize, 0usize) == 1 }
}

/// The word in brackets is in force.
fn huge_point(text: Option<&str>, disabled: bool) -> Point {
    let name = "huge_pages";
    let word = text.and_then(|text| Some(text.split_once('[')?.1.split_once(']')?.0));
    match word {
        None => Point::word(name, "absent", "this kernel has no transparent huge pages"),
        Some(word) if disabled => {
            Point::word(name, "disabled", format!("for this process by prctl; else {word}"))
        }
        Some("always") => {
            let remark = "ranges that are used sparsely may become resident 2 MiB at a time";
            Point::word(name, "always", remark)
        }
        Some("madvise") => Point::word(name, "madvise", "where a program asks for them"),
        Some(word) => Point::word(name, word, ""),
    }
}

fn address_space_point(limit: Option<usize>) -> Point {
    let name = "address_space";
    match limit {
        None => Point::word(name, "unlimited", "RLIMIT_AS"),
        Some(bytes) => Point::bytes(name, bytes as u64, "RLIMIT_AS").costs(
            "the heap takes half of it at most, reserved at start",
            "ulimit -v unlimited; memory.max of a cgroup limits memory instead",
        ),
    }
}

fn overcommit_point(mode: Option<u64>) -> Point {
    let name = "overcommit";
    match mode {
        None => Point::word(name, "unknown", "/proc/sys/vm/overcommit_memory cannot be read"),
        Some(2) => Point::number(name, 2u32, "vm.overcommit_memory: never").costs(
            "committed memory counts against CommitLimit before it is touched: malloc fails early",
            "sysctl vm.overcommit_memory=0, or a higher vm.overcommit_ratio",
        ),
        Some(mode) => Point::number(name, mode, "vm.overcommit_memory"),
    }
}

fn maps_point(count: Option<u64>) -> Point {
    let name = "max_map_count";
    match count {
        None => Point::word(name, "unknown", "/proc/sys/vm/max_map_count cannot be read"),
        Some(count) if count < MAPS_USUAL => Point::number(name, count, "vm.max_map_count").costs(
            "a process with many mappings is refused memory, or its binding to a node, early",
            format!("sysctl vm.max_map_count={MAPS_USUAL}"),
        ),
        Some(count) => Point::number(name, count, "vm.max_map_count"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::point::Value;

    #[test]
    fn the_word_in_brackets_is_in_force() {
        let word = |text, disabled| match huge_point(text, disabled).value {
            Value::Word(word) => word,
            value => panic!("{value:?}"),
        };
        assert_eq!(word(Some("always [madvise] never\n"), false), "madvise");
        assert_eq!(word(Some("[always] madvise never\n"), false), "always");
        assert_eq!(word(Some("always madvise [never]\n"), false), "never");
        assert_eq!(word(Some("[always] madvise never\n"), true), "disabled");
        assert_eq!(word(None, true), "absent");
        assert_eq!(word(Some("garbage"), false), "absent");
    }

    #[test]
    fn limits_are_degraded_and_defaults_are_not() {
        assert!(address_space_point(None).degraded.is_none());
        assert!(address_space_point(Some(1 << 30)).degraded.is_some());
        assert!([0, 1].iter().all(|&mode| overcommit_point(Some(mode)).degraded.is_none()));
        assert!(overcommit_point(Some(2)).degraded.is_some());
        assert!(overcommit_point(None).degraded.is_none());
        assert!(maps_point(Some(65530)).degraded.is_none());
        assert!(maps_point(Some(1_048_576)).degraded.is_none());
        assert!(maps_point(Some(4096)).degraded.is_some());
    }
}

//! Every row of the comparison: its name, its work, and how many operations it does.
//!
//! ```text
//!   catalog.rs   what a row is, and how rows are found
//!   work.rs      the kinds of work and their parameters
//!   rows.rs      the rows themselves, in the order of the report
//!   about.rs     a paragraph per family: what it stresses, where it comes from
//! ```
//!
//! The amount of work is fixed, not the time: all allocators see the same requests in
//! the same order, so that their memory is comparable as well. `ops` is chosen so that
//! a row takes some 0.1 to 0.25 s with a good allocator on a 2-core machine: long enough
//! to be measured, short enough for a whole comparison in half an hour.

mod about;
mod rows;
mod work;

pub use rows::ROWS;
pub use work::{Keep, Mix, Order, Work};

/// One row of the comparison.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Unique name, `family/variant/threads`.
    pub name: &'static str,
    /// Threads that work at the same time.
    pub threads: usize,
    /// Operations at scale 1; 0 where the amount is fixed.
    pub ops: u64,
    /// What is done.
    pub work: Work,
}

/// What a row is measured for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Time per operation: counts in the means over time.
    Time,
    /// Resident memory in KiB: counts in the means over memory, and other load on the
    /// machine does not disturb it.
    Memory,
    /// The distribution over single calls; its own time contains the clock's, and so
    /// counts nowhere.
    Latency,
    /// A real program's seconds.
    Program,
}

impl Row {
    /// What the row is measured for.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.work {
            Work::Idle { .. } | Work::Burst | Work::Drift | Work::Once => Kind::Memory,
            Work::Latency { .. } => Kind::Latency,
            Work::Program(_) => Kind::Program,
            _ => Kind::Time,
        }
    }

    /// Rows of one family share an idea and a paragraph.
    #[must_use]
    pub fn family(&self) -> &'static str {
        match self.work {
            Work::Idle { .. } => "idle",
            _ => self.name.split_once('/').map_or(self.name, |(family, _)| family),
        }
    }

    /// Whether the resident set is worth watching over time, from outside.
    #[must_use]
    pub fn timeline(&self) -> bool {
        match self.work {
            Work::Burst | Work::Drift => true,
            Work::Larson | Work::Mstress => self.threads == 8,
            _ => false,
        }
    }

    /// A paragraph on what the row's family stresses, and where the idea comes from.
    #[must_use]
    pub fn about(&self) -> &'static str {
        about::of(self.family())
    }
}

/// The row of that exact name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

/// Rows whose name contains one of `parts`; all where `parts` is empty.
pub fn matching(parts: &[String]) -> impl Iterator<Item = &'static Row> {
    ROWS.iter()
        .filter(move |row| parts.is_empty() || parts.iter().any(|part| row.name.contains(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_rows_share_a_name() {
        for (i, row) in ROWS.iter().enumerate() {
            assert!(!ROWS[..i].iter().any(|other| other.name == row.name), "{}", row.name);
        }
    }

    #[test]
    fn no_row_looks_like_a_part_of_another() {
        for row in ROWS {
            let part = format!("{}/", row.name);
            assert!(!ROWS.iter().any(|other| other.name.starts_with(&part)), "{part}…");
        }
    }

    #[test]
    fn a_filter_selects_by_any_of_its_parts() {
        let names: Vec<_> = matching(&["sh6/".into(), "once".into()]).map(|r| r.name).collect();
        assert_eq!(names, ["sh6/2t", "sh6/8t", "sh6/64t", "once"]);
        assert_eq!(matching(&[]).count(), ROWS.len());
    }

    #[test]
    fn every_row_has_a_paragraph_of_its_family() {
        for row in ROWS {
            assert!(row.about().len() > 80, "{} of {}: {}", row.name, row.family(), row.about());
        }
    }

    #[test]
    fn a_name_that_ends_with_threads_ends_with_its_own() {
        // The report draws rows that differ in nothing else as one line.
        for row in ROWS {
            let last = row.name.rsplit('/').next().and_then(|last| last.strip_suffix('t'));
            if let Some(threads) = last.and_then(|number| number.parse::<usize>().ok()) {
                assert_eq!(threads, row.threads, "{}", row.name);
            }
        }
    }

    #[test]
    fn threaded_families_have_oversubscribed_forms() {
        for family in ["pair", "random", "prodcons", "larson", "mstress", "rptest", "sh6", "sh8"]
            .into_iter()
            .chain(["cache-scratch", "cache-thrash", "alloc-test"])
        {
            for threads in [8, 64] {
                assert!(
                    ROWS.iter().any(|row| row.family() == family && row.threads == threads),
                    "{family} has no row with {threads} threads"
                );
            }
        }
    }
}

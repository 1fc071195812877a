//! Every row of the comparison: its name, its work, and how many operations it does.
//!
//! The amount of work is fixed, not the time: all allocators see the same requests in
//! the same order, so that their memory is comparable as well. `ops` is chosen so that
//! a row takes some 0.1 to 0.8 s with the peers on a 2-core machine.

/// Order in which a batch is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As allocated.
    Fifo,
    /// Last one first.
    Lifo,
    /// A fixed random permutation.
    Shuffled,
}

/// Distribution of request sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Log-uniform over 16..4096 bytes.
    Small,
    /// Log-uniform over 1..32768 bytes, and one request in 200 up to 1 MiB.
    Wide,
}

/// What the threads of an idle row keep while they wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// They never allocated: what the threads themselves cost.
    Nothing,
    /// 3 % of the blocks, at random.
    Survivors,
    /// All blocks.
    Everything,
}

/// A kind of work with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Work {
    Pair {
        size: usize,
    },
    Batch {
        count: usize,
        order: Order,
        touch: bool,
    },
    Random {
        mix: Mix,
    },
    Handover {
        producers: usize,
        consumers: usize,
    },
    Larson,
    Mstress,
    Rptest,
    Sh6,
    Sh8,
    CacheScratch,
    CacheThrash,
    Large {
        touch: bool,
    },
    GrowDoubling,
    GrowByOne,
    Calloc {
        size: usize,
    },
    Aligned {
        align: usize,
    },
    Churn,
    Idle {
        keep: Keep,
    },
    Burst,
    /// Not run by `workload` but by `compare`, as a C program of its own.
    Once,
}

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

const M: u64 = 1_000_000;

const fn row(name: &'static str, threads: usize, ops: u64, work: Work) -> Row {
    Row { name, threads, ops, work }
}

const fn pair(name: &'static str, threads: usize, size: usize) -> Row {
    row(name, threads, 10 * M * threads as u64, Work::Pair { size })
}

const fn batch(name: &'static str, ops: u64, count: usize, order: Order) -> Row {
    row(name, 1, ops, Work::Batch { count, order, touch: true })
}

const fn untouched(name: &'static str, ops: u64, count: usize) -> Row {
    row(name, 1, ops, Work::Batch { count, order: Order::Fifo, touch: false })
}

const fn handover(name: &'static str, producers: usize, consumers: usize) -> Row {
    row(name, producers + consumers, 4 * M, Work::Handover { producers, consumers })
}

const fn random(name: &'static str, threads: usize, ops: u64, mix: Mix) -> Row {
    row(name, threads, ops, Work::Random { mix })
}

const fn idle(name: &'static str, keep: Keep) -> Row {
    row(name, 1000, 0, Work::Idle { keep })
}

/// All rows, in the order of the report.
pub const ROWS: &[Row] = &[
    pair("pair/16/1t", 1, 16),
    pair("pair/32/1t", 1, 32),
    pair("pair/64/1t", 1, 64),
    pair("pair/128/1t", 1, 128),
    pair("pair/256/1t", 1, 256),
    pair("pair/512/1t", 1, 512),
    pair("pair/1024/1t", 1, 1024),
    pair("pair/16/2t", 2, 16),
    pair("pair/32/2t", 2, 32),
    pair("pair/64/2t", 2, 64),
    pair("pair/128/2t", 2, 128),
    pair("pair/256/2t", 2, 256),
    pair("pair/512/2t", 2, 512),
    pair("pair/1024/2t", 2, 1024),
    batch("batch/100/fifo", 12 * M, 100, Order::Fifo),
    batch("batch/1000/fifo", 12 * M, 1000, Order::Fifo),
    batch("batch/1000/lifo", 12 * M, 1000, Order::Lifo),
    batch("batch/1000/shuffled", 12 * M, 1000, Order::Shuffled),
    untouched("batch/1000/fifo-untouched", 12 * M, 1000),
    batch("batch/10000/fifo", 12 * M, 10_000, Order::Fifo),
    batch("batch/100000/fifo", 10 * M, 100_000, Order::Fifo),
    batch("batch/1000000/fifo", 8 * M, 1_000_000, Order::Fifo),
    batch("batch/1000000/lifo", 8 * M, 1_000_000, Order::Lifo),
    batch("batch/1000000/shuffled", 2 * M, 1_000_000, Order::Shuffled),
    untouched("batch/1000000/fifo-untouched", 8 * M, 1_000_000),
    random("random/small/1t", 1, 4 * M, Mix::Small),
    random("random/small/2t", 2, 5 * M, Mix::Small),
    random("random/small/8t", 8, 5 * M, Mix::Small),
    random("random/small/64t", 64, 5 * M, Mix::Small),
    random("random/wide/1t", 1, 2 * M, Mix::Wide),
    random("random/wide/2t", 2, 3 * M, Mix::Wide),
    random("random/wide/8t", 8, 3 * M, Mix::Wide),
    random("random/wide/64t", 64, 3 * M, Mix::Wide),
    handover("prodcons/1x1", 1, 1),
    handover("prodcons/1x3", 1, 3),
    handover("prodcons/4x4", 4, 4),
    row("larson/2t", 2, 4 * M, Work::Larson),
    row("larson/8t", 8, 4 * M, Work::Larson),
    row("larson/64t", 64, 4 * M, Work::Larson),
    row("mstress/2t", 2, M, Work::Mstress),
    row("mstress/8t", 8, M, Work::Mstress),
    row("mstress/64t", 64, M, Work::Mstress),
    row("rptest/64t", 64, M, Work::Rptest),
    row("sh6/4t", 4, 4 * M, Work::Sh6),
    row("sh6/64t", 64, 4 * M, Work::Sh6),
    row("sh8/4t", 4, 2 * M, Work::Sh8),
    row("sh8/64t", 64, 2 * M, Work::Sh8),
    row("cache-scratch/2t", 2, M, Work::CacheScratch),
    row("cache-thrash/2t", 2, M, Work::CacheThrash),
    row("large/touched", 1, 5_000, Work::Large { touch: true }),
    row("large/untouched", 1, 100_000, Work::Large { touch: false }),
    row("grow/doubling", 1, 600, Work::GrowDoubling),
    row("grow/by-one", 1, 4 * M, Work::GrowByOne),
    row("calloc/100", 1, 10 * M, Work::Calloc { size: 100 }),
    row("calloc/10K", 1, M, Work::Calloc { size: 10 << 10 }),
    row("calloc/1M", 1, 1_500, Work::Calloc { size: 1 << 20 }),
    row("aligned/64", 1, 3 * M, Work::Aligned { align: 64 }),
    row("aligned/4096", 1, 2 * M, Work::Aligned { align: 4096 }),
    row("churn/20000-threads", 4, 20_000, Work::Churn),
    row("once", 1, 0, Work::Once),
    idle("threads1000", Keep::Nothing),
    idle("idle1000", Keep::Survivors),
    idle("live1000", Keep::Everything),
    row("burst", 1, 0, Work::Burst),
];

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
    fn a_filter_selects_by_any_of_its_parts() {
        let names: Vec<_> = matching(&["sh6/".into(), "once".into()]).map(|r| r.name).collect();
        assert_eq!(names, ["sh6/4t", "sh6/64t", "once"]);
        assert_eq!(matching(&[]).count(), ROWS.len());
    }
}

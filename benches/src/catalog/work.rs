//! The kinds of work and their parameters.

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
    AllocTest,
    Simple {
        count: usize,
        /// Whether the process has a second thread, which waits.
        company: bool,
    },
    Mleak,
    Leak,
    Drift,
    Latency {
        large: bool,
    },
    /// Not run by `workload` but by `compare`, as a C program of its own.
    Once,
    /// A real program, run by `compare`.
    Program(&'static str),
}

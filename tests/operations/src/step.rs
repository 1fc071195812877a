//! The steps that sequences are made of.

/// The largest size that is expected to be had.
pub const LARGEST: usize = (1 << 24) - 1;
/// Sizes and alignments from here on are refused: no region is as large.
pub const HUGE: usize = 1 << 46;
/// Threads that steps may run on; the first is the caller's.
pub const THREADS: u8 = 4;

/// Which function makes an aligned block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `posix_memalign`
    Posix,
    /// `aligned_alloc`
    C11,
    /// `memalign`
    Old,
}

/// What is done. `pick` counts through the live blocks from the youngest, and round again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the C functions")]
pub enum Op {
    Malloc {
        size: usize,
    },
    Calloc {
        count: usize,
        size: usize,
    },
    Aligned {
        form: Form,
        shift: u8,
        size: usize,
    },
    Realloc {
        pick: u16,
        size: usize,
    },
    ReallocArray {
        pick: u16,
        count: usize,
        size: usize,
    },
    /// To so many eighths of its size, as vectors grow and shrink.
    Resize {
        pick: u16,
        eighths: u8,
    },
    Free {
        pick: u16,
    },
    /// `free_sized`, or `free_aligned_sized`.
    FreeSized {
        pick: u16,
    },
    /// So many blocks of one size: more than one cache holds.
    Many {
        size: usize,
        count: u8,
    },
    /// Every so-manieth of the live blocks.
    FreeEach {
        every: u8,
    },
    Trim,
    /// Time passes: what is due by then is purged and drained.
    Later,
    /// The step's thread ends; its next step is a new thread's first.
    Exit,
}

/// One step, and the thread that it is done by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Below [`THREADS`].
    pub thread: u8,
    /// What is done.
    pub op: Op,
}

//! The numbers that shape the heap, and the relations between them that everything relies on.
//!
//! ```text
//! region   up to 16 TiB of address space, one per process
//! page     64 KiB, ours: a multiple of every kernel page size (4, 16, 64 KiB)
//! span     one page of equal objects, 16 B to 32 KiB each
//! run      consecutive pages: free, or one large object
//! shard    512 KiB of address space per (node, cid): an arena, headers, slots
//! ```

/// log2 of [`PAGE`].
pub const PAGE_SHIFT: u32 = 16;
/// Our page in bytes: the unit of the page map, of spans and of page runs.
pub const PAGE: usize = 1 << PAGE_SHIFT;
/// The granularity of addresses within spans and of the smallest class.
pub const GRAIN: usize = 16;
/// Largest size that has a class; what is larger is a page run.
pub const SMALL_MAX: usize = 32 << 10;
/// Address space of one shard, in bytes.
pub const SHARD_BYTES: usize = 512 << 10;
/// Bytes at the beginning of a shard's address space that its arena may take.
pub const ARENA_BYTES: usize = 16 << 10;
/// Nodes that get page heaps of their own; a machine with more is treated as one node.
pub const NODES_MAX: usize = 64;
/// Largest region in bytes that is asked for.
pub const REGION_BYTES_MAX: usize = 16 << 40;
/// Smallest region in bytes that is good enough to start with.
pub const REGION_BYTES_MIN: usize = 16 << 20;
/// Pages by which a page heap extends itself at least.
pub const EXTENT_PAGES: u32 = 64;
/// Periods in a decay time: the grain in which the age of a free run is known.
pub const DECAY_PERIODS: u32 = 16;
/// Objects moved between a shard and its spans by one slow operation, at most.
pub const BATCH_MAX: usize = 256;
/// Objects that lie on the stack meanwhile, at most: a bitmap word's. The slow paths must not
/// cost each of a thousand threads one more page of its stack.
pub const HAND_MAX: usize = 64;
/// Bytes of objects moved at once, about.
pub const BATCH_BYTES: usize = 64 << 10;

const _: () = {
    assert!(PAGE.is_multiple_of(64 << 10));
    assert!(SMALL_MAX * 2 <= PAGE, "a span holds at least two objects");
    assert!(PAGE / GRAIN <= 64 * 64, "a bitmap has at most 64 words");
    assert!(REGION_BYTES_MAX >> PAGE_SHIFT <= u32::MAX as usize, "page indices are u32");
    assert!(NODES_MAX <= 1 << 6);
};

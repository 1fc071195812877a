//! What validation finds: a census of the heap, or the first thing that is broken.

use core::fmt;

/// What is broken, at which address, page or shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are where; the variant's line says what")]
pub enum Violation {
    /// The system has no memory for the marks.
    NoMemory,
    /// The caller interrupted the holder of a page heap's lock.
    LockHeld,
    /// An object is in two places: two caches, a cache and a bit, free and in a hand.
    ObjectTwice { address: usize, class: u8 },
    /// An object's local and remote bit are both set.
    BothBits { page: u32, word: usize, bits: u64 },
    /// Bits are set that stand for no object.
    BitsBeyondObjects { page: u32, word: usize, bits: u64 },
    /// A span of the orphan arena has local bits, which nobody can ever take.
    OrphanLocalBits { page: u32, word: usize },
    /// A shard holds what is no object of the class.
    CachedForeign { address: usize, class: u8, shard: u32 },
    /// A shard holds, among those that it hands out, an object of another node.
    CachedElsewhere { address: usize, shard: u32 },
    /// A shard's header 0 does not name its node.
    HomeHeader { shard: u32 },
    /// A header's bounds lie outside its class's slots.
    HeaderBounds { shard: u32, class: u8, current: u16, end: u16 },
    /// A shard was left in the middle of being built or drained.
    ShardBusy { shard: u32 },
    /// A span's owner is nobody.
    OwnerUnknown { page: u32, owner: u32 },
    /// A span's owner is a shard of another node (NODE-HOME).
    SpanElsewhere { page: u32, owner: u32 },
    /// A span is in the list of an arena, or of a class, that it does not belong to.
    ListedWrongly { page: u32, arena: u32, class: u8 },
    /// A span is in two lists, or twice in one.
    ListedTwice { page: u32 },
    /// A span in a list has a clear flag.
    ListedUnflagged { page: u32 },
    /// A span's flag is set, but it is in no list: nobody will ever look at it.
    FlaggedUnlisted { page: u32 },
    /// A span with free objects is in no list, and nobody will queue it.
    Stranded { page: u32, free: u32 },
    /// A page in use is not marked so, or not with its run's length.
    BusyWrongly { page: u32, run_pages: u32 },
    /// A large object's page map entries do not cover its run.
    LargeEntries { page: u32, run_pages: u32 },
    /// A page is in no run at all.
    PageNowhere { page: u32 },
    /// A page is in two runs.
    PageTwice { page: u32 },
    /// A free run is in the wrong bin, or its bin's bit is wrong.
    Bin { bin: usize, page: u32, pages: u32 },
    /// The two ends of a free run do not agree.
    RunEnds { page: u32, pages: u32 },
    /// Two neighbouring runs of one kind were not merged.
    Unmerged { page: u32 },
    /// A page heap's counter differs from what was counted.
    Counter { name: &'static str, counter: usize, counted: usize },
    /// A block's state bit is not what its place says (hardened mode).
    State { address: usize, live: bool },
    /// What a hand is said to hold is not a block.
    HeldForeign { address: usize },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "heap not conserved: {self:x?}")
    }
}

impl core::error::Error for Violation {}

/// What the walk counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Pages that are spans.
    pub spans: usize,
    /// Objects in all spans.
    pub objects: usize,
    /// Of these, in shards.
    pub cached: usize,
    /// Of these, waiting for their way to another node.
    pub homeward: usize,
    /// Of these, in quarantine.
    pub quarantined: usize,
    /// In spans: bits that are set.
    pub free: usize,
    /// In the hands that the caller named.
    pub held: usize,
    /// Large objects.
    pub large: usize,
    /// Their pages.
    pub large_pages: usize,
    /// Pages without access: guards behind spans, large objects in quarantine.
    pub closed_pages: usize,
    /// Of the large objects, in the hands that the caller named.
    pub large_held: usize,
    /// Pages in dirty runs.
    pub dirty_pages: usize,
    /// Pages in clean runs.
    pub clean_pages: usize,
    /// Bytes by which shards' books of their capacity differ from their headers, all shards
    /// together. A thread that moves to another cid between the two makes it so; it bends the
    /// budget and endangers nothing.
    pub capacity_drift_bytes: usize,
}

impl Census {
    /// Objects that are in hands which the caller did not name: lost ones, if it named all.
    #[must_use]
    pub fn elsewhere(&self) -> usize {
        self.objects - self.cached - self.free - self.held
    }
    /// Large objects that are in hands which the caller did not name.
    #[must_use]
    pub fn large_elsewhere(&self) -> usize {
        self.large - self.large_held
    }
}

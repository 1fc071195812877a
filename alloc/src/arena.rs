//! The back end of one shard: its spans that have free objects, per class.
//!
//! ```text
//!             current ─► span        taken by swap: who has it possesses it
//!  class c ─┤
//!             queue ─► span ─► span  lock-free stack, links in the descriptors
//!             empties                spans that became empty since the last sweep
//! ```
//!
//! A span without free objects is in no list; the first object that comes back queues it
//! (BIT-THEN-FLAG). Everything here is lock-free and may be done by any thread, whatever cid it
//! runs on; only local bitmaps need the owner's cid, and their sections check it.

use crate::ids::{PageId, ShardId, SizeClass};
use crate::ops_count::OpsCount;
use crate::region::Region;
use crate::size_class::CLASSES;
use crate::span::Span;
use rseq_sys::sync::{
    AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// Events of one class of one shard, counted on slow paths.
#[derive(Debug, Default)]
pub struct ClassCounters {
    /// Refills.
    pub refills: AtomicU64,
    /// Objects brought by refills.
    pub refilled: AtomicU64,
    /// Flushes.
    pub flushes: AtomicU64,
    /// Objects sent home by flushes.
    pub flushed: AtomicU64,
    /// Fast pops and pushes seen in the header so far.
    pub fast_ops: OpsCount,
}

/// What an arena knows of one class.
#[derive(Debug, Default)]
pub struct ClassState {
    current: AtomicU32,
    /// Spans that became empty since the last sweep.
    pub empties: AtomicU32,
    /// Tag in the high half against reuse of a head, page in the low half.
    queue: AtomicU64,
    /// As many empties as make the next sweep worth its walk.
    pub sweep_at: AtomicU32,
    /// The header's count when the shard was last tidied.
    pub ops_at_tidy: AtomicU32,
    /// 1 after a refill, 2 after a flush: growth wants both.
    pub last_miss: AtomicU8,
    /// Events.
    pub counters: ClassCounters,
}

/// What became of objects of other nodes that were freed on a shard.
#[derive(Debug, Default)]
pub struct HomewardState {
    /// The header's count when the shard was last tidied.
    pub ops_at_tidy: AtomicU32,
    /// Frees that left their object in a slot, as seen so far.
    pub waited: OpsCount,
    /// Frees that sent their object home at once.
    pub straight: AtomicU64,
    /// Batches that were sent home.
    pub batches: AtomicU64,
    /// Objects in them.
    pub sent: AtomicU64,
}

impl HomewardState {
    const fn new() -> Self {
        Self {
            ops_at_tidy: AtomicU32::new(0),
            waited: OpsCount::new(),
            straight: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }
    /// Frees of objects of other nodes, as far as seen.
    #[must_use]
    pub fn frees(&self) -> u64 {
        self.waited.get() + self.straight.load(Relaxed)
    }
}

/// The back end of one shard. In this order, so that who uses few and small classes touches its
/// first kernel page alone.
#[repr(C)]
#[derive(Debug)]
pub struct Arena {
    id: AtomicU32,
    /// Time of the last slow operation here, in ms.
    pub last_used_ms: AtomicU64,
    /// When the shard's user looks for classes that are not used any more, in ms.
    pub next_tidy_ms: AtomicU64,
    /// Sum of the header's counts when maintenance last looked.
    pub ops_at_tick: AtomicU32,
    /// Bytes that all classes of the shard may cache together at their present capacities.
    pub capacity_bytes: AtomicUsize,
    /// Class that is next to give capacity away.
    pub hand: AtomicU32,
    /// Objects of other nodes.
    pub homeward: HomewardState,
    classes: [ClassState; CLASSES],
}

const _: () = assert!(size_of::<Arena>() <= crate::config::ARENA_BYTES);

const SWEEP_MIN: u32 = if cfg!(cidalloc_model) { 1 } else { 4 };

impl Arena {
    /// An arena of nobody, for statics. Zeroed memory is one, too.
    #[must_use]
    pub const fn new() -> Self {
        #[allow(clippy::declare_interior_mutable_const, reason = "copied into each class")]
        const COUNTERS: ClassCounters = ClassCounters {
            refills: AtomicU64::new(0),
            refilled: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            flushed: AtomicU64::new(0),
            fast_ops: OpsCount::new(),
        };
        Self {
            id: AtomicU32::new(0),
            last_used_ms: AtomicU64::new(0),
            next_tidy_ms: AtomicU64::new(0),
            ops_at_tick: AtomicU32::new(0),
            capacity_bytes: AtomicUsize::new(0),
            hand: AtomicU32::new(0),
            homeward: HomewardState::new(),
            classes: [const {
                ClassState {
                    current: AtomicU32::new(0),
                    empties: AtomicU32::new(0),
                    queue: AtomicU64::new(0),
                    sweep_at: AtomicU32::new(0),
                    ops_at_tidy: AtomicU32::new(0),
                    last_miss: AtomicU8::new(0),
                    counters: COUNTERS,
                }
            }; CLASSES],
        }
    }

    /// Says whose arena this is.
    pub fn set_id(&self, id: ShardId) {
        self.id.store(id.0, Relaxed);
    }
    /// Whose arena this is.
    #[must_use]
    pub fn id(&self) -> ShardId {
        ShardId(self.id.load(Relaxed))
    }
    /// Takes `bytes` off the books of [`Self::capacity_bytes`], no further than to 0: a drain, or
    /// a thread that moved to another cid in between, may have closed them already.
    pub fn unbook(&self, bytes: usize) {
        let less = |now: usize| now.saturating_sub(bytes);
        self.capacity_bytes.update(Relaxed, Relaxed, less);
    }
    /// The state of `class`.
    #[inline]
    #[must_use]
    pub fn class(&self, class: SizeClass) -> &ClassState {
        &self.classes[class.index()]
    }

    /// Takes possession of a span of `class` with free objects, if one is at hand.
    #[must_use]
    pub fn take(&self, region: &Region, class: SizeClass) -> Option<PageId> {
        let state = self.class(class);
        let page = match state.current.swap(0, AcqRel) {
            0 => state.pop(region),
            page => page,
        };
        (page != 0).then_some(PageId(page))
    }

    /// Gives up possession of a span that the next refill should look at first.
    pub fn keep(&self, region: &Region, class: SizeClass, page: PageId) {
        let old = self.class(class).current.swap(page.0, AcqRel);
        if old != 0 {
            self.class(class).push(region, PageId(old), PageId(old));
        }
    }

    /// Gives up possession of a span with free objects: to the queue.
    pub fn enqueue(&self, region: &Region, page: PageId) {
        self.class(region.span(page).class()).push(region, page, page);
    }

    /// Gives up possession of a chain linked through `next`, all of `class`.
    pub fn enqueue_chain(&self, region: &Region, class: SizeClass, first: PageId, last: PageId) {
        self.class(class).push(region, first, last);
    }

    /// Takes possession of the whole queue of `class`: the first of a chain linked through
    /// `next`, which ends with page 0.
    #[must_use]
    pub fn take_queue(&self, class: SizeClass) -> PageId {
        let queue = &self.class(class).queue;
        let mut head = queue.load(Relaxed);
        while head as u32 != 0 {
            match queue.compare_exchange_weak(head, retag(head, 0), AcqRel, Relaxed) {
                Ok(_) => return PageId(head as u32),
                Err(other) => head = other,
            }
        }
        PageId::NONE
    }

    /// Takes possession of the current span of `class`, if there is one.
    #[must_use]
    pub fn take_current(&self, class: SizeClass) -> Option<PageId> {
        match self.class(class).current.swap(0, AcqRel) {
            0 => None,
            page => Some(PageId(page)),
        }
    }

    /// The first of the spans that are current and queued now, for validation: each is followed
    /// by its `next`, the current one by none.
    #[must_use]
    pub fn listed(&self, class: SizeClass) -> [PageId; 2] {
        let state = self.class(class);
        [PageId(state.current.load(Acquire)), PageId(state.queue.load(Acquire) as u32)]
    }

    /// Whether the queue of `class` holds a span.
    #[must_use]
    pub fn has_queued(&self, class: SizeClass) -> bool {
        self.class(class).queue.load(Relaxed) as u32 != 0
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

/// The head word after `head` with another first page: the tag makes each head unlike those
/// before it, so that a pop whose successor is stale fails.
fn retag(head: u64, page: u32) -> u64 {
    ((head >> 32).wrapping_add(1) << 32) | u64::from(page)
}

impl ClassState {
    fn push(&self, region: &Region, first: PageId, last: PageId) {
        let last: &Span = region.span(last);
        let mut head = self.queue.load(Relaxed);
        loop {
            last.next.store(head as u32, Relaxed);
            match self.queue.compare_exchange_weak(head, retag(head, first.0), AcqRel, Relaxed) {
                Ok(_) => return,
                Err(other) => head = other,
            }
        }
    }

    fn pop(&self, region: &Region) -> u32 {
        let mut head = self.queue.load(Acquire);
        loop {
            let page = head as u32;
            if page == 0 {
                return 0;
            }
            // May belong to somebody else by now; then the tag has changed.
            let next = region.span(PageId(page)).next.load(Relaxed);
            match self.queue.compare_exchange_weak(head, retag(head, next), AcqRel, Acquire) {
                Ok(_) => return page,
                Err(other) => head = other,
            }
        }
    }

    /// Notes that a span became empty. True when it is time to look for all that did.
    pub fn note_empty(&self) -> bool {
        let empties = self.empties.fetch_add(1, Relaxed) + 1;
        empties >= self.sweep_at.load(Relaxed).max(SWEEP_MIN)
    }

    /// Sets the next sweep by what this one walked over.
    pub fn swept(&self, walked: u32) {
        self.empties.store(0, Relaxed);
        self.sweep_at.store((walked / 4).max(SWEEP_MIN), Relaxed);
    }
}

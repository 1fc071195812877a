//! Shards: which one the calling thread is on, how it comes into being, and how it is stopped.
//!
//! ```text
//!  SHARD_BYTES of address space      state     table entry   meaning
//!  ┌──────────┬──────────────────┐   ABSENT    MISS          never used: nothing committed
//!  │ arena    │ headers, slots   │   BUSY      MISS          being built or drained
//!  │ 16 KiB   │ zero until used  │   READY     its headers   in use
//!  └──────────┴──────────────────┘   DRAINED   MISS          arena kept, slots given back
//! ```
//!
//! A shard is (node, cid): a thread that carries its cid to another node uses another shard.
//! While a shard is not READY its threads allocate without a cache; nobody waits for it. Under
//! emulated cids a thread's lease holds a copy of its table entry.
#![allow(unsafe_code)]

use crate::areas;
use crate::arena::Arena;
use crate::config::{ARENA_BYTES, SHARD_BYTES};
use crate::heap::{Heap, Source};
use crate::ids::{PageId, ShardId, SizeClass};
use crate::leases;
use crate::mixed;
use crate::os::{self, OutOfMemory};
use crate::section;
use crate::size_class::{HOMEWARD, HOMEWARD_BEGIN, HOMEWARD_SLOTS, SHARD_WORDS};
use crate::slots;
use rseq_sys::cs::{self, HEADERS, Header, INACTIVE, MISS};
use rseq_sys::membarrier;
use rseq_sys::sync::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

const _: () = assert!(ARENA_BYTES + SHARD_WORDS * 8 <= SHARD_BYTES);

const ABSENT: u8 = 0;
const BUSY: u8 = 1;
const READY: u8 = 2;
const DRAINED: u8 = 3;

/// The shard that a thread was on when it asked. Stale at once: a hint for slow paths, whose
/// sections check for themselves.
#[derive(Debug, Clone, Copy)]
pub struct Shard<'a> {
    /// The heap.
    pub heap: &'a Heap,
    /// Its arena; the orphan arena for threads without a shard.
    pub arena: &'a Arena,
    headers: Option<&'a [AtomicU64; HEADERS]>,
}

impl<'a> Shard<'a> {
    /// What a thread without a shard uses: an arena, and no cache.
    #[must_use]
    pub fn orphan(heap: &'a Heap) -> Self {
        let node = if heap.page_heaps() == 1 { 0 } else { heap.node_here() };
        Self { heap, arena: &heap.orphans()[heap.heap_of_node(node)], headers: None }
    }

    /// The calling thread's shard, brought into being if need be.
    #[must_use]
    pub fn current(heap: &'a Heap) -> Self {
        let shard = match heap.source {
            Source::None => None,
            Source::Emulated => Self::leased(heap),
            Source::Kernel | Source::Cpu => Self::sequenced(heap),
        };
        shard.unwrap_or_else(|| Self::orphan(heap))
    }

    fn sequenced(heap: &'a Heap) -> Option<Self> {
        let mut id = section::shard_id(heap);
        if id.is_none() && areas::register(&heap.registration) {
            id = section::shard_id(heap);
        }
        Self::ready(heap, id?).or_else(|| Self::build(heap, id?))
    }

    /// The shard of the calling thread's emulated cid, to which its operations lead then.
    fn leased(heap: &'a Heap) -> Option<Self> {
        let place = leases::place()?;
        let node = if place.node < heap.nodes { place.node } else { 0 };
        let id = ShardId::new(node, place.cid as usize);
        let shard = Self::ready(heap, id).or_else(|| Self::build(heap, id))?;
        leases::bind(place.cid, id.0, shard.table_entry(id));
        Some(shard)
    }

    /// The shard `id`, if it is READY.
    #[inline]
    #[must_use]
    pub fn ready(heap: &'a Heap, id: ShardId) -> Option<Self> {
        (heap.region.shard_state(id).load(Ordering::Acquire) == READY)
            .then(|| Self::laid_out(heap, id))
    }

    /// The arena of shard `id`, if it ever was READY.
    #[must_use]
    pub fn arena_of(heap: &'a Heap, id: ShardId) -> Option<&'a Arena> {
        match heap.region.shard_state(id).load(Ordering::Acquire) {
            // BUSY for the first time has an arena without spans, perhaps not committed.
            ABSENT | BUSY => None,
            _ => Some(Self::laid_out(heap, id).arena),
        }
    }

    /// The arena of the owner of the span at `page`: it exists, since it owns a span.
    #[must_use]
    pub fn owner_arena(heap: &'a Heap, id: ShardId, page: PageId) -> &'a Arena {
        if id == ShardId::ORPHAN {
            &heap.orphans()[heap.page_heap_of(page).1.node]
        } else {
            Self::laid_out(heap, id.of_arena()).arena
        }
    }

    /// The arena that has the shard's spans: its own, or that of its group's first shard.
    #[must_use]
    pub fn spans(&self) -> &'a Arena {
        match self.spans_owner() {
            ShardId::ORPHAN => self.arena,
            owner => Self::laid_out(self.heap, owner.of_arena()).arena,
        }
    }

    /// The owner of the spans of [`Self::spans`].
    #[must_use]
    pub fn spans_owner(&self) -> ShardId {
        self.heap.owner_of(self.arena.id())
    }

    fn laid_out(heap: &'a Heap, id: ShardId) -> Self {
        let memory = heap.region.shard_memory(heap.slot(id));
        // SAFETY: the shard's memory is committed, as it was READY once; arena and headers are
        // atomics and keep their places.
        unsafe {
            Self {
                heap,
                arena: &*memory.cast::<Arena>(),
                headers: Some(&*memory.add(ARENA_BYTES).cast()),
            }
        }
    }

    #[cold]
    fn build(heap: &'a Heap, id: ShardId) -> Option<Self> {
        // A handler that forks would leave its child with a shard that two build: this thread, when
        // it goes on, and whoever finds it forgotten.
        let _signals = os::SignalsBlocked::new();
        let state = heap.region.shard_state(id);
        let before = state.load(Ordering::Relaxed);
        let free = before == ABSENT || before == DRAINED;
        if !free
            || state.compare_exchange(before, BUSY, Ordering::Acquire, Ordering::Relaxed).is_err()
        {
            return None;
        }
        let memory = heap.region.shard_memory(heap.slot(id));
        let ready = before == DRAINED
            || (Self::first_of_group(heap, id) && Self::commit(heap, id, memory).is_ok());
        if !ready {
            state.store(before, Ordering::Release);
            return None;
        }
        let shard = Self::laid_out(heap, id);
        shard.arena.set_id(id);
        shard.arena.last_used_ms.store(os::now_ms(), Ordering::Relaxed);
        for header in shard.headers? {
            header.store(INACTIVE.0, Ordering::Relaxed);
        }
        // Who pushes compares with it: objects of other nodes stay out.
        shard.headers?[0].store(shard.home_header().0, Ordering::Relaxed);
        let headers = memory.wrapping_add(ARENA_BYTES).cast::<u64>();
        // Before READY: whoever drains takes what stands here for the shard's headers.
        shard.table_entry(id).store(headers, Ordering::Release);
        state.store(READY, Ordering::Release);
        Some(shard)
    }

    /// Whether there is the shard whose arena `id` shares, brought into being if need be.
    fn first_of_group(heap: &'a Heap, id: ShardId) -> bool {
        let first = heap.owner_of(id).of_arena();
        first == id || Self::arena_of(heap, first).is_some() || Self::build(heap, first).is_some()
    }

    fn commit(heap: &Heap, id: ShardId, memory: *mut u8) -> Result<(), OutOfMemory> {
        // SAFETY: the shard's own address space.
        unsafe { os::commit(memory, SHARD_BYTES)? };
        if let Some(mode) = heap.bind() {
            let node = heap.node_of(id);
            let (page_heap, _) = heap.page_heap(node);
            page_heap.bind_range(memory, SHARD_BYTES, node, mode);
        }
        Ok(())
    }

    fn table_entry(&self, id: ShardId) -> &AtomicPtr<u64> {
        let entry = self.heap.region.shard_table().wrapping_add(id.0 as usize);
        // SAFETY: an entry of the table; sections read it as one aligned word.
        unsafe { AtomicPtr::from_ptr(entry) }
    }

    /// Which page heap serves this shard.
    #[must_use]
    pub fn heap_index(&self) -> usize {
        match self.arena.id() {
            ShardId::ORPHAN => {
                let is_ours = |arena: &Arena| core::ptr::eq(arena, self.arena);
                self.heap.orphans().iter().position(is_ours).unwrap_or(0)
            }
            id => self.heap.heap_of_node(self.heap.node_of(id)),
        }
    }

    /// The header of `class` as it is now, if this is a shard with headers. Those of a shard
    /// that was drained meanwhile are gone: zero, which no header ever is.
    #[inline]
    #[must_use]
    pub fn header(&self, class: SizeClass) -> Option<Header> {
        let header = Header(self.headers?[class.index()].load(Ordering::Relaxed));
        (header.shape() != 0).then_some(header)
    }

    /// What header 0 must be: the sentinel of classes without slots, and the shard's node.
    #[must_use]
    pub fn home_header(&self) -> Header {
        cs::home_of_shard(self.heap_index() as u32)
    }

    /// Header 0 as it is now, if this is a shard with headers that was not drained meanwhile.
    #[must_use]
    pub fn header_0(&self) -> Option<Header> {
        self.header(SizeClass(0))
    }

    /// The header of the objects of other nodes, as [`Self::header`].
    #[must_use]
    pub fn homeward_header(&self) -> Option<Header> {
        self.header(SizeClass(HOMEWARD as u8))
    }

    /// Calls `f` with each object of `class` that the shard holds. Only while nobody else
    /// allocates is that what the shard held at any time; bounds are the caller's to check.
    pub fn for_each_cached(&self, class: SizeClass, f: impl FnMut(usize)) {
        let Some(header) = self.header(class) else { return };
        let (begin, end) = (class.info().begin, class.info().begin + class.info().capacity_max);
        self.for_each_slot(begin..header.current().min(end), f);
    }

    /// As [`Self::for_each_cached`], with the objects of other nodes.
    pub fn for_each_homeward(&self, f: impl FnMut(usize)) {
        let Some(header) = self.homeward_header() else { return };
        let end = HOMEWARD_BEGIN + HOMEWARD_SLOTS;
        self.for_each_slot(HOMEWARD_BEGIN..header.current().min(end), f);
    }

    fn for_each_slot(&self, range: core::ops::Range<u16>, mut f: impl FnMut(usize)) {
        let slots = self
            .heap
            .region
            .shard_memory(self.heap.slot(self.arena.id()))
            .wrapping_add(ARENA_BYTES)
            .cast::<usize>();
        for slot in range {
            // SAFETY: a slot of a class, in the shard's memory, which is committed for ever.
            let slot = unsafe { AtomicUsize::from_ptr(slots.wrapping_add(slot.into())) };
            f(slot.load(Ordering::Relaxed));
        }
    }

    /// Whether this is a shard with headers, not the orphan arena alone.
    #[must_use]
    pub fn has_cache(&self) -> bool {
        self.headers.is_some()
    }

    /// Sum of all headers' counts: unchanged means that no fast operation hit in between.
    #[must_use]
    pub fn ops_sum(&self) -> u32 {
        self.headers.map_or(0, |headers| {
            headers
                .iter()
                .map(|h| Header(h.load(Ordering::Relaxed)).ops())
                .fold(0, u32::wrapping_add)
        })
    }

    /// Stops the shard, hands each class's cached objects to `take`, and those of other nodes, gives
    /// the memory of the slots back, and leaves the shard DRAINED. False when it was not READY, or
    /// could not be stopped.
    ///
    /// stop: the table entry becomes MISS → fence: no section that saw the old entry can
    /// commit any more → act: headers and slots are ours → start: whoever comes next builds.
    pub fn drain(&self, mut take: impl FnMut(SizeClass, &[usize])) -> bool {
        let (id, Some(headers)) = (self.arena.id(), self.headers) else {
            return false;
        };
        let state = self.heap.region.shard_state(id);
        if state.load(Ordering::Relaxed) != READY {
            return false;
        }
        // As in `build`: two would drain it in the child of a handler that forks.
        let _signals = os::SignalsBlocked::new();
        if state.compare_exchange(READY, BUSY, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        let base = self.table_entry(id).swap(MISS.base(), Ordering::SeqCst);
        let Some(_stopped) = stop(self.heap, id) else {
            self.table_entry(id).store(base, Ordering::Release);
            state.store(READY, Ordering::Release);
            return false;
        };
        for class in 1..crate::size_class::CLASSES {
            let class = SizeClass(class as u8);
            let header = Header(headers[class.index()].swap(INACTIVE.0, Ordering::Relaxed));
            if header.shape() == INACTIVE.shape() {
                continue;
            }
            self.arena.class(class).counters.fast_ops.start_over(header.ops());
            let begin = class.info().begin as usize;
            let count = header.current() as usize - begin;
            // SAFETY: after the fence nobody else reaches the slots; they hold `count` objects.
            let objects =
                unsafe { core::slice::from_raw_parts(base.add(begin).cast::<usize>(), count) };
            take(class, objects);
        }
        let header = Header(headers[HOMEWARD].swap(INACTIVE.0, Ordering::Relaxed));
        self.arena.homeward.waited.start_over(header.ops());
        let count = header.current().saturating_sub(HOMEWARD_BEGIN) as usize;
        let first = base.wrapping_add(HOMEWARD_BEGIN as usize).cast::<usize>();
        // SAFETY: as above; a header without slots has none before its first one.
        let objects = unsafe { core::slice::from_raw_parts_mut(first, count) };
        self.arena.homeward.sent.fetch_add(count as u64, Ordering::Relaxed);
        mixed::by_class(&self.heap.region, objects, &mut take);
        self.arena.capacity_bytes.store(0, Ordering::Relaxed);
        // SAFETY: all objects were taken; the next builder writes headers, classes their slots.
        unsafe { os::purge(base.cast(), SHARD_BYTES - ARENA_BYTES) };
        state.store(DRAINED, Ordering::Release);
        true
    }
}

/// Nobody is inside an operation on the shard that was stopped. Under an emulated cid, none begins
/// until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Stopped(
    #[expect(dead_code, reason = "starts the cid when dropped")] Option<slots::Stopped>,
);

/// After what the caller wrote to stop sections on shard `id`: makes a fence, after which none
/// that has not seen it is still under way. `None` when that cannot be had now.
pub fn stop(heap: &Heap, id: ShardId) -> Option<Stopped> {
    match heap.source {
        Source::Emulated => leases::stop(id.column() as u32).map(|stopped| Stopped(Some(stopped))),
        _ => fence().then_some(Stopped(None)),
    }
}

/// The rseq fence, for whose use the process registers once more when it must: a child of
/// `fork` may have lost the registration.
#[must_use]
pub fn fence() -> bool {
    membarrier::fence() || (membarrier::register() && membarrier::fence())
}

/// Whether somebody builds or drains shard `id` at this instant.
#[must_use]
pub fn is_busy(heap: &Heap, id: ShardId) -> bool {
    heap.region.shard_state(id).load(Ordering::Acquire) == BUSY
}

/// In a child of `fork`: who built or drained a shard is not here to end it.
pub fn forget_busy(heap: &Heap) {
    for id in heap.ids() {
        let state = heap.region.shard_state(id);
        if state.load(Ordering::Relaxed) == BUSY {
            state.store(ABSENT, Ordering::Relaxed);
        }
    }
}

/// All shards that are READY now.
pub fn all_ready(heap: &Heap) -> impl Iterator<Item = Shard<'_>> {
    heap.ids().filter_map(|id| Shard::ready(heap, id))
}

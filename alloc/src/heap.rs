//! The one heap of the process: its parts and its start.
//!
//! ```text
//!  HOT   (one cache line, all that the fast paths read)      HEAP (constant once ready)
//!  ┌────────────────────────────────────────────────┐        region, options, source …
//!  │ small_limit  0 until ready, without rseq, and  │
//!  │              in the hardened mode              │
//!  │ len          as above, and with several nodes  │        PAGE_HEAPS[node]
//!  │ base, page map, anchor                         │        ORPHANS: arena of threads
//!  └────────────────────────────────────────────────┘                 without a cid
//!
//!  NONE ──first use──► BUSY ──► READY          BUSY ──no memory──► NONE, and null
//! ```
//!
//! The first call of any entry point starts the heap, be it before `main`, before libc has an
//! environment, or in a constructor. Starting allocates nothing from anybody: it reserves
//! address space, reads two small files of sysfs, and registers with the kernel.
#![allow(unsafe_code)]

use crate::areas;
use crate::arena::Arena;
use crate::check;
use crate::cid_set::Policy;
use crate::config::{DECAY_PERIODS, NODES_MAX, PAGE, PAGE_SHIFT, SMALL_MAX};
use crate::hardened;
use crate::ids::ShardId;
use crate::leases;
use crate::nodes;
use crate::options::{Numa, Options};
use crate::os::{self, OutOfMemory};
use crate::page_heap::PageHeap;
use crate::region::Region;
use crate::source;
pub use crate::source::Source;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use numa_sys::policy::BindMode;
use rseq_sys::cs::{Anchor, MISS};
use rseq_sys::registration::Registration;
use rseq_sys::sync::{AtomicU8, AtomicUsize, Ordering};
use rseq_sys::{abi, membarrier};

/// What the fast paths read.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Hot {
    /// Sizes from 1 to this have a class; 0 until the heap is ready, without rseq, and hardened.
    small_limit: AtomicUsize,
    /// Bytes of the region; 0 until the heap is ready, without rseq, and where a push must ask
    /// for the object's node first.
    len: AtomicUsize,
    constants: UnsafeCell<Constants>,
}

/// Written once, before `small_limit` and `len` are published.
#[derive(Debug)]
struct Constants {
    base: usize,
    /// Where the entry of address 0 would be, which spares a subtraction in every free: the
    /// class it finds is what the whole section waits for.
    page_map_of_null: *mut u8,
    anchor: Anchor,
}

// SAFETY: `constants` is written before `len` and `small_limit` are released, and read only
// after one of them was acquired and found to be more than 0.
unsafe impl Sync for Hot {}

static HOT: Hot = Hot {
    small_limit: AtomicUsize::new(0),
    len: AtomicUsize::new(0),
    constants: UnsafeCell::new(Constants {
        base: 0,
        page_map_of_null: core::ptr::null_mut(),
        anchor: Anchor { area: 0, ids: 0, table: core::ptr::null() },
    }),
};

/// The anchor for sections on classes of `size` bytes; `None` when there is no class for the
/// size, it is 0, or the heap is not ready.
#[inline(always)]
#[must_use]
pub fn small(size: usize) -> Option<&'static Anchor> {
    // One comparison for all three: 0 wraps to the largest number.
    if size.wrapping_sub(1) >= HOT.small_limit.load(Ordering::Acquire) {
        return None;
    }
    // SAFETY: published, since the limit is not 0.
    Some(unsafe { &(*HOT.constants.get()).anchor })
}

/// The anchor for sections that take objects of any class back without asking where they are
/// from; `None` when objects have nodes, or the heap is not ready.
#[inline(always)]
#[must_use]
pub fn anchor_for_push() -> Option<&'static Anchor> {
    if HOT.len.load(Ordering::Acquire) == 0 {
        return None;
    }
    // SAFETY: published, since the length is not 0.
    Some(unsafe { &(*HOT.constants.get()).anchor })
}

/// What the page map says of `address`, the address's offset in its page, and the anchor.
/// `None` outside the region, or where [`anchor_for_push`] is.
#[inline(always)]
#[must_use]
pub fn locate(address: usize) -> Option<(usize, usize, &'static Anchor)> {
    let len = HOT.len.load(Ordering::Acquire);
    // SAFETY: the constants are zero or published; a zero length refuses every offset.
    let constants = unsafe { &*HOT.constants.get() };
    if address.wrapping_sub(constants.base) >= len {
        return None;
    }
    // SAFETY: published, since the length is not 0; the page map has an entry for each page of
    // the region and is readable over its whole length. The base is a multiple of the page.
    let entry =
        unsafe { load_byte(constants.page_map_of_null.wrapping_add(address >> PAGE_SHIFT)) };
    Some((entry, address & (PAGE - 1), &constants.anchor))
}

/// A relaxed atomic load of one byte, extended. The compiler extends the byte of an atomic load
/// in a second instruction, a cycle longer on the path that every free waits for.
///
/// # Safety
/// `byte` is readable.
#[inline(always)]
unsafe fn load_byte(byte: *const u8) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        let value: usize;
        // SAFETY: one load of a readable byte.
        unsafe {
            core::arch::asm!("movzx {0:e}, byte ptr [{1}]", out(reg) value, in(reg) byte,
                options(nostack, readonly, preserves_flags));
        }
        value
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: the caller's readable byte; all its writers are atomic.
    unsafe { AtomicU8::from_ptr(byte.cast_mut()) }.load(Ordering::Relaxed).into()
}

/// The parts that are constant once the heap is ready.
#[derive(Debug)]
pub struct Heap {
    /// Address space.
    pub region: Region,
    /// What the environment asked for.
    pub options: Options,
    /// Where the sections find their shard.
    pub anchor: Anchor,
    /// Who registered the threads' areas.
    pub registration: Registration,
    /// Where shard indices come from.
    pub source: Source,
    /// Why from there.
    pub why: &'static str,
    /// Nodes that shards may be on: the highest possible one and one.
    pub nodes: usize,
    /// Ids a node may have: the highest possible CPU and one.
    pub cids: usize,
    /// Neighbouring cids that share an arena: a power of two.
    pub arena_cids: usize,
    /// The kernel's page size in bytes.
    pub os_page: usize,
    /// Whether the environment could be read at start.
    pub environment_seen: bool,
    pub(crate) bind: Option<BindMode>,
}

const NONE: u8 = 0;
const BUSY: u8 = 1;
const READY: u8 = 2;

struct Cell {
    state: AtomicU8,
    heap: UnsafeCell<MaybeUninit<Heap>>,
}
// SAFETY: written by the one thread that moved the state from NONE to BUSY, read once READY.
unsafe impl Sync for Cell {}

static HEAP: Cell =
    Cell { state: AtomicU8::new(NONE), heap: UnsafeCell::new(MaybeUninit::uninit()) };
pub(crate) static PAGE_HEAPS: [PageHeap; NODES_MAX] = [const { PageHeap::new() }; NODES_MAX];
/// One for each page heap: an arena has spans of one node.
static ORPHANS: [Arena; NODES_MAX] = [const { Arena::new() }; NODES_MAX];
/// The heap, if it was started.
#[inline]
#[must_use]
pub fn started() -> Option<&'static Heap> {
    if HEAP.state.load(Ordering::Acquire) == READY {
        // SAFETY: READY is stored after the heap was written.
        Some(unsafe { (*HEAP.heap.get()).assume_init_ref() })
    } else {
        None
    }
}

/// The heap, started if need be.
///
/// # Errors
/// [`OutOfMemory`] when it cannot be started now; a later call tries again.
#[inline]
pub fn get() -> Result<&'static Heap, OutOfMemory> {
    match started() {
        Some(heap) => Ok(heap),
        None => start(),
    }
}

#[cold]
fn start() -> Result<&'static Heap, OutOfMemory> {
    // A handler that allocated here would wait for the thread it interrupted.
    let _signals = os::SignalsBlocked::new();
    loop {
        if let Some(heap) = started() {
            return Ok(heap);
        }
        if HEAP.state.compare_exchange(NONE, BUSY, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            break;
        }
        os::yield_now();
    }
    match Heap::build() {
        Ok(heap) => {
            // SAFETY: only this thread is between BUSY and READY.
            let heap = unsafe { (*HEAP.heap.get()).write(heap) };
            heap.publish();
            HEAP.state.store(READY, Ordering::Release);
            Ok(heap)
        }
        Err(OutOfMemory) => {
            HEAP.state.store(NONE, Ordering::Release);
            Err(OutOfMemory)
        }
    }
}

impl Heap {
    fn build() -> Result<Self, OutOfMemory> {
        let mut environment = os::environment().peekable();
        let environment_seen = environment.peek().is_some();
        let options = Options::from_environment(environment, |entry, why| {
            let entry = entry.to_str().unwrap_or("(not text)");
            check::say(format_args!("{entry} ignored: {why}"));
        });
        let feature_size = os::auxv(abi::AT_RSEQ_FEATURE_SIZE) as u32;
        let registration = areas::detect(feature_size);
        let (source, why) = source::choose(options.cid, &registration, os::aborts_sections());
        // The kernel writes node numbers beside its cids whether or not we know how many there
        // can be; where sysfs does not say, CPU numbers are the ids of which all are known.
        let known_nodes = os::possible_nodes();
        let (source, why) = match (source, known_nodes) {
            (Source::Kernel, None) => (Source::Cpu, "sysfs does not say how many nodes there are"),
            _ => (source, why),
        };
        let known = known_nodes.unwrap_or(1) as usize;
        let compact = options.cid_policy == Policy::Compact;
        let cids = os::possible_cpus()
            .map_or_else(os::cpu_mask_bits, |n| n as usize)
            .min(rseq_sys::cs::CIDS_PER_NODE);
        let (source, why) = match source {
            Source::Emulated if !leases::start(compact, known, cids) => {
                (Source::None, "no thread-specific key is left, by which emulated cids are kept")
            }
            _ => (source, why),
        };
        let nodes = if source == Source::None { 1 } else { known };
        if source == Source::Cpu && 1 < nodes && nodes <= NODES_MAX {
            nodes::learn(nodes);
        }
        let arena_cids = match options.arena_cids {
            // Neighbouring CPU numbers may be on two nodes.
            _ if source == Source::Cpu && nodes > 1 => 1,
            0 => source::cids_per_arena(cids),
            asked => asked,
        };
        let bind = match options.numa {
            _ if nodes == 1 || nodes > NODES_MAX => None,
            Numa::Preferred => Some(BindMode::Preferred),
            Numa::Bind => Some(BindMode::Bind),
            Numa::None => None,
        };
        let (rows, shards) =
            if source == Source::Cpu { (cids, cids) } else { (nodes, nodes * cids) };
        let region = Region::reserve(rows, shards)?;
        hardened::start(options.hardened, region.base().addr(), region.bytes());
        let table = region.shard_table();
        for id in ids(source, nodes, cids) {
            // SAFETY: the table has a row for each node, or each CPU, committed.
            unsafe { table.add(id.0 as usize).write(MISS.base()) };
        }
        if matches!(source, Source::Kernel | Source::Cpu) {
            let _ = membarrier::register();
        }
        for arena in &ORPHANS[..if bind.is_some() { nodes } else { 1 }] {
            arena.set_id(ShardId::ORPHAN);
        }
        Ok(Self {
            anchor: Anchor::new(&registration, source == Source::Cpu, table),
            region,
            options,
            registration,
            source,
            why,
            nodes,
            cids,
            arena_cids,
            os_page: os::page_size(),
            environment_seen,
            bind,
        })
    }

    /// Opens the fast paths.
    fn publish(&self) {
        // SAFETY: nobody reads the constants before `len` or `small_limit` is more than 0.
        unsafe {
            let base = self.region.base().expose_provenance();
            *HOT.constants.get() = Constants {
                base,
                page_map_of_null: self.region.page_map().wrapping_sub(base >> PAGE_SHIFT),
                anchor: Anchor { ..self.anchor },
            };
        }
        // No section may run where the areas hold no usable id, or the table is not for theirs;
        // in the hardened mode each operation has more to do.
        if matches!(self.source, Source::Kernel | Source::Cpu) && !hardened::is_on() {
            // Where objects have nodes, each free asks for it: see `foreign`.
            if self.page_heaps() == 1 {
                HOT.len.store(self.region.bytes(), Ordering::Release);
            }
            HOT.small_limit.store(SMALL_MAX, Ordering::Release);
        }
    }

    /// The arenas of threads without a cid, by page heap.
    #[must_use]
    pub fn orphans(&self) -> &'static [Arena] {
        &ORPHANS[..self.page_heaps()]
    }

    /// A shard's number among all shards that may come to be.
    #[must_use]
    pub fn slot(&self, id: ShardId) -> usize {
        // CPU numbers lie on the table's diagonal, one shard each.
        let row = if self.source == Source::Cpu { 0 } else { id.row() };
        row * self.cids + id.column()
    }

    /// The ids of all shards that may come to be.
    pub fn ids(&self) -> impl Iterator<Item = ShardId> + use<> {
        ids(self.source, self.nodes, self.cids)
    }

    /// The present decay period: a stamp of freed runs. Sixteen periods make one decay time.
    #[must_use]
    pub fn stamp(&self, now_ms: u64) -> u32 {
        let periods = u64::from(DECAY_PERIODS);
        (now_ms * periods / self.options.decay_ms.max(periods)) as u32
    }
}

fn ids(source: Source, nodes: usize, cids: usize) -> impl Iterator<Item = ShardId> {
    let rows = if source == Source::Cpu { 1 } else { nodes };
    (0..rows).flat_map(move |node| {
        (0..cids).map(move |id| ShardId::new(if source == Source::Cpu { id } else { node }, id))
    })
}

/// Whether the calling thread, in a handler, interrupted itself holding a page heap's lock.
pub(crate) fn holds_any_lock() -> bool {
    started()
        .is_some_and(|heap| PAGE_HEAPS[..heap.page_heaps()].iter().any(PageHeap::is_held_by_me))
}

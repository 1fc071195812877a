//! The heap over `fork`, of a process with threads, or from a signal handler.
//!
//! ```text
//!            prepare: FORKER = me, all page heaps' locks are mine      nothing else is needed:
//!  parent ───────┬──────────────────────────────────── open them       shards and arenas are
//!                └► child ── open them, forget who is not here any more  consistent at every
//!                                                                        instant
//! ```
//!
//! A handler may fork at any point of a fork of its own thread. Between prepare and the end it
//! finds FORKER to be itself, and leaves the locks to the fork that it interrupted; outside, it
//! finds them free, held by its thread (then parent and child go on holding them), or another's.
//!
//! A library on top has its part of a fork within ours ([`Layer`]): it may wait for a lock of its own
//! then, whose holders want none of the heap's. Around ours it would wait for page heaps with its
//! lock taken, while who has a page heap waits for that lock in a handler.

use crate::heap::{self, Heap};
use crate::leases;
use crate::maintenance;
use crate::os;
use crate::page_heap::ForkHold;
use crate::shard;
use core::ptr::null_mut;
use rseq_sys::area::thread_pointer;
use rseq_sys::sync::{
    AtomicPtr, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    compiler_fence,
};

/// Thread pointer of who is forking, or 0.
static FORKER: AtomicUsize = AtomicUsize::new(0);
/// Forks by that thread's signal handlers above that fork.
static DEPTH: AtomicUsize = AtomicUsize::new(0);
/// Page heaps whose locks the fork in progress took, a bit each.
static LOCKS: AtomicU64 = AtomicU64::new(0);

/// What a library on top does at a fork: last before it, and first after it. No part of it
/// allocates; each of them is called for forks by signal handlers amid another fork, too.
#[derive(Debug)]
pub struct Layer {
    /// In the parent, before.
    pub prepare: fn(),
    /// In the parent, after.
    pub parent: fn(),
    /// In the child.
    pub child: fn(),
}

static LAYER: AtomicPtr<Layer> = AtomicPtr::new(null_mut());

/// From now on forks have this layer: of all callers the last one's. The heap is there already.
pub fn set_layer(layer: &'static Layer) {
    LAYER.store(core::ptr::from_ref(layer).cast_mut(), Release);
}

#[allow(unsafe_code)]
fn layer() -> Option<&'static Layer> {
    // SAFETY: null, or what `set_layer` was given.
    unsafe { LAYER.load(Acquire).as_ref() }
}

/// Sees to it that forks leave a heap that works. Once, early: what registers later is prepared
/// earlier, so that no handler of another library has to wait for us while we hold locks.
pub fn register() {
    os::at_fork(prepare, parent, child);
}

extern "C" fn prepare() {
    hold_heap();
    if let Some(layer) = layer() {
        (layer.prepare)();
    }
}

extern "C" fn parent() {
    if let Some(layer) = layer() {
        (layer.parent)();
    }
    open_heap();
}

#[cold]
extern "C" fn child() {
    if let Some(layer) = layer() {
        (layer.child)();
    }
    open_heap();
    if let Some(heap) = heap::started() {
        maintenance::forget_others();
        shard::forget_busy(heap);
    }
    leases::forget_others();
}

fn hold_heap() {
    let Some(heap) = heap::started() else { return };
    let me = thread_pointer();
    if FORKER.load(Relaxed) == me {
        DEPTH.fetch_add(1, Relaxed);
        return;
    }
    let taken = loop {
        match take_all(heap) {
            Ok(taken) => break taken,
            // Sleeping and not yielding: a real-time thread yields to nobody below it.
            Err(Held(index)) => {
                let (page_heap, home) = heap.page_heap(index);
                page_heap.await_open(home);
            }
        }
    };
    // In this order, and the other way round afterwards: a handler that forks between the two
    // must not take what stands in LOCKS for its own.
    FORKER.store(me, Relaxed);
    compiler_fence(SeqCst);
    LOCKS.store(taken, Relaxed);
}

/// Another thread holds the lock of this page heap.
struct Held(usize);

/// Takes the locks of all page heaps, a bit each for those that were not the caller's, or none
/// (NEVER-WAIT-HOLDING).
fn take_all(heap: &Heap) -> Result<u64, Held> {
    let mut taken = 0;
    for index in 0..heap.page_heaps() {
        match heap.page_heap(index).0.try_before_fork() {
            ForkHold::Taken => taken |= 1 << index,
            ForkHold::Mine => {}
            ForkHold::Busy => {
                open(heap, taken);
                return Err(Held(index));
            }
        }
    }
    Ok(taken)
}

/// Opens the locks of the page heaps whose bits are set.
fn open(heap: &Heap, taken: u64) {
    for index in (0..heap.page_heaps()).filter(|index| taken >> index & 1 == 1) {
        heap.page_heap(index).0.after_fork();
    }
}

fn open_heap() {
    let Some(heap) = heap::started() else { return };
    if FORKER.load(Relaxed) != thread_pointer() {
        return;
    }
    if DEPTH.load(Relaxed) > 0 {
        DEPTH.fetch_sub(1, Relaxed);
        return;
    }
    let taken = LOCKS.swap(0, Relaxed);
    compiler_fence(SeqCst);
    FORKER.store(0, Relaxed);
    open(heap, taken);
}

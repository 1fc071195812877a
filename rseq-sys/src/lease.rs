//! The sections of threads without rseq: plain code, under a lease on an emulated cid.
//!
//! ```text
//!   a thread's lease                    slots of shards, as in `cs`
//!  ┌───────┬───────┬──────┐      turn   even: outside; odd: inside an operation
//!  │ turn  │ index │ base ┼──►   index  the shard's, as owners of words are compared with
//!  └───────┴───────┴──────┘      base   the shard; MISS while there is none, or it is stopped
//!
//!   holder                               whoever stops the cid (take-over, drain)
//!   turn odd    ─────────────────╮       claims the right to stop it
//!   base, header, slots           │       base = MISS
//!   commit: one store             │       fence ──► the holder's next turn finds MISS
//!   turn even   ◄────────────────╯       turn odd? then it may be at work: give up
//! ```
//!
//! Both sides write, pass a barrier, and then read what the other wrote, so that at least one of
//! them sees the other. The holder's barrier is free: `membarrier(2)` makes one of every point
//! in its code when the other side asks (asymmetric fence). Where the kernel refuses that, the
//! holder's write is an atomic exchange, unless libc knows of no second thread.
//!
//! Nobody waits for anybody. A signal handler above its own thread's operation finds the turn
//! odd: no operation of it may touch the shard, all miss. As in [`crate::cs`], an operation ends
//! with one store, so that a shard is consistent at each instant: a child of `fork` may go on
//! with the shard of a thread that it does not have.
#![allow(unsafe_code)]

use crate::cs::MISS;
#[cfg(cidalloc_model)]
use crate::model::{single_threaded, word};
#[cfg(not(target_arch = "x86_64"))]
use crate::sync::fence;
use crate::sync::{
    AtomicBool, AtomicPtr, AtomicU32,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    compiler_fence,
};
#[cfg(not(cidalloc_model))]
use word::{single_threaded, word};

/// One thread's lease. It is at home in memory that is never unmapped.
#[repr(C)]
#[derive(Debug)]
pub struct Lease {
    turn: AtomicU32,
    index: AtomicU32,
    base: AtomicPtr<u64>,
    asymmetric: AtomicBool,
}

/// The calling thread is inside an operation: nobody takes its shard away meanwhile.
#[derive(Debug)]
#[must_use]
pub struct Inside<'a> {
    lease: &'a Lease,
    turn: u32,
}

impl Drop for Inside<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lease.turn.store(self.turn.wrapping_add(2), Release);
    }
}

impl Inside<'_> {
    /// Leads the lease's operations to the shard `index` at `base`.
    pub fn bind(&self, index: u32, base: *mut u64) {
        self.lease.index.store(index, Relaxed);
        self.lease.base.store(base, Release);
    }
}

impl Lease {
    /// The lease of threads at their end: always inside, so that nothing ever enters.
    #[must_use]
    pub const fn ended() -> Self {
        Self {
            turn: AtomicU32::new(1),
            index: AtomicU32::new(0),
            base: AtomicPtr::new(core::ptr::null_mut()),
            asymmetric: AtomicBool::new(false),
        }
    }

    /// Makes it a lease on nothing, outside of operations: in a child of `fork` it may be that of
    /// a thread which was inside of one. `asymmetric` says that those who stop cids of this process
    /// do so with `membarrier`.
    pub fn reset(&self, asymmetric: bool) {
        self.stop();
        self.abandon();
        self.asymmetric.store(asymmetric, Relaxed);
    }

    /// The calling thread's lease, if it was given one.
    #[inline(always)]
    #[must_use]
    pub fn current() -> Option<&'static Self> {
        // SAFETY: the thread's own word; `set_current` put a lease there that lives for ever.
        unsafe { word().load(Relaxed).as_ref() }
    }

    /// Gives the calling thread its lease, or takes it away.
    pub fn set_current(lease: Option<&'static Self>) {
        let lease = lease.map_or(core::ptr::null_mut(), |lease| (&raw const *lease).cast_mut());
        word().store(lease, Relaxed);
    }

    /// Begins an operation; `None` in a handler above another one of the same thread.
    #[inline(always)]
    pub fn enter(&self) -> Option<Inside<'_>> {
        let turn = self.turn.load(Relaxed);
        if turn & 1 != 0 {
            return None;
        }
        self.turn.store(turn.wrapping_add(1), Relaxed);
        compiler_fence(SeqCst);
        // Looked at inside, where no handler changes it.
        if !self.asymmetric.load(Relaxed) {
            self.enter_fenced(turn.wrapping_add(1));
        }
        Some(Inside { lease: self, turn })
    }

    #[cold]
    fn enter_fenced(&self, turn: u32) {
        // The thread that makes a second one is outside of operations when it does so.
        if !single_threaded() {
            self.turn.swap(turn, SeqCst);
            // On x86-64 the swap is the barrier already.
            #[cfg(not(target_arch = "x86_64"))]
            fence(SeqCst);
        }
    }

    /// Whether `membarrier` alone makes the barriers of operations.
    #[must_use]
    pub fn is_asymmetric(&self) -> bool {
        self.asymmetric.load(Acquire)
    }
    /// Has operations make their own barriers from now on. For the lease's own thread, outside of
    /// operations: who sees it sees those that made none, too.
    pub fn make_barriers(&self) {
        if self.asymmetric.load(Relaxed) {
            self.asymmetric.store(false, Release);
        }
    }

    /// Whether the thread is inside an operation now.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.turn.load(Acquire) & 1 != 0
    }
    /// Ends an operation that nobody will go on with. It has not happened: what it had not
    /// committed lies where nobody looks.
    pub fn abandon(&self) {
        self.turn.store(self.turn().wrapping_add(1) & !1, Release);
    }
    /// A number that changes with each operation.
    #[must_use]
    pub fn turn(&self) -> u32 {
        self.turn.load(Relaxed)
    }
    /// The first half of stopping the lease: operations that begin after the fence that has to
    /// follow find no shard.
    pub fn stop(&self) {
        self.base.store(MISS.base(), SeqCst);
    }
    /// Whether operations find no shard.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.base.load(Acquire) == MISS.base()
    }
    /// The index of the shard that operations find.
    #[inline]
    #[must_use]
    pub fn shard_index(&self) -> Option<u32> {
        (!self.is_stopped()).then(|| self.index.load(Relaxed))
    }
}

mod operations;
#[cfg(all(test, not(cidalloc_model)))]
mod tests;
#[cfg(not(cidalloc_model))]
mod word;

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
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize,
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

    /// As [`crate::cs::pop`].
    ///
    /// # Safety
    /// The lease is the calling thread's, its base a shard's that it alone may use, or MISS;
    /// `class` is below [`crate::cs::HEADERS`].
    #[inline(always)]
    #[must_use]
    pub unsafe fn pop(&self, class: usize) -> usize {
        let Some(inside) = self.enter() else { return 1 };
        let base = inside.base();
        // SAFETY: a header and its slots, below `cur` or the sentinel, of the thread's shard.
        unsafe {
            let header = AtomicU64::from_ptr(base.add(class));
            let word = header.load(Relaxed);
            let object = slot(base, usize::from(word as u16) - 1).load(Relaxed);
            if object & 1 == 0 {
                header.store(word.wrapping_add(POPPED), Release);
            }
            object
        }
    }

    /// As [`crate::cs::push`].
    ///
    /// # Safety
    /// As [`Self::pop`]; the caller gives up `object`, which is of that class.
    #[inline(always)]
    #[must_use]
    pub unsafe fn push(&self, class: usize, object: usize) -> bool {
        let Some(inside) = self.enter() else { return false };
        // SAFETY: by the caller's promise.
        unsafe { push_to(inside.base(), class, object) }
    }

    /// As [`crate::cs::push_on_node`].
    ///
    /// # Safety
    /// As [`Self::push`]; header 0 of every shard says its node.
    #[inline]
    #[must_use]
    pub unsafe fn push_on_node(&self, class: usize, object: usize, node: u32) -> bool {
        let Some(inside) = self.enter() else { return false };
        let base = inside.base();
        // SAFETY: by the caller's promise.
        unsafe { is_on(base, node) && push_to(base, class, object) }
    }

    /// As [`crate::cs::pop_batch`].
    ///
    /// # Safety
    /// As [`Self::pop`]; `begin` is the class's.
    #[must_use]
    pub unsafe fn pop_batch(&self, class: usize, begin: usize, buffer: &mut [usize]) -> usize {
        let Some(inside) = self.enter() else { return 0 };
        let base = inside.base();
        // SAFETY: as in `pop`; a stopped shard's `cur` is below every `begin`.
        unsafe {
            let header = AtomicU64::from_ptr(base.add(class));
            let word = header.load(Relaxed);
            let current = usize::from(word as u16);
            let count = current.saturating_sub(begin).min(buffer.len());
            for (i, object) in buffer[..count].iter_mut().enumerate() {
                *object = slot(base, current - count + i).load(Relaxed);
            }
            if count > 0 {
                header.store(word - count as u64, Release);
            }
            count
        }
    }

    /// As [`crate::cs::push_batch`].
    ///
    /// # Safety
    /// As [`Self::push_on_node`], for each of the objects.
    #[must_use]
    pub unsafe fn push_batch(&self, class: usize, objects: &[usize], node: u32) -> usize {
        let Some(inside) = self.enter() else { return 0 };
        let base = inside.base();
        // SAFETY: header 0 of the thread's shard.
        if !unsafe { is_on(base, node) } {
            return 0;
        }
        // SAFETY: as in `push`; at most `end - cur` slots are written.
        unsafe {
            let header = AtomicU64::from_ptr(base.add(class));
            let word = header.load(Relaxed);
            let current = usize::from(word as u16);
            let count = (usize::from((word >> 16) as u16) - current).min(objects.len());
            for (i, &object) in objects[..count].iter().enumerate() {
                slot(base, current + i).store(object, Relaxed);
            }
            if count > 0 {
                header.store(word + count as u64, Release);
            }
            count
        }
    }

    /// As [`crate::cs::reshape`].
    ///
    /// # Safety
    /// As [`crate::cs::reshape`], and as [`Self::pop`].
    #[must_use]
    pub unsafe fn reshape(&self, class: usize, begin: usize, expected: u32, new: u32) -> bool {
        let Some(inside) = self.enter() else { return false };
        let base = inside.base();
        // SAFETY: as in `pop`; the sentinel's slot belongs to the class and holds no object.
        unsafe {
            let header = AtomicU64::from_ptr(base.add(class));
            let word = header.load(Relaxed);
            if word as u32 != expected {
                return false;
            }
            slot(base, begin - 1).store(1, Relaxed);
            header.store(word ^ u64::from(expected ^ new), Release);
            true
        }
    }

    /// As [`crate::cs::take`].
    ///
    /// # Safety
    /// As [`crate::cs::take`], and as [`Self::pop`].
    #[must_use]
    pub unsafe fn take(&self, owner: &AtomicU32, word: &AtomicU64, mask: u64) -> Option<u64> {
        self.change(owner, word, |now| now & !mask).map(|before| before & mask)
    }

    /// As [`crate::cs::put`].
    ///
    /// # Safety
    /// As [`crate::cs::put`], and as [`Self::pop`].
    #[must_use]
    pub unsafe fn put(&self, owner: &AtomicU32, word: &AtomicU64, mask: u64) -> Option<u64> {
        self.change(owner, word, |now| now | mask)
    }

    /// Changes `word` if the thread's shard is its `owner`; returns it as it was.
    #[inline]
    fn change(
        &self,
        owner: &AtomicU32,
        word: &AtomicU64,
        to: impl FnOnce(u64) -> u64,
    ) -> Option<u64> {
        let inside = self.enter()?;
        if inside.base() == MISS.base() || self.index.load(Relaxed) != owner.load(Acquire) {
            return None;
        }
        let before = word.load(Relaxed);
        word.store(to(before), Release);
        Some(before)
    }
}

impl Inside<'_> {
    #[inline(always)]
    fn base(&self) -> *mut u64 {
        self.lease.base.load(Acquire)
    }
}

/// As [`Lease::push`], inside of the operation, to the shard at `base`.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn push_to(base: *mut u64, class: usize, object: usize) -> bool {
    // SAFETY: as in `pop`; `cur < end` keeps the store inside the class's slots.
    unsafe {
        let header = AtomicU64::from_ptr(base.add(class));
        let word = header.load(Relaxed);
        let room = word as u16 != (word >> 16) as u16;
        if room {
            slot(base, usize::from(word as u16)).store(object, Relaxed);
            header.store(word.wrapping_add(PUSHED), Release);
        }
        room
    }
}

/// Whether the shard at `base` is on `node`. Of the base that is pushed to: one that is stopped
/// meanwhile is another, which says node 0.
///
/// # Safety
/// The base is a shard's.
#[inline(always)]
unsafe fn is_on(base: *mut u64, node: u32) -> bool {
    // SAFETY: by the caller's promise.
    let word = unsafe { AtomicU64::from_ptr(base) }.load(Relaxed);
    (word >> 32) as u32 == node
}

/// What a pop adds to a header: `cur` - 1, `ops` + 1.
const POPPED: u64 = (1 << 32) - 1;
/// What a push adds: `cur` + 1, `ops` + 1.
const PUSHED: u64 = (1 << 32) + 1;

/// # Safety
/// `index` is a word of the shard at `base`.
#[inline(always)]
unsafe fn slot<'a>(base: *mut u64, index: usize) -> &'a AtomicUsize {
    // SAFETY: by the caller's promise.
    unsafe { AtomicUsize::from_ptr(base.add(index).cast()) }
}

#[cfg(all(test, not(cidalloc_model)))]
mod tests;
#[cfg(not(cidalloc_model))]
mod word;

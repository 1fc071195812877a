//! The operations themselves: those of [`crate::cs`], in plain code, on the shard of a lease.
//!
//! ```text
//!   enter ─► base ─► header, slots, or owner and word ─► commit: one store ─► turn even
//! ```
#![allow(unsafe_code)]

use super::{Inside, Lease};
use crate::cs::MISS;
use crate::sync::{
    AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

impl Lease {
    /// As [`crate::cs::pop`].
    ///
    /// # Safety
    /// The lease is the calling thread's, its base a shard's that it alone may use, or MISS;
    /// `class` is below [`crate::cs::HEADERS`].
    #[inline(always)]
    #[must_use]
    pub unsafe fn pop(&self, class: usize) -> usize {
        around!(0x110);
        let Some(inside) = self.enter() else { return 1 };
        at!(0x110, 1);
        let base = inside.base();
        at!(0x110, 2);
        // SAFETY: a header and its slots, below `cur` or the sentinel, of the thread's shard.
        unsafe {
            let header = AtomicU64::from_ptr(base.add(class));
            let word = header.load(Relaxed);
            at!(0x110, 3);
            let object = slot(base, usize::from(word as u16) - 1).load(Relaxed);
            if object & 1 == 0 {
                at!(0x110, 4);
                unchanged!(header, word);
                header.store(word.wrapping_add(POPPED), Release);
                at!(0x110, 5);
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
        around!(0x120);
        let Some(inside) = self.enter() else { return false };
        at!(0x120, 1);
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
        around!(0x130);
        let Some(inside) = self.enter() else { return false };
        at!(0x130, 1);
        let base = inside.base();
        at!(0x130, 2);
        // SAFETY: by the caller's promise.
        unsafe {
            is_on(base, node) && {
                at!(0x130, 3);
                push_to(base, class, object)
            }
        }
    }

    /// As [`crate::cs::pop_batch`].
    ///
    /// # Safety
    /// As [`Self::pop`]; `begin` is the class's.
    #[must_use]
    pub unsafe fn pop_batch(&self, class: usize, begin: usize, buffer: &mut [usize]) -> usize {
        around!(0x140);
        let Some(inside) = self.enter() else { return 0 };
        at!(0x140, 1);
        let base = inside.base();
        at!(0x140, 2);
        // SAFETY: as in `pop`; a stopped shard's `cur` is below every `begin`.
        unsafe {
            let header = AtomicU64::from_ptr(base.add(class));
            let word = header.load(Relaxed);
            at!(0x140, 3);
            let current = usize::from(word as u16);
            let count = current.saturating_sub(begin).min(buffer.len());
            for (i, object) in buffer[..count].iter_mut().enumerate() {
                *object = slot(base, current - count + i).load(Relaxed);
                at!(0x140, 4);
            }
            if count > 0 {
                at!(0x140, 5);
                unchanged!(header, word);
                header.store(word - count as u64, Release);
                at!(0x140, 6);
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
        around!(0x150);
        let Some(inside) = self.enter() else { return 0 };
        at!(0x150, 1);
        let base = inside.base();
        at!(0x150, 2);
        // SAFETY: header 0 of the thread's shard.
        if !unsafe { is_on(base, node) } {
            return 0;
        }
        at!(0x150, 3);
        // SAFETY: as in `push`; at most `end - cur` slots are written.
        unsafe {
            let header = AtomicU64::from_ptr(base.add(class));
            let word = header.load(Relaxed);
            at!(0x150, 4);
            let current = usize::from(word as u16);
            let count = (usize::from((word >> 16) as u16) - current).min(objects.len());
            for (i, &object) in objects[..count].iter().enumerate() {
                slot(base, current + i).store(object, Relaxed);
                at!(0x150, 5);
            }
            if count > 0 {
                unchanged!(header, word);
                header.store(word + count as u64, Release);
                at!(0x150, 6);
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
        around!(0x160);
        let Some(inside) = self.enter() else { return false };
        at!(0x160, 1);
        let base = inside.base();
        at!(0x160, 2);
        // SAFETY: as in `pop`; the sentinel's slot belongs to the class and holds no object.
        unsafe {
            let header = AtomicU64::from_ptr(base.add(class));
            let word = header.load(Relaxed);
            at!(0x160, 3);
            if word as u32 != expected {
                return false;
            }
            slot(base, begin - 1).store(1, Relaxed);
            at!(0x160, 4);
            unchanged!(header, word);
            header.store(word ^ u64::from(expected ^ new), Release);
            at!(0x160, 5);
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
        around!(0x170);
        let inside = self.enter()?;
        at!(0x170, 1);
        if inside.base() == MISS.base() || self.index.load(Relaxed) != owner.load(Acquire) {
            return None;
        }
        at!(0x170, 2);
        let before = word.load(Relaxed);
        at!(0x170, 3);
        unchanged!(word, before);
        word.store(to(before), Release);
        at!(0x170, 4);
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
        at!(0x120, 2);
        let room = word as u16 != (word >> 16) as u16;
        if room {
            slot(base, usize::from(word as u16)).store(object, Relaxed);
            at!(0x120, 3);
            unchanged!(header, word);
            header.store(word.wrapping_add(PUSHED), Release);
            at!(0x120, 4);
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

//! The sections of a model's tasks: the contract of [`crate::cs`], line by line.
//!
//! ```text
//!  begin ► ids, base ► goes on? ► header, owner, word, slots ► goes on? ► commit ► end
//!     ▲                   │ no                                   │ no
//!     └───────────────────┴──────────────────────────────────────┘
//! ```
//!
//! Between two sections on different ids everything may happen in any order, as on two CPUs: what
//! keeps them apart is the fence alone. Two on the same ids never overlap: the first is aborted.
#![allow(unsafe_code)]

use crate::cs::{Anchor, CID_BITS, Header};
use crate::model::world;
use core::sync::atomic::{
    AtomicPtr, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// What a window came to.
pub(super) enum Step<'a, T> {
    /// It leaves without a commit.
    Leave(T),
    /// Its one store, and what it yields.
    Commit(&'a AtomicU64, u64, T),
}

/// Where a window is: the shard's index and base.
#[derive(Clone, Copy)]
struct Here {
    index: u32,
    base: *mut u64,
}

impl Here {
    fn header<'a>(self, class: usize) -> (&'a AtomicU64, Header) {
        // SAFETY: a header of the shard, whose memory is there for ever.
        let word = unsafe { AtomicU64::from_ptr(self.base.wrapping_add(class)) };
        (word, Header(word.load(Relaxed)))
    }
    fn slot<'a>(self, at: usize) -> &'a AtomicUsize {
        // SAFETY: a slot of the shard, as the header says.
        unsafe { AtomicUsize::from_ptr(self.base.wrapping_add(at).cast()) }
    }
    fn node(self) -> u32 {
        self.header(0).1.ops()
    }
}

/// Runs `body` in a window until it is not aborted; `missed` without ids.
fn window<'a, T>(anchor: &Anchor, missed: T, mut body: impl FnMut(Here) -> Step<'a, T>) -> T {
    let world = world();
    loop {
        world.point();
        let Some((row, id)) = world.begin() else { return missed };
        let index = (row << CID_BITS).wrapping_add(id);
        let entry = anchor.table.wrapping_add(index as usize).cast_mut();
        // SAFETY: an entry of the table, which has one for each index of the world.
        let base = unsafe { AtomicPtr::from_ptr(entry) }.load(Acquire);
        if !world.goes_on() {
            continue;
        }
        match body(Here { index, base }) {
            Step::Leave(outcome) => {
                world.end();
                return outcome;
            }
            Step::Commit(word, value, outcome) => {
                if world.goes_on() {
                    word.store(value, Release);
                    world.end();
                    return outcome;
                }
            }
        }
    }
}

/// # Safety
/// As [`crate::cs`] says.
#[must_use]
pub unsafe fn pop(anchor: &Anchor, class: usize) -> usize {
    window(anchor, 1, |here| {
        let (word, header) = here.header(class);
        let object = here.slot(usize::from(header.current()) - 1).load(Relaxed);
        if object & 1 != 0 {
            return Step::Leave(object);
        }
        Step::Commit(word, header.0.wrapping_add((1 << 32) - 1), object)
    })
}

/// # Safety
/// As [`crate::cs`] says.
#[must_use]
pub unsafe fn push(anchor: &Anchor, class: usize, object: usize) -> bool {
    window(anchor, false, |here| push_step(here, class, object))
}

/// # Safety
/// As [`crate::cs`] says.
#[must_use]
pub unsafe fn push_on_node(anchor: &Anchor, class: usize, object: usize, node: u32) -> bool {
    window(anchor, false, |here| match here.node() == node {
        true => push_step(here, class, object),
        false => Step::Leave(false),
    })
}

fn push_step<'a>(here: Here, class: usize, object: usize) -> Step<'a, bool> {
    let (word, header) = here.header(class);
    if header.current() == header.end() {
        return Step::Leave(false);
    }
    here.slot(header.current().into()).store(object, Relaxed);
    Step::Commit(word, header.0.wrapping_add((1 << 32) + 1), true)
}

/// # Safety
/// As [`crate::cs`] says; `buffer` has room for `max` objects.
#[must_use]
pub unsafe fn pop_batch(
    anchor: &Anchor,
    class: usize,
    begin: usize,
    buffer: *mut usize,
    max: usize,
) -> usize {
    window(anchor, 0, |here| {
        let (word, header) = here.header(class);
        let current = usize::from(header.current());
        let count = current.saturating_sub(begin).min(max);
        for i in 0..count {
            let object = here.slot(current - count + i).load(Relaxed);
            // SAFETY: within the caller's buffer.
            unsafe { buffer.add(i).write(object) };
        }
        if count == 0 {
            return Step::Leave(0);
        }
        Step::Commit(word, header.0 - count as u64, count)
    })
}

/// # Safety
/// As [`crate::cs`] says; there are `count` objects.
#[must_use]
pub unsafe fn push_batch(
    anchor: &Anchor,
    class: usize,
    objects: *const usize,
    count: usize,
    node: u32,
) -> usize {
    window(anchor, 0, |here| {
        if here.node() != node {
            return Step::Leave(0);
        }
        let (word, header) = here.header(class);
        let current = usize::from(header.current());
        let count = (usize::from(header.end()) - current).min(count);
        for i in 0..count {
            // SAFETY: one of the caller's objects.
            here.slot(current + i).store(unsafe { objects.add(i).read() }, Relaxed);
        }
        if count == 0 {
            return Step::Leave(0);
        }
        Step::Commit(word, header.0 + count as u64, count)
    })
}

/// # Safety
/// As [`crate::cs`] says.
#[must_use]
pub unsafe fn reshape(
    anchor: &Anchor,
    class: usize,
    begin: usize,
    expected: u32,
    new: u32,
) -> bool {
    window(anchor, false, |here| {
        let (word, header) = here.header(class);
        if header.shape() != expected {
            return Step::Leave(false);
        }
        here.slot(begin - 1).store(1, Relaxed);
        Step::Commit(word, header.0 ^ u64::from(expected ^ new), true)
    })
}

/// # Safety
/// As [`crate::cs`] says.
#[must_use]
pub unsafe fn take(anchor: &Anchor, owner: *const u32, word: *mut u64, mask: u64) -> Option<u64> {
    // SAFETY: by the caller's promise.
    unsafe { change(anchor, owner, word, |now| now & !mask) }.map(|before| before & mask)
}

/// # Safety
/// As [`crate::cs`] says.
#[must_use]
pub unsafe fn put(anchor: &Anchor, owner: *const u32, word: *mut u64, mask: u64) -> Option<u64> {
    // SAFETY: by the caller's promise.
    unsafe { change(anchor, owner, word, |now| now | mask) }
}

/// # Safety
/// Both words are live and aligned.
unsafe fn change(
    anchor: &Anchor,
    owner: *const u32,
    word: *mut u64,
    to: impl Fn(u64) -> u64,
) -> Option<u64> {
    // SAFETY: by the caller's promise.
    let word = unsafe { AtomicU64::from_ptr(word) };
    window(anchor, None, |here| {
        // SAFETY: by the caller's promise; others change it by atomics.
        if here.index != unsafe { owner.read_volatile() } {
            return Step::Leave(None);
        }
        let before = word.load(Relaxed);
        Step::Commit(word, to(before), Some(before))
    })
}

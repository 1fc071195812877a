//! The sections on copies of a model's tasks: the contract of [`crate::copies`], line by line.
//!
//! ```text
//!  begin ► ids, row ► goes on? ► a word ► goes on? ► the next one … ► goes on? ► commit ► end
//!     ▲                  │ no                │ no                         │ no
//!     └──────────────────┴───────────────────┴────────────────────────────┘
//! ```
//!
//! As in [`super::cs`]; words that a section reads one after the other are read at two moments here,
//! too.
#![allow(unsafe_code)]

use super::cs::Step;
use crate::copies::{Current, Outcome};
use crate::model::world;
use core::sync::atomic::{
    AtomicU8, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, Release},
};

/// Runs `body` on the copy of a number in a window until it is not aborted; `missed` without ids.
/// `number` makes one of two ids; `body` has none to do where it was aborted amidst of it.
fn window<'a, T>(
    number: impl Fn(u32, u32) -> u32,
    missed: T,
    mut body: impl FnMut(usize) -> Option<Step<'a, T>>,
) -> T {
    let world = world();
    loop {
        world.point();
        let Some((row, id)) = world.begin() else { return missed };
        let number = number(row, id);
        if !world.goes_on() {
            continue;
        }
        let outcome = match body(number as usize) {
            Some(Step::Leave(outcome)) => outcome,
            Some(Step::Commit(word, value, outcome)) if world.goes_on() => {
                word.store(value, Release);
                outcome
            }
            _ => continue,
        };
        world.end();
        return outcome;
    }
}

/// As [`window`], on the copy that `current` leads to.
///
/// # Safety
/// There is a row for each id of the world.
unsafe fn on_copy<'a, T>(
    current: &Current,
    missed: T,
    body: impl FnMut(usize) -> Option<Step<'a, T>>,
) -> T {
    // SAFETY: by the caller's promise.
    let first = |row: u32| unsafe { current.rows.add(row as usize).read() };
    window(|row, id| first(row) + id, missed, body)
}

/// Copy `number` of `word`.
///
/// # Safety
/// It is there.
unsafe fn at<'a>(word: *const u64, number: usize, shift: u32) -> &'a AtomicU64 {
    // SAFETY: by the caller's promise.
    unsafe { AtomicU64::from_ptr(word.wrapping_byte_add(number << shift).cast_mut()) }
}

/// # Safety
/// As [`crate::copies`] says.
#[must_use]
pub unsafe fn add(current: &Current, shift: u32, word: *mut u64, k: u64) -> bool {
    // SAFETY: by the caller's promise.
    unsafe {
        on_copy(current, false, |n| {
            let word = at(word, n, shift);
            Some(Step::Commit(word, word.load(Relaxed).wrapping_add(k), true))
        })
    }
}

/// What the sections that add through a route do at copy `n`.
///
/// # Safety
/// As [`add_through`], where copies are `1 << shift` bytes apart.
unsafe fn add_at<'a>(
    n: usize,
    shift: u32,
    route: *const usize,
    offset: usize,
    k: u64,
) -> Option<Step<'a, bool>> {
    // SAFETY: by the caller's promise.
    let address = unsafe { AtomicUsize::from_ptr(route.cast_mut()) }.load(Relaxed);
    if address & 1 == 1 {
        return Some(Step::Leave(false));
    }
    let word = core::ptr::with_exposed_provenance(address + offset);
    // SAFETY: by the caller's promise.
    let word = unsafe { at(word, n, shift) };
    Some(Step::Commit(word, word.load(Relaxed).wrapping_add(k), true))
}

/// # Safety
/// As [`crate::copies`] says.
#[must_use]
pub unsafe fn add_through<const SHIFT: u32>(
    current: &Current,
    route: *const usize,
    offset: usize,
    k: u64,
) -> bool {
    // SAFETY: by the caller's promise.
    unsafe { on_copy(current, false, |n| add_at(n, SHIFT, route, offset, k)) }
}

/// # Safety
/// As [`crate::copies`] says.
#[must_use]
pub unsafe fn add_through_cid<const SHIFT: u32>(_area: isize, route: *const usize, k: u64) -> bool {
    // SAFETY: by the caller's promise.
    window(|_, id| id, false, |n| unsafe { add_at(n, SHIFT, route, 0, k) })
}

/// # Safety
/// As [`crate::copies`] says.
#[must_use]
pub unsafe fn add_through_cid_at<const SHIFT: u32>(
    _area: isize,
    route: *const usize,
    offset: usize,
    k: u64,
) -> bool {
    // SAFETY: by the caller's promise.
    window(|_, id| id, false, |n| unsafe { add_at(n, SHIFT, route, offset, k) })
}

/// # Safety
/// As [`crate::copies`] says.
pub unsafe fn load(current: &Current, shift: u32, word: *const u64) -> Outcome {
    // SAFETY: by the caller's promise.
    unsafe {
        on_copy(current, Outcome::NoCid, |n| {
            Some(Step::Leave(Outcome::Done(at(word, n, shift).load(Relaxed))))
        })
    }
}

/// # Safety
/// As [`crate::copies`] says.
pub unsafe fn compare_store(
    current: &Current,
    shift: u32,
    word: *mut u64,
    expected: u64,
    new: u64,
) -> Outcome {
    // SAFETY: by the caller's promise; nothing is written before the commit.
    unsafe { compare_then(current, shift, word, expected, new, |_| true) }
}

/// # Safety
/// As [`crate::copies`] says.
pub unsafe fn compare_two_store(
    current: &Current,
    shift: u32,
    word: *mut u64,
    expected: u64,
    other: *const u64,
    other_expected: u64,
    new: u64,
) -> Outcome {
    // SAFETY: by the caller's promise.
    unsafe {
        on_copy(current, Outcome::NoCid, |n| {
            let other_found = at(other, n, shift).load(Relaxed);
            if !world().goes_on() {
                return None;
            }
            let word = at(word, n, shift);
            let found = word.load(Relaxed);
            Some(match (found == expected, other_found == other_expected) {
                (false, _) => Step::Leave(Outcome::Differs(found)),
                (true, false) => Step::Leave(Outcome::Differs(other_found)),
                (true, true) => Step::Commit(word, new, Outcome::Done(found)),
            })
        })
    }
}

/// # Safety
/// As [`crate::copies`] says.
pub unsafe fn compare_store_store(
    current: &Current,
    shift: u32,
    word: *mut u64,
    expected: u64,
    new: u64,
    other: *mut u64,
    other_new: u64,
) -> Outcome {
    let store = |n| {
        // SAFETY: by the caller's promise.
        unsafe { at(other, n, shift) }.store(other_new, Relaxed);
        true
    };
    // SAFETY: by the caller's promise; nobody looks at the other word before the commit.
    unsafe { compare_then(current, shift, word, expected, new, store) }
}

/// # Safety
/// As [`crate::copies`] says.
pub unsafe fn push(
    current: &Current,
    shift: u32,
    head: *mut u64,
    node: *mut u8,
    next: usize,
) -> Outcome {
    // SAFETY: by the caller's promise.
    unsafe {
        on_copy(current, Outcome::NoCid, |n| {
            let head = at(head, n, shift);
            let found = head.load(Relaxed);
            AtomicU64::from_ptr(node.add(next).cast()).store(found, Relaxed);
            Some(Step::Commit(head, node.expose_provenance() as u64, Outcome::Done(found)))
        })
    }
}

/// # Safety
/// As [`crate::copies`] says.
pub unsafe fn pop(current: &Current, shift: u32, head: *mut u64, next: usize) -> Outcome {
    // SAFETY: by the caller's promise.
    unsafe {
        on_copy(current, Outcome::NoCid, |n| {
            let head = at(head, n, shift);
            let found = head.load(Relaxed);
            if found == 0 {
                return Some(Step::Leave(Outcome::Differs(0)));
            }
            if !world().goes_on() {
                return None;
            }
            let node: *mut u8 = core::ptr::with_exposed_provenance_mut(found as usize);
            let rest = AtomicU64::from_ptr(node.add(next).cast()).load(Relaxed);
            Some(Step::Commit(head, rest, Outcome::Done(found)))
        })
    }
}

/// # Safety
/// As [`crate::copies`] says.
pub unsafe fn pop_all(current: &Current, shift: u32, head: *mut u64) -> Outcome {
    // SAFETY: by the caller's promise.
    unsafe {
        on_copy(current, Outcome::NoCid, |n| {
            let head = at(head, n, shift);
            Some(match head.load(Relaxed) {
                0 => Step::Leave(Outcome::Done(0)),
                found => Step::Commit(head, 0, Outcome::Done(found)),
            })
        })
    }
}

/// # Safety
/// As [`crate::copies`] says.
#[expect(clippy::too_many_arguments, reason = "the operation's")]
pub unsafe fn compare_copy_store(
    current: &Current,
    shift: u32,
    word: *mut u64,
    expected: u64,
    new: u64,
    to: *mut u8,
    from: *const u8,
    len: usize,
) -> Outcome {
    let copy = |n: usize| {
        (0..len).all(|i| {
            // SAFETY: by the caller's promise.
            unsafe {
                let to = AtomicU8::from_ptr(to.wrapping_add((n << shift) + i));
                to.store(from.add(i).read(), Relaxed);
            }
            // Others go on where a word ends.
            i % 8 != 7 || world().goes_on()
        })
    };
    // SAFETY: by the caller's promise; nobody looks at the bytes before the commit.
    unsafe { compare_then(current, shift, word, expected, new, copy) }
}

/// Calls `prepare` with the number of the copy of `word` if it holds `expected`; false when it was
/// aborted meanwhile. Then commits `new`.
///
/// # Safety
/// As [`crate::copies`] says.
unsafe fn compare_then(
    current: &Current,
    shift: u32,
    word: *mut u64,
    expected: u64,
    new: u64,
    prepare: impl Fn(usize) -> bool,
) -> Outcome {
    // SAFETY: by the caller's promise.
    unsafe {
        on_copy(current, Outcome::NoCid, |n| {
            let word = at(word, n, shift);
            let found = word.load(Relaxed);
            if found != expected {
                return Some(Step::Leave(Outcome::Differs(found)));
            }
            prepare(n).then_some(Step::Commit(word, new, Outcome::Done(found)))
        })
    }
}

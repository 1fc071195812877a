//! The sections on arm64: declarations only; the instructions are in `aarch64.S`, and the
//! contract is in the parent module.
//!
//! ```text
//!   x86_64.rs                       here
//!   window inlined in the caller    bl cidalloc_rseq_copies_add ──► aarch64.S: arm, window, stlr, ret
//! ```
//!
//! # Safety
//! File-wide: as in `cs/aarch64.rs`. Leaves by AAPCS64, which to the compiler are foreign calls.
#![allow(unsafe_code)]

use super::{Current, Outcome};

// A test of another architecture includes this file to compare its types.
#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(concat!(include_str!("../cs/aarch64_frame.S"), include_str!("aarch64.S")));

/// What a section returns, in x0 and x1.
#[repr(C)]
struct Raw {
    /// 0 without a cid, 1 where a word differs, 2 when it is done.
    what: u64,
    word: u64,
}

impl Raw {
    #[inline(always)]
    fn outcome(self) -> Outcome {
        match self.what {
            0 => Outcome::NoCid,
            1 => Outcome::Differs(self.word),
            _ => Outcome::Done(self.word),
        }
    }
}

unsafe extern "C" {
    fn cidalloc_rseq_copies_add(current: &Current, shift: u64, word: *mut u64, k: u64) -> Raw;
    fn cidalloc_rseq_copies_load(current: &Current, shift: u64, word: *const u64) -> Raw;
    fn cidalloc_rseq_copies_compare_store(
        current: &Current,
        shift: u64,
        word: *mut u64,
        expected: u64,
        new: u64,
    ) -> Raw;
    fn cidalloc_rseq_copies_compare_two_store(
        current: &Current,
        shift: u64,
        word: *mut u64,
        expected: u64,
        other: *const u64,
        other_expected: u64,
        new: u64,
    ) -> Raw;
    fn cidalloc_rseq_copies_compare_store_store(
        current: &Current,
        shift: u64,
        word: *mut u64,
        expected: u64,
        new: u64,
        other: *mut u64,
        other_new: u64,
    ) -> Raw;
    fn cidalloc_rseq_copies_push(
        current: &Current,
        shift: u64,
        head: *mut u64,
        node: *mut u8,
        next: usize,
    ) -> Raw;
    fn cidalloc_rseq_copies_pop(current: &Current, shift: u64, head: *mut u64, next: usize) -> Raw;
    fn cidalloc_rseq_copies_pop_all(current: &Current, shift: u64, head: *mut u64) -> Raw;
    fn cidalloc_rseq_copies_compare_copy_store(
        current: &Current,
        shift: u64,
        word: *mut u64,
        expected: u64,
        new: u64,
        to: *mut u8,
        from: *const u8,
        len: usize,
    ) -> Raw;
    fn cidalloc_rseq_copies_add_through(
        current: &Current,
        shift: u64,
        route: *const usize,
        offset: usize,
        k: u64,
    ) -> Raw;
}

/// Adds `k` to the current copy of `word`; false when the thread has no cid.
///
/// # Safety
/// `current` leads to this process's areas and to a table of rows that is readable at each id; the
/// copies of `word`, each `1 << shift` bytes above the one before, are aligned, writable, and
/// changed by sections alone, or after a fence.
#[inline(always)]
#[must_use]
pub unsafe fn add(current: &Current, shift: u32, word: *mut u64, k: u64) -> bool {
    // SAFETY: CID-EXCLUSIVE makes the copy ours within the window; it is there by the caller's
    // promise.
    unsafe { cidalloc_rseq_copies_add(current, shift.into(), word, k) }.what != 0
}

/// The current copy of `word`.
///
/// # Safety
/// As [`add`]; readable is enough.
#[inline(always)]
pub unsafe fn load(current: &Current, shift: u32, word: *const u64) -> Outcome {
    // SAFETY: as in `add`.
    unsafe { cidalloc_rseq_copies_load(current, shift.into(), word) }.outcome()
}

/// Writes `new` to the current copy of `word` if it holds `expected`.
///
/// # Safety
/// As [`add`].
#[inline(always)]
pub unsafe fn compare_store(
    current: &Current,
    shift: u32,
    word: *mut u64,
    expected: u64,
    new: u64,
) -> Outcome {
    // SAFETY: as in `add`.
    unsafe { cidalloc_rseq_copies_compare_store(current, shift.into(), word, expected, new) }
        .outcome()
}

/// Writes `new` to the current copy of `word` if it holds `expected`, and that of `other` holds
/// `other_expected`. Tells of the first one that differs.
///
/// # Safety
/// As [`add`], for both words; for `other`, readable is enough.
#[inline]
pub unsafe fn compare_two_store(
    current: &Current,
    shift: u32,
    word: *mut u64,
    expected: u64,
    other: *const u64,
    other_expected: u64,
    new: u64,
) -> Outcome {
    // SAFETY: as in `add`.
    unsafe {
        cidalloc_rseq_copies_compare_two_store(
            current,
            shift.into(),
            word,
            expected,
            other,
            other_expected,
            new,
        )
    }
    .outcome()
}

/// Writes `other_new` to the current copy of `other` and then `new` to that of `word`, if `word`
/// holds `expected`.
///
/// # Safety
/// As [`add`], for both words, which are two. Nobody relies on `other` unless they saw `new`.
#[inline]
pub unsafe fn compare_store_store(
    current: &Current,
    shift: u32,
    word: *mut u64,
    expected: u64,
    new: u64,
    other: *mut u64,
    other_new: u64,
) -> Outcome {
    // SAFETY: as in `add`.
    unsafe {
        cidalloc_rseq_copies_compare_store_store(
            current,
            shift.into(),
            word,
            expected,
            new,
            other,
            other_new,
        )
    }
    .outcome()
}

/// Pushes `node` to the list at the current copy of `head`: its word at offset `next` becomes the
/// first node so far, which is what is returned.
///
/// # Safety
/// As [`add`]; the caller gives up the node, whose word at `next` is aligned and writable.
#[inline(always)]
pub unsafe fn push(
    current: &Current,
    shift: u32,
    head: *mut u64,
    node: *mut u8,
    next: usize,
) -> Outcome {
    // SAFETY: as in `add`; nobody else knows of the node.
    unsafe { cidalloc_rseq_copies_push(current, shift.into(), head, node, next) }.outcome()
}

/// Pops the first node of the list at the current copy of `head`; `Differs(0)` from an empty one.
///
/// # Safety
/// As [`add`]; the list holds nodes that were pushed with this `next`, and a node that is on it is
/// readable.
#[inline(always)]
pub unsafe fn pop(current: &Current, shift: u32, head: *mut u64, next: usize) -> Outcome {
    // SAFETY: as in `add`; within the window nobody else takes the node off the list.
    unsafe { cidalloc_rseq_copies_pop(current, shift.into(), head, next) }.outcome()
}

/// Takes all nodes off the list at the current copy of `head`: the first one, or 0.
///
/// # Safety
/// As [`add`].
#[inline(always)]
pub unsafe fn pop_all(current: &Current, shift: u32, head: *mut u64) -> Outcome {
    // SAFETY: as in `add`.
    unsafe { cidalloc_rseq_copies_pop_all(current, shift.into(), head) }.outcome()
}

/// Copies `len` bytes from `from` to the current copy of `to` and then writes `new` to that of
/// `word`, if `word` holds `expected`.
///
/// # Safety
/// As [`add`], for `word` and for `len` bytes at `to`; `len` bytes at `from` are readable, and none of
/// the three overlap. `len` is at most [`super::COPY_MAX`]. Nobody relies on the bytes at `to` unless
/// they saw `new`.
#[inline]
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
    // SAFETY: as in `add`.
    unsafe {
        cidalloc_rseq_copies_compare_copy_store(
            current,
            shift.into(),
            word,
            expected,
            new,
            to,
            from,
            len,
        )
    }
    .outcome()
}

/// Adds `k` to the current copy of the word that is `offset` bytes above the address in `*route`; false
/// when that is odd, or the thread has no cid. Copies are `1 << SHIFT` bytes apart.
///
/// # Safety
/// As [`add`](super::add), for the word of each even `*route` that a section may find.
#[inline(always)]
#[must_use]
pub unsafe fn add_through<const SHIFT: u32>(
    current: &Current,
    route: *const usize,
    offset: usize,
    k: u64,
) -> bool {
    // SAFETY: as in `add`; what leaves before the route is read leaves without a cid.
    unsafe { cidalloc_rseq_copies_add_through(current, SHIFT.into(), route, offset, k) }.what != 0
}

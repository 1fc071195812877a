//! The sections on arm64: declarations only; the instructions are in `aarch64.S`, and the
//! contract is in the parent module.
//!
//! ```text
//!   x86_64.rs                       here
//!   window inlined in the caller    bl cidalloc_rseq_pop ──► aarch64.S: arm, window, stlr, ret
//! ```
//!
//! Out of line, so that one text serves the compiler's assembler and GNU's: what a test
//! assembled, disassembled and ran is what the crate holds.
//!
//! # Safety
//! File-wide: the sections are leaves by AAPCS64. They use no stack and no callee-saved
//! register, and to the compiler they are foreign calls, which no access to memory crosses.
#![allow(unsafe_code)]

use super::Anchor;

// A test of another architecture includes this file to compare its types.
#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(concat!(include_str!("aarch64_frame.S"), include_str!("aarch64.S")));

/// What `take` and `put` return, in x0 and x1.
#[repr(C)]
struct Outcome {
    is_owner: u64,
    word: u64,
}

impl Outcome {
    #[inline(always)]
    fn word(self) -> Option<u64> {
        (self.is_owner != 0).then_some(self.word)
    }
}

unsafe extern "C" {
    fn cidalloc_rseq_pop(anchor: &Anchor, class: usize) -> usize;
    fn cidalloc_rseq_push(anchor: &Anchor, class: usize, object: usize) -> u64;
    fn cidalloc_rseq_push_on_node(anchor: &Anchor, class: usize, object: usize, node: u32) -> u64;
    fn cidalloc_rseq_pop_batch(
        anchor: &Anchor,
        class: usize,
        begin: usize,
        buf: *mut usize,
        max: usize,
    ) -> usize;
    fn cidalloc_rseq_push_batch(
        anchor: &Anchor,
        class: usize,
        buf: *const usize,
        len: usize,
        node: u32,
    ) -> usize;
    fn cidalloc_rseq_reshape(
        anchor: &Anchor,
        class: usize,
        begin: usize,
        expected: u32,
        new: u32,
    ) -> u64;
    fn cidalloc_rseq_take(anchor: &Anchor, owner: *const u32, word: *mut u64, mask: u64)
    -> Outcome;
    fn cidalloc_rseq_put(anchor: &Anchor, owner: *const u32, word: *mut u64, mask: u64) -> Outcome;
}

/// Pops an object of `class`: its address, or an odd word when there is none.
///
/// # Safety
/// `anchor` leads to this process's areas and to a table whose entries up to the largest
/// possible index are bases of shards; `class` is below [`super::HEADERS`].
#[inline(always)]
#[must_use]
pub unsafe fn pop(anchor: &Anchor, class: usize) -> usize {
    // SAFETY: CID-EXCLUSIVE makes the shard ours within the window; the addresses are in it
    // by the caller's promise, and the sentinel keeps `cur - 1` inside the class.
    unsafe { cidalloc_rseq_pop(anchor, class) }
}

/// Pushes `object` to `class`; false when the class is full or there is no shard.
///
/// # Safety
/// As [`pop`]; the caller gives up `object`, which is of that class.
#[inline(always)]
#[must_use]
pub unsafe fn push(anchor: &Anchor, class: usize, object: usize) -> bool {
    // SAFETY: as in `pop`; `cur < end` keeps the store inside the class's slots.
    unsafe { cidalloc_rseq_push(anchor, class, object) != 0 }
}

/// Pushes `object` to `class` of a shard whose header 0 says `node`; false when it says another,
/// the class is full, or there is no shard.
///
/// # Safety
/// As [`push`]; header 0 of every shard says its node.
#[inline(always)]
#[must_use]
pub unsafe fn push_on_node(anchor: &Anchor, class: usize, object: usize, node: u32) -> bool {
    // SAFETY: as in `pop`; `cur < end` keeps the store inside the class's slots.
    unsafe { cidalloc_rseq_push_on_node(anchor, class, object, node) != 0 }
}

/// Pops up to `max` objects of `class`, whose first slot is `begin`, into `buf`; the lowest
/// slot first. Returns how many.
///
/// # Safety
/// As [`pop`]; `buf` has room for `max` words, and `begin` is the class's.
#[inline(never)]
pub unsafe fn pop_batch(
    anchor: &Anchor,
    class: usize,
    begin: usize,
    buf: *mut usize,
    max: usize,
) -> usize {
    // SAFETY: as in `pop`; at most `cur - begin` slots are read and `max` words written. A
    // stopped shard's `cur` is below every `begin`, and the comparison is signed.
    unsafe { cidalloc_rseq_pop_batch(anchor, class, begin, buf, max) }
}

/// Pushes as many of `len` objects from `buf` to `class` as fit, the first one lowest, if the
/// shard's header 0 says `node`. Returns how many, counted from the beginning of `buf`.
///
/// # Safety
/// As [`push_on_node`], for each of them; `buf` holds `len` words.
#[inline(never)]
pub unsafe fn push_batch(
    anchor: &Anchor,
    class: usize,
    buf: *const usize,
    len: usize,
    node: u32,
) -> usize {
    // SAFETY: as in `push`; at most `end - cur` slots are written.
    unsafe { cidalloc_rseq_push_batch(anchor, class, buf, len, node) }
}

/// Sets `cur` and `end` of `class` to `new` if they are `expected` (both as
/// [`super::Header::shape`]), and writes the sentinel before slot `begin`.
///
/// # Safety
/// As [`pop`]; `begin` is the class's, `new` lies within its slots, and all slots from `begin`
/// to `new`'s `cur` hold objects (none, or the ones that are there).
#[inline(never)]
pub unsafe fn reshape(
    anchor: &Anchor,
    class: usize,
    begin: usize,
    expected: u32,
    new: u32,
) -> bool {
    // SAFETY: as in `pop`; the sentinel's slot belongs to the class and never holds an object.
    unsafe { cidalloc_rseq_reshape(anchor, class, begin, expected, new) != 0 }
}

/// Takes the bits of `mask` that are set in `word`, if the current shard is `owner`.
///
/// # Safety
/// As [`pop`]; `word` is changed only by sections that compare with the same `owner`.
#[inline(always)]
#[must_use]
pub unsafe fn take(anchor: &Anchor, owner: *const u32, word: *mut u64, mask: u64) -> Option<u64> {
    // SAFETY: the owner check inside the window makes the word ours (CID-EXCLUSIVE).
    unsafe { cidalloc_rseq_take(anchor, owner, word, mask) }.word()
}

/// Sets the bits of `mask` in `word`, if the current shard is `owner`; returns the word as it
/// was before.
///
/// # Safety
/// As [`take`].
#[inline(always)]
#[must_use]
pub unsafe fn put(anchor: &Anchor, owner: *const u32, word: *mut u64, mask: u64) -> Option<u64> {
    // SAFETY: as in `take`.
    unsafe { cidalloc_rseq_put(anchor, owner, word, mask) }.word()
}

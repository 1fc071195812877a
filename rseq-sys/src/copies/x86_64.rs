//! The sections on x86-64. Asm only; the contract is in the parent module, the frame in
//! `cs/x86_64/window.rs`, the way to the copy in `x86_64/window.rs`.
//!
//! # Safety
//! File-wide: as in `cs/x86_64.rs`. No window calls, pushes or pops; every operand is a register;
//! memory stays clobbered.
#![allow(unsafe_code)]

use super::{Current, Outcome};
use crate::abi::{CPU_ID, RSEQ_CS, SIGNATURE};
use crate::cs::section;
use core::arch::asm;
use core::mem::offset_of;

#[macro_use]
#[path = "x86_64/window.rs"]
mod window;
#[path = "x86_64/through.rs"]
mod through;

pub use through::{add_through, add_through_cid, add_through_cid_at};

/// Adds `k` to the current copy of `word`; false when the thread has no cid.
///
/// # Safety
/// `current` leads to this process's areas and to a table of rows that is readable at each id; the
/// copies of `word`, each `1 << shift` bytes above the one before, are aligned, writable, and
/// changed by sections alone, or after a fence.
#[inline(always)]
#[must_use]
pub unsafe fn add(current: &Current, shift: u32, word: *mut u64, k: u64) -> bool {
    if !current.several.is_null() {
        // SAFETY: by the caller's promise.
        return unsafe { add_in_rows(current, shift, word, k) };
    }
    around!(0x210);
    // The shortest of all windows, since it is what a counter costs: no row, and no register for
    // the outcome, which is where it goes on.
    // SAFETY: CID-EXCLUSIVE makes the copy ours within the window; it is there by the caller's
    // promise.
    unsafe {
        section!(
            0x210,
            [
                "mov {s:e}, dword ptr fs:[{ids} + 4]",
                point!(0x210, 2),
                "cmp dword ptr fs:[{area} + {CPU_ID}], 0",
                "jl {no_cid}",
                point!(0x210, 3),
                "shl {s}, cl",
                "add qword ptr [{v} + {s}], {k}",
            ],
            s = out(reg) _, area = in(reg) current.area, ids = in(reg) current.ids,
            v = in(reg) word, k = in(reg) k, no_cid = label { return false },
            in("cl") shift as u8,
        );
    }
    true
}

/// As [`add`], where copies have rows.
///
/// # Safety
/// As there.
#[inline]
unsafe fn add_in_rows(current: &Current, shift: u32, word: *mut u64, k: u64) -> bool {
    around!(0x2f0);
    // SAFETY: as in `add`.
    let distance = unsafe {
        on_copy_unless!(
            0x2f0, current, shift,
            [], ["add qword ptr [{v} + {s}], {k}"],
            c = out(reg) _, v = in(reg) word, k = in(reg) k,
        )
    };
    distance >= 0
}

/// The current copy of `word`.
///
/// # Safety
/// As [`add`]; readable is enough.
#[inline(always)]
pub unsafe fn load(current: &Current, shift: u32, word: *const u64) -> Outcome {
    around!(0x220);
    let found: u64;
    // SAFETY: as in `add`.
    let distance = unsafe {
        on_copy!(
            0x220, current, shift,
            ["mov {c}, qword ptr [{v} + {s}]"],
            c = out(reg) found, v = in(reg) word,
        )
    };
    if distance < 0 { Outcome::NoCid } else { Outcome::Done(found) }
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
    around!(0x230);
    let found: u64;
    // SAFETY: as in `add`.
    let distance = unsafe {
        on_copy!(
            0x230, current, shift,
            [
                "mov {c}, qword ptr [{v} + {s}]",
                keep!("c", 24),
                point!(0x230, 4),
                "cmp {c}, {e}",
                "jne 4f",
                twice!("t", "[{v} + {s}]"),
                "mov qword ptr [{v} + {s}], {new}",
            ],
            c = out(reg) found, v = in(reg) word, e = in(reg) expected, new = in(reg) new,
        )
    };
    if distance < 0 { Outcome::NoCid } else { Outcome::of(found, expected) }
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
    around!(0x240);
    let (found, other_found): (u64, u64);
    // SAFETY: as in `add`.
    let distance = unsafe {
        on_copy!(
            0x240, current, shift,
            [
                "mov {o}, qword ptr [{w} + {s}]",
                point!(0x240, 4),
                "mov {c}, qword ptr [{v} + {s}]",
                keep!("c", 24),
                point!(0x240, 5),
                "cmp {c}, {e}",
                "jne 4f",
                "cmp {o}, {f}",
                "jne 4f",
                twice!("t", "[{v} + {s}]"),
                "mov qword ptr [{v} + {s}], {new}",
            ],
            c = out(reg) found, o = out(reg) other_found,
            v = in(reg) word, e = in(reg) expected,
            w = in(reg) other, f = in(reg) other_expected, new = in(reg) new,
        )
    };
    match Outcome::of(found, expected) {
        _ if distance < 0 => Outcome::NoCid,
        Outcome::Done(_) if other_found != other_expected => Outcome::Differs(other_found),
        outcome => outcome,
    }
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
    around!(0x250);
    let found: u64;
    // SAFETY: as in `add`.
    let distance = unsafe {
        on_copy!(
            0x250, current, shift,
            [
                "mov {c}, qword ptr [{v} + {s}]",
                keep!("c", 24),
                point!(0x250, 4),
                "cmp {c}, {e}",
                "jne 4f",
                "mov qword ptr [{w} + {s}], {x}",
                point!(0x250, 5),
                twice!("t", "[{v} + {s}]"),
                "mov qword ptr [{v} + {s}], {new}",
            ],
            c = out(reg) found, v = in(reg) word, e = in(reg) expected, new = in(reg) new,
            w = in(reg) other, x = in(reg) other_new,
        )
    };
    if distance < 0 { Outcome::NoCid } else { Outcome::of(found, expected) }
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
    around!(0x260);
    let found: u64;
    // SAFETY: as in `add`; nobody else knows of the node.
    let distance = unsafe {
        on_copy!(
            0x260, current, shift,
            [
                "mov {c}, qword ptr [{v} + {s}]",
                keep!("c", 24),
                point!(0x260, 4),
                "mov qword ptr [{node} + {next}], {c}",
                point!(0x260, 5),
                twice!("t", "[{v} + {s}]"),
                "mov qword ptr [{v} + {s}], {node}",
            ],
            c = out(reg) found, v = in(reg) head, node = in(reg) node, next = in(reg) next,
        )
    };
    if distance < 0 { Outcome::NoCid } else { Outcome::Done(found) }
}

/// Pops the first node of the list at the current copy of `head`; `Differs(0)` from an empty one.
///
/// # Safety
/// As [`add`]; the list holds nodes that were pushed with this `next`, and a node that is on it is
/// readable.
#[inline(always)]
pub unsafe fn pop(current: &Current, shift: u32, head: *mut u64, next: usize) -> Outcome {
    around!(0x270);
    let found: u64;
    // SAFETY: as in `add`; within the window nobody else takes the node off the list.
    let distance = unsafe {
        on_copy!(
            0x270, current, shift,
            [
                "mov {c}, qword ptr [{v} + {s}]",
                keep!("c", 24),
                point!(0x270, 4),
                "test {c}, {c}",
                "jz 4f",
                "mov {n}, qword ptr [{c} + {next}]",
                point!(0x270, 5),
                twice!("t", "[{v} + {s}]"),
                "mov qword ptr [{v} + {s}], {n}",
            ],
            c = out(reg) found, n = out(reg) _, v = in(reg) head, next = in(reg) next,
        )
    };
    match found {
        _ if distance < 0 => Outcome::NoCid,
        0 => Outcome::Differs(0),
        node => Outcome::Done(node),
    }
}

/// Takes all nodes off the list at the current copy of `head`: the first one, or 0.
///
/// # Safety
/// As [`add`].
#[inline(always)]
pub unsafe fn pop_all(current: &Current, shift: u32, head: *mut u64) -> Outcome {
    around!(0x280);
    let found: u64;
    // SAFETY: as in `add`.
    let distance = unsafe {
        on_copy!(
            0x280, current, shift,
            [
                "mov {c}, qword ptr [{v} + {s}]",
                keep!("c", 24),
                point!(0x280, 4),
                "test {c}, {c}",
                "jz 4f",
                twice!("t", "[{v} + {s}]"),
                "mov qword ptr [{v} + {s}], 0",
            ],
            c = out(reg) found, v = in(reg) head,
        )
    };
    if distance < 0 { Outcome::NoCid } else { Outcome::Done(found) }
}

/// What `compare_copy_store` copies, in memory: registers are too few.
#[repr(C)]
struct Copying {
    word: *mut u64,
    new: u64,
    to: *mut u8,
    from: *const u8,
    len: usize,
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
    around!(0x290);
    let copying = Copying { word, new, to, from, len };
    let found: u64;
    // SAFETY: as in `add`; words first, and then the bytes that are left.
    let distance = unsafe {
        on_copy!(
            0x290, current, shift,
            [
                "mov {v}, qword ptr [{a} + {WORD}]",
                "add {v}, {s}",
                "mov {c}, qword ptr [{v}]",
                keep!("c", 24),
                point!(0x290, 4),
                "cmp {c}, {e}",
                "jne 4f",
                "mov {to}, qword ptr [{a} + {TO}]",
                "add {to}, {s}",
                "mov {from}, qword ptr [{a} + {FROM}]",
                "xor {n:e}, {n:e}",
                "7:",
                "lea {t}, [{n} + 8]",
                "cmp {t}, qword ptr [{a} + {LEN}]",
                "ja 8f",
                "mov {t}, qword ptr [{from} + {n}]",
                "mov qword ptr [{to} + {n}], {t}",
                "add {n}, 8",
                point!(0x290, 5),
                "jmp 7b",
                "8:",
                "cmp {n}, qword ptr [{a} + {LEN}]",
                "jae 9f",
                "movzx {t:e}, byte ptr [{from} + {n}]",
                "mov byte ptr [{to} + {n}], {t:l}",
                "inc {n}",
                point!(0x290, 6),
                "jmp 8b",
                "9:",
                "mov {n}, qword ptr [{a} + {NEW}]",
                point!(0x290, 7),
                twice!("t", "[{v}]"),
                "mov qword ptr [{v}], {n}",
            ],
            c = out(reg) found, v = out(reg) _, to = out(reg) _, from = out(reg) _, n = out(reg) _,
            e = in(reg) expected, a = in(reg) &raw const copying,
            WORD = const offset_of!(Copying, word), NEW = const offset_of!(Copying, new),
            TO = const offset_of!(Copying, to), FROM = const offset_of!(Copying, from),
            LEN = const offset_of!(Copying, len),
        )
    };
    if distance < 0 { Outcome::NoCid } else { Outcome::of(found, expected) }
}

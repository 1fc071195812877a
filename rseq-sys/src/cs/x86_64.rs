//! The sections on x86-64. Asm only; the contract is in the parent module,
//! the frame in `window.rs`.
//!
//! Node and id are neighbours in the area and loaded as one word: a second load there made a
//! pop and push pair 35 % slower (9.5 instead of 7.0 ns on Zen 4).
//!
//! The header is read and written as one 64-bit word, so that the next operation's load is
//! forwarded from this one's store: that forwarding is what a pop and push pair waits for.
//!
//! # Safety
//! File-wide: no window calls, pushes or pops (options `nostack`); every operand is a
//! register, so nothing is addressed through the stack pointer. Memory stays clobbered
//! (no `nomem`, no `readonly`), so the compiler moves no access across a section.
#![allow(unsafe_code)]

use super::{Anchor, CID_BITS};
use crate::abi::{CPU_ID, RSEQ_CS, SIGNATURE};
use core::arch::asm;

#[macro_use]
#[path = "x86_64/window.rs"]
pub(crate) mod window;

/// Pops an object of `class`: its address, or an odd word when there is none.
///
/// # Safety
/// `anchor` leads to this process's areas and to a table whose entries up to the largest
/// possible index are bases of shards; `class` is below [`super::HEADERS`].
#[inline(always)]
#[must_use]
pub unsafe fn pop(anchor: &Anchor, class: usize) -> usize {
    around!(0x10);
    let object: usize;
    // SAFETY: CID-EXCLUSIVE makes the shard ours within the window; the addresses are in it
    // by the caller's promise, and the sentinel keeps `cur - 1` inside the class.
    unsafe {
        on_shard!(
            0x10,
            anchor,
            [
                "mov {o:e}, 1";
                "mov {t}, qword ptr [{s} + {class}*8]",
                keep!("t", 24),
                point!(0x10, 5),
                "movzx {c:e}, word ptr [{s} + {class}*8]",
                point!(0x10, 6),
                "mov {o}, qword ptr [{s} + {c}*8 - 8]",
                "test {o:l}, 1",
                "jnz 4f",
                point!(0x10, 7),
                "mov {c:e}, 0xffffffff",
                "add {t}, {c}",
                twice!("c", "[{s} + {class}*8]"),
                "mov qword ptr [{s} + {class}*8], {t}",
            ],
            o = out(reg) object,
            class = in(reg) class,
        );
    }
    object
}

/// Pushes `object` to `class`; false when the class is full or there is no shard.
///
/// # Safety
/// As [`pop`]; the caller gives up `object`, which is of that class.
#[inline(always)]
#[must_use]
pub unsafe fn push(anchor: &Anchor, class: usize, object: usize) -> bool {
    around!(0x20);
    let room: u64;
    // SAFETY: as in `pop`; `cur < end` keeps the store inside the class's slots.
    unsafe {
        on_shard!(
            0x20,
            anchor,
            [
                "xor {e:e}, {e:e}";
                "mov {t}, qword ptr [{s} + {class}*8]",
                keep!("t", 24),
                point!(0x20, 5),
                "mov {e:e}, {t:e}",
                "shr {e:e}, 16",
                "movzx {c:e}, {t:x}",
                "sub {e:e}, {c:e}",
                "je 4f",
                "mov qword ptr [{s} + {c}*8], {p}",
                point!(0x20, 6),
                "movabs {c}, 0x100000001",
                "add {t}, {c}",
                twice!("c", "[{s} + {class}*8]"),
                "mov qword ptr [{s} + {class}*8], {t}",
            ],
            e = out(reg) room,
            p = in(reg) object,
            class = in(reg) class,
        );
    }
    room != 0
}

/// Pushes `object` to `class` of a shard whose header 0 says `node`; false when it says another,
/// the class is full, or there is no shard.
///
/// # Safety
/// As [`push`]; header 0 of every shard says its node.
#[inline(always)]
#[must_use]
pub unsafe fn push_on_node(anchor: &Anchor, class: usize, object: usize, node: u32) -> bool {
    around!(0x30);
    let room: u64;
    // SAFETY: as in `pop`; `cur < end` keeps the store inside the class's slots.
    unsafe {
        on_shard!(
            0x30,
            anchor,
            [
                "xor {e:e}, {e:e}";
                "cmp dword ptr [{s} + 4], {node:e}",
                "jne 4f",
                point!(0x30, 5),
                "mov {t}, qword ptr [{s} + {class}*8]",
                keep!("t", 24),
                point!(0x30, 6),
                "mov {e:e}, {t:e}",
                "shr {e:e}, 16",
                "movzx {c:e}, {t:x}",
                "sub {e:e}, {c:e}",
                "je 4f",
                "mov qword ptr [{s} + {c}*8], {p}",
                point!(0x30, 7),
                "movabs {c}, 0x100000001",
                "add {t}, {c}",
                twice!("c", "[{s} + {class}*8]"),
                "mov qword ptr [{s} + {class}*8], {t}",
            ],
            e = out(reg) room,
            p = in(reg) object, node = in(reg) u64::from(node),
            class = in(reg) class,
        );
    }
    room != 0
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
    around!(0x40);
    let mut popped: usize;
    // SAFETY: as in `pop`; at most `cur - begin` slots are read and `max` words written. A
    // stopped shard's `cur` is 3, below every `begin`, and the comparison is signed.
    unsafe {
        on_shard!(
            0x40,
            anchor,
            [
                "xor {n:e}, {n:e}";
                "mov {h}, qword ptr [{s} + {class}*8]",
                keep!("h", 24),
                point!(0x40, 5),
                "movzx {c:e}, {h:x}",
                "mov {x}, {c}",
                "sub {x}, {begin}",
                "jle 4f",
                "cmp {x}, {max}",
                "cmova {x}, {max}",
                "test {x}, {x}",
                "jz 4f",
                "sub {c}, {x}",
                "lea {c}, [{s} + {c}*8]",
                "sub {h}, {x}",
                "7:",
                "mov {v}, qword ptr [{c} + {n}*8]",
                point!(0x40, 6),
                "mov qword ptr [{buf} + {n}*8], {v}",
                point!(0x40, 7),
                "inc {n}",
                "cmp {n}, {x}",
                "jb 7b",
                point!(0x40, 8),
                twice!("t", "[{s} + {class}*8]"),
                "mov qword ptr [{s} + {class}*8], {h}",
            ],
            h = out(reg) _, n = out(reg) popped,
            x = out(reg) _, v = out(reg) _,
            begin = in(reg) begin, buf = in(reg) buf, max = in(reg) max,
            class = in(reg) class,
        );
    }
    popped
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
    around!(0x50);
    let mut pushed: usize;
    // SAFETY: as in `push`; at most `end - cur` slots are written.
    unsafe {
        on_shard!(
            0x50,
            anchor,
            [
                "xor {n:e}, {n:e}";
                "cmp dword ptr [{s} + 4], {node:e}",
                "jne 4f",
                point!(0x50, 5),
                "mov {h}, qword ptr [{s} + {class}*8]",
                keep!("h", 24),
                point!(0x50, 6),
                "movzx {c:e}, {h:x}",
                "mov {x:e}, {h:e}",
                "shr {x:e}, 16",
                "sub {x}, {c}",
                "cmp {x}, {len}",
                "cmova {x}, {len}",
                "test {x}, {x}",
                "jz 4f",
                "lea {c}, [{s} + {c}*8]",
                "add {h}, {x}",
                "7:",
                "mov {v}, qword ptr [{buf} + {n}*8]",
                point!(0x50, 7),
                "mov qword ptr [{c} + {n}*8], {v}",
                point!(0x50, 8),
                "inc {n}",
                "cmp {n}, {x}",
                "jb 7b",
                point!(0x50, 9),
                twice!("t", "[{s} + {class}*8]"),
                "mov qword ptr [{s} + {class}*8], {h}",
            ],
            h = out(reg) _, n = out(reg) pushed,
            x = out(reg) _, v = out(reg) _,
            buf = in(reg) buf, len = in(reg) len, node = in(reg) u64::from(node),
            class = in(reg) class,
        );
    }
    pushed
}

/// Sets `cur` and `end` of `class` to `new` if they are `expected` (both as
/// [`super::Header::shape`]), and writes the sentinel before slot `begin`.
///
/// # Safety
/// As [`pop`]; `begin` is the class's, `new` lies within its slots with `cur <= end`, and all
/// slots from `begin` to `new`'s `cur` hold objects (none, or the ones that are there).
#[inline(never)]
pub unsafe fn reshape(
    anchor: &Anchor,
    class: usize,
    begin: usize,
    expected: u32,
    new: u32,
) -> bool {
    around!(0x60);
    let mut done: u64;
    // SAFETY: as in `pop`; the sentinel's slot belongs to the class and never holds an object.
    unsafe {
        on_shard!(
            0x60,
            anchor,
            [
                "xor {d:e}, {d:e}";
                "mov {h}, qword ptr [{s} + {class}*8]",
                keep!("h", 24),
                point!(0x60, 5),
                "cmp {h:e}, {expected:e}",
                "jne 4f",
                "xor {h}, {flip}",
                "mov {d:e}, 1",
                "mov qword ptr [{s} + {begin}*8 - 8], {d}",
                point!(0x60, 6),
                twice!("t", "[{s} + {class}*8]"),
                "mov qword ptr [{s} + {class}*8], {h}",
            ],
            h = out(reg) _, d = out(reg) done,
            expected = in(reg) u64::from(expected), flip = in(reg) u64::from(expected ^ new),
            begin = in(reg) begin,
            class = in(reg) class,
        );
    }
    done != 0
}

/// Takes the bits of `mask` that are set in `word`, if the current shard is `owner`.
///
/// # Safety
/// As [`pop`]; `word` is changed only by sections that compare with the same `owner`.
#[inline(always)]
#[must_use]
pub unsafe fn take(anchor: &Anchor, owner: *const u32, word: *mut u64, mask: u64) -> Option<u64> {
    around!(0x70);
    let mut taken: u64;
    let mut is_owner: u64;
    // SAFETY: the owner check inside the window makes the word ours (CID-EXCLUSIVE).
    unsafe {
        section!(
            0x70,
            [
                "mov {w}, qword ptr fs:[{ids}]",
                keep!("w", 16),
                point!(0x70, 2),
                "mov {s:e}, {w:e}",
                "shr {w}, 32",
                "shl {s:e}, {CID_BITS}",
                "xor {d:e}, {d:e}",
                "add {s:e}, {w:e}",
                "cmp dword ptr fs:[{area} + {CPU_ID}], 0",
                "jl 4f",
                point!(0x70, 3),
                "cmp {s:e}, dword ptr [{owner}]",
                "jne 4f",
                point!(0x70, 4),
                "mov {d:e}, 1",
                "mov {s}, qword ptr [{word}]",
                keep!("s", 24),
                point!(0x70, 5),
                "mov {w}, {s}",
                "and {w}, {mask}",
                "xor {s}, {w}",
                twice!("t", "[{word}]"),
                "mov qword ptr [{word}], {s}",
            ],
            CID_BITS = const CID_BITS,
            s = out(reg) _, w = out(reg) taken, d = out(reg) is_owner,
            owner = in(reg) owner, word = in(reg) word, mask = in(reg) mask,
            area = in(reg) anchor.area, ids = in(reg) anchor.ids,
        );
    }
    (is_owner != 0).then_some(taken)
}

/// Sets the bits of `mask` in `word`, if the current shard is `owner`; returns the word as it
/// was before.
///
/// # Safety
/// As [`take`].
#[inline(always)]
#[must_use]
pub unsafe fn put(anchor: &Anchor, owner: *const u32, word: *mut u64, mask: u64) -> Option<u64> {
    around!(0x80);
    let mut before: u64;
    let mut is_owner: u64;
    // SAFETY: as in `take`.
    unsafe {
        section!(
            0x80,
            [
                "mov {w}, qword ptr fs:[{ids}]",
                keep!("w", 16),
                point!(0x80, 2),
                "mov {s:e}, {w:e}",
                "shr {w}, 32",
                "shl {s:e}, {CID_BITS}",
                "xor {d:e}, {d:e}",
                "add {s:e}, {w:e}",
                "cmp dword ptr fs:[{area} + {CPU_ID}], 0",
                "jl 4f",
                point!(0x80, 3),
                "cmp {s:e}, dword ptr [{owner}]",
                "jne 4f",
                point!(0x80, 4),
                "mov {d:e}, 1",
                "mov {w}, qword ptr [{word}]",
                keep!("w", 24),
                point!(0x80, 5),
                "mov {s}, {w}",
                "or {s}, {mask}",
                twice!("t", "[{word}]"),
                "mov qword ptr [{word}], {s}",
            ],
            CID_BITS = const CID_BITS,
            s = out(reg) _, w = out(reg) before, d = out(reg) is_owner,
            owner = in(reg) owner, word = in(reg) word, mask = in(reg) mask,
            area = in(reg) anchor.area, ids = in(reg) anchor.ids,
        );
    }
    (is_owner != 0).then_some(before)
}

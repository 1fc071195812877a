//! The sections on x86-64. Asm only; the contract is in the parent module.
//!
//! Registers by name in all of them: `t` descriptor, then free for use; `s` shard index, then
//! base; `c` slot; `h` header word (`t` in pop and push, which so need no saved register). A window begins after label 3 and ends at label 4; the instruction
//! before 4 is the commit store, or a branch that leaves without one.
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

/// A section: arms its descriptor, runs `$body` as the window, and restarts when aborted.
/// The descriptor goes to `__rseq_cs`, where debuggers look for it, and the abort code with
/// its signature, shown as an undefined instruction, out of the way of the hot path.
macro_rules! section {
    ([$($body:literal),+ $(,)?], $($operand:tt)*) => {
        asm!(
            "2:",
            "lea {t}, [rip + 66f]",
            "mov qword ptr fs:[{area} + {RSEQ_CS}], {t}",
            "3:",
            $($body,)+
            "4:",
            ".pushsection __rseq_cs, \"aw\"",
            ".balign 32",
            "66: .long 0, 0",
            ".quad 3b, 4b - 3b, 5f",
            ".popsection",
            ".pushsection .text.rseq_preempted_or_signalled, \"ax\"",
            ".byte 0x0f, 0xb9, 0x3d",
            ".long {SIGNATURE}",
            "5: jmp 2b",
            ".popsection",
            t = out(reg) _,
            RSEQ_CS = const RSEQ_CS,
            SIGNATURE = const SIGNATURE,
            CPU_ID = const CPU_ID,
            CID_BITS = const CID_BITS,
            $($operand)*
            options(nostack),
        )
    };
}

/// A section on the current shard, whose base is in `s` after `$miss`, which makes the outcome of
/// a thread without one.
macro_rules! on_shard {
    ($anchor:expr, [$miss:literal; $($body:literal),+ $(,)?], $($operand:tt)*) => {
        section!(
            [
                "mov {c}, qword ptr fs:[{ids}]",
                "mov {s:e}, {c:e}",
                "shr {c}, 32",
                "shl {s}, {CID_BITS}",
                $miss,
                "add {s}, {c}",
                "cmp dword ptr fs:[{area} + {CPU_ID}], 0",
                "jl 4f",
                "mov {s}, qword ptr [{table} + {s}*8]",
                $($body,)+
            ],
            s = out(reg) _, c = out(reg) _,
            area = in(reg) $anchor.area, ids = in(reg) $anchor.ids, table = in(reg) $anchor.table,
            $($operand)*
        )
    };
}

/// Pops an object of `class`: its address, or an odd word when there is none.
///
/// # Safety
/// `anchor` leads to this process's areas and to a table whose entries up to the largest
/// possible index are bases of shards; `class` is below [`super::HEADERS`].
#[inline(always)]
#[must_use]
pub unsafe fn pop(anchor: &Anchor, class: usize) -> usize {
    let object: usize;
    // SAFETY: CID-EXCLUSIVE makes the shard ours within the window; the addresses are in it
    // by the caller's promise, and the sentinel keeps `cur - 1` inside the class.
    unsafe {
        on_shard!(
            anchor,
            [
                "mov {o:e}, 1";
                "mov {t}, qword ptr [{s} + {class}*8]",
                "movzx {c:e}, word ptr [{s} + {class}*8]",
                "mov {o}, qword ptr [{s} + {c}*8 - 8]",
                "test {o:l}, 1",
                "jnz 4f",
                "mov {c:e}, 0xffffffff",
                "add {t}, {c}",
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
    let room: u64;
    // SAFETY: as in `pop`; `cur < end` keeps the store inside the class's slots.
    unsafe {
        on_shard!(
            anchor,
            [
                "xor {e:e}, {e:e}";
                "mov {t}, qword ptr [{s} + {class}*8]",
                "mov {e:e}, {t:e}",
                "shr {e:e}, 16",
                "movzx {c:e}, {t:x}",
                "sub {e:e}, {c:e}",
                "je 4f",
                "mov qword ptr [{s} + {c}*8], {p}",
                "movabs {c}, 0x100000001",
                "add {t}, {c}",
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
    let room: u64;
    // SAFETY: as in `pop`; `cur < end` keeps the store inside the class's slots.
    unsafe {
        on_shard!(
            anchor,
            [
                "xor {e:e}, {e:e}";
                "cmp dword ptr [{s} + 4], {node:e}",
                "jne 4f",
                "mov {t}, qword ptr [{s} + {class}*8]",
                "mov {e:e}, {t:e}",
                "shr {e:e}, 16",
                "movzx {c:e}, {t:x}",
                "sub {e:e}, {c:e}",
                "je 4f",
                "mov qword ptr [{s} + {c}*8], {p}",
                "movabs {c}, 0x100000001",
                "add {t}, {c}",
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
    let mut popped: usize;
    // SAFETY: as in `pop`; at most `cur - begin` slots are read and `max` words written. A
    // stopped shard's `cur` is 3, below every `begin`, and the comparison is signed.
    unsafe {
        on_shard!(
            anchor,
            [
                "xor {n:e}, {n:e}";
                "mov {h}, qword ptr [{s} + {class}*8]",
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
                "mov qword ptr [{buf} + {n}*8], {v}",
                "inc {n}",
                "cmp {n}, {x}",
                "jb 7b",
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
    let mut pushed: usize;
    // SAFETY: as in `push`; at most `end - cur` slots are written.
    unsafe {
        on_shard!(
            anchor,
            [
                "xor {n:e}, {n:e}";
                "cmp dword ptr [{s} + 4], {node:e}",
                "jne 4f",
                "mov {h}, qword ptr [{s} + {class}*8]",
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
                "mov qword ptr [{c} + {n}*8], {v}",
                "inc {n}",
                "cmp {n}, {x}",
                "jb 7b",
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
    let mut done: u64;
    // SAFETY: as in `pop`; the sentinel's slot belongs to the class and never holds an object.
    unsafe {
        on_shard!(
            anchor,
            [
                "xor {d:e}, {d:e}";
                "mov {h}, qword ptr [{s} + {class}*8]",
                "cmp {h:e}, {expected:e}",
                "jne 4f",
                "xor {h}, {flip}",
                "mov {d:e}, 1",
                "mov qword ptr [{s} + {begin}*8 - 8], {d}",
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
    let mut taken: u64;
    let mut is_owner: u64;
    // SAFETY: the owner check inside the window makes the word ours (CID-EXCLUSIVE).
    unsafe {
        section!(
            [
                "mov {w}, qword ptr fs:[{ids}]",
                "mov {s:e}, {w:e}",
                "shr {w}, 32",
                "shl {s:e}, {CID_BITS}",
                "xor {d:e}, {d:e}",
                "add {s:e}, {w:e}",
                "cmp dword ptr fs:[{area} + {CPU_ID}], 0",
                "jl 4f",
                "cmp {s:e}, dword ptr [{owner}]",
                "jne 4f",
                "mov {d:e}, 1",
                "mov {s}, qword ptr [{word}]",
                "mov {w}, {s}",
                "and {w}, {mask}",
                "xor {s}, {w}",
                "mov qword ptr [{word}], {s}",
            ],
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
    let mut before: u64;
    let mut is_owner: u64;
    // SAFETY: as in `take`.
    unsafe {
        section!(
            [
                "mov {w}, qword ptr fs:[{ids}]",
                "mov {s:e}, {w:e}",
                "shr {w}, 32",
                "shl {s:e}, {CID_BITS}",
                "xor {d:e}, {d:e}",
                "add {s:e}, {w:e}",
                "cmp dword ptr fs:[{area} + {CPU_ID}], 0",
                "jl 4f",
                "cmp {s:e}, dword ptr [{owner}]",
                "jne 4f",
                "mov {d:e}, 1",
                "mov {w}, qword ptr [{word}]",
                "mov {s}, {w}",
                "or {s}, {mask}",
                "mov qword ptr [{word}], {s}",
            ],
            s = out(reg) _, w = out(reg) before, d = out(reg) is_owner,
            owner = in(reg) owner, word = in(reg) word, mask = in(reg) mask,
            area = in(reg) anchor.area, ids = in(reg) anchor.ids,
        );
    }
    (is_owner != 0).then_some(before)
}

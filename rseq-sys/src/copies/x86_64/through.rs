//! [`add_through`], the addition that whoever closes its route can wait for.
#![allow(unsafe_code)]

use super::Current;
use crate::abi::{CPU_ID, RSEQ_CS, SIGNATURE};
use crate::cs::section;
use core::arch::asm;

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
    around!(0x2a0);
    let found: usize;
    // SAFETY: as in `add`. What leaves before the route is read leaves with an odd one.
    unsafe {
        section!(
            0x2a0,
            [
                "mov {v:e}, 1",
                "cmp dword ptr fs:[{area} + {CPU_ID}], 0",
                "jl 4f",
                point!(0x2a0, 2),
                "mov {c}, qword ptr fs:[{ids}]",
                keep!("c", 16),
                "mov {s:e}, {c:e}",
                "shr {c}, 32",
                point!(0x2a0, 3),
                "mov {s:e}, dword ptr [{rows} + {s}*4]",
                "add {s}, {c}",
                "shl {s}, {SHIFT}",
                point!(0x2a0, 4),
                "mov {v}, qword ptr [{route}]",
                "test {v:l}, 1",
                "jne 4f",
                "add {s}, {offset}",
                "add qword ptr [{v} + {s}], {k}",
            ],
            s = out(reg) _, c = out(reg) _, v = out(reg) found,
            area = in(reg) current.area, ids = in(reg) current.ids, rows = in(reg) current.rows,
            route = in(reg) route, offset = in(reg) offset, k = in(reg) k,
            SHIFT = const SHIFT,
        );
    }
    found & 1 == 0
}

//! Additions that whoever closes their route can wait for.
#![allow(unsafe_code)]

use super::Current;
use crate::abi::{CPU_ID, MM_CID, RSEQ_CS, SIGNATURE};
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
                "add {s}, {offset}",
                point!(0x2a0, 4),
                "mov {v}, qword ptr [{route}]",
                "test {v:l}, 1",
                "jne 4f",
                point!(0x2a0, 5),
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

/// The section of the two below: `$add` makes the copy's distance that of the word.
macro_rules! add_through_cid {
    ($operation:literal, $shift:ident, $area:expr, $route:expr, $k:expr, [$($add:literal)?],
        $($operand:tt)*) => {{
        around!($operation);
        let found: usize;
        section!(
            $operation,
            [
                "mov {v:e}, 1",
                "cmp dword ptr fs:[{area} + {CPU_ID}], 0",
                "jl 4f",
                point!($operation, 2),
                "mov {v}, qword ptr [{route}]",
                point!($operation, 3),
                "mov {c:e}, dword ptr fs:[{area} + {MM_CID}]",
                "test {v:l}, 1",
                "jne 4f",
                point!($operation, 4),
                "shl {c}, {SHIFT}",
                $($add,)?
                "add qword ptr [{v} + {c}], {k}",
            ],
            c = out(reg) _, v = out(reg) found,
            area = in(reg) $area, route = in(reg) $route, k = in(reg) $k,
            MM_CID = const MM_CID, SHIFT = const $shift,
            $($operand)*
        );
        found & 1 == 0
    }};
}

/// As [`add_through`] at offset 0, where `mm_cid` is the number of the copy: in processes whose ids are
/// those, on machines with one node. `area` is [`Current::area`].
///
/// # Safety
/// As [`add_through`].
#[inline(always)]
#[must_use]
pub unsafe fn add_through_cid<const SHIFT: u32>(area: isize, route: *const usize, k: u64) -> bool {
    // SAFETY: as in `add_through`. What leaves before the route is read leaves with an odd one.
    unsafe { add_through_cid!(0x2b0, SHIFT, area, route, k, [],) }
}

/// As [`add_through_cid`], at an offset.
///
/// # Safety
/// As [`add_through`].
#[inline(always)]
#[must_use]
pub unsafe fn add_through_cid_at<const SHIFT: u32>(
    area: isize,
    route: *const usize,
    offset: usize,
    k: u64,
) -> bool {
    // SAFETY: as in `add_through`.
    unsafe {
        add_through_cid!(0x2c0, SHIFT, area, route, k, ["add {c}, {offset}"],
            offset = in(reg) offset,)
    }
}

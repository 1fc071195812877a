//! The watcher's section on x86-64. Asm only.
//!
//! Unlike the sections of [`crate::cs`] it commits nothing, stays as long as it can, and says how
//! it was left.
//!
//! # Safety
//! File-wide: as in `cs/x86_64.rs`. The window stores nothing.
#![allow(unsafe_code)]

use super::Left;
use crate::abi::{RSEQ_CS, Rseq, SIGNATURE};
use core::arch::asm;
use core::sync::atomic::AtomicU32;

/// Stays in a section until `ticks` changes, the section is aborted, or `turns` are over. How it
/// was left, and the ticks at its beginning. When not `armed`, the kernel knows of no section.
///
/// # Safety
/// `area` is the calling thread's, and no other section of the thread is armed.
pub(super) unsafe fn watch(
    area: *mut Rseq,
    ticks: &AtomicU32,
    turns: u64,
    armed: bool,
) -> (Left, u32) {
    let left: u64;
    let before: u32;
    // SAFETY: loads from `ticks`, stores to the area's `rseq_cs`: a descriptor, or zero.
    unsafe {
        asm!(
            "lea {t}, [rip + 66f]",
            "and {t}, {armed}",
            // For an abort before the first load of the window.
            "mov {before:e}, dword ptr [{ticks}]",
            "mov qword ptr [{area} + {RSEQ_CS}], {t}",
            "3:",
            "mov {before:e}, dword ptr [{ticks}]",
            "mov {left:e}, 1",
            "7:",
            "cmp {before:e}, dword ptr [{ticks}]",
            "jne 4f",
            "dec {turns}",
            "jnz 7b",
            "xor {left:e}, {left:e}",
            "4:",
            "mov qword ptr [{area} + {RSEQ_CS}], 0",
            ".pushsection __rseq_cs, \"aw\"",
            ".balign 32",
            "66: .long 0, 0",
            ".quad 3b, 4b - 3b, 5f",
            ".popsection",
            ".pushsection .text.rseq_preempted_or_signalled, \"ax\"",
            ".byte 0x0f, 0xb9, 0x3d",
            ".long {SIGNATURE}",
            "5: mov {left:e}, 2",
            "jmp 4b",
            ".popsection",
            t = out(reg) _,
            left = out(reg) left,
            before = out(reg) before,
            area = in(reg) area,
            ticks = in(reg) ticks.as_ptr(),
            turns = inout(reg) turns => _,
            armed = in(reg) if armed { u64::MAX } else { 0 },
            RSEQ_CS = const RSEQ_CS,
            SIGNATURE = const SIGNATURE,
            options(nostack),
        );
    }
    (Left::from_raw(left), before)
}

//! The watcher's section on arm64: the declaration; the instructions are in `aarch64.S`.
//!
//! # Safety
//! File-wide: as in `cs/aarch64.rs`. The window stores nothing.
#![allow(unsafe_code)]

use super::Left;
use crate::abi::Rseq;
use core::sync::atomic::AtomicU32;

core::arch::global_asm!(include_str!("aarch64.S"));

/// In x0 and x1.
#[repr(C)]
struct Outcome {
    left: u64,
    before: u64,
}

unsafe extern "C" {
    fn cidalloc_rseq_watch(area: *mut Rseq, ticks: *const u32, turns: u64, armed: u64) -> Outcome;
}

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
    let armed = if armed { u64::MAX } else { 0 };
    // SAFETY: a leaf that loads from `ticks` and stores to the area's `rseq_cs` alone.
    let Outcome { left, before } =
        unsafe { cidalloc_rseq_watch(area, ticks.as_ptr(), turns, armed) };
    (Left::from_raw(left), before as u32)
}

//! Pages without access: what runs over the end of a span or a large block ends there.
//!
//! ```text
//!  │ span │ guard │ span │ guard │ large block … │ guard │
//!
//!  raise ─ MADV_GUARD_INSTALL (Linux 6.13) ───────────────► LIGHT: no mapping more
//!        └ refused: mprotect(PROT_NONE), at most so many ──► SPLIT: two mappings more
//!                   └ refused, or too many: go on without ─► NONE, counted
//! ```
//!
//! A process may have 65,530 mappings, and its own are not ours to use up: hence the bound.
//! Whoever raises a guard keeps what came of it, and lowers it by that.
#![allow(unsafe_code)]

use crate::os;
use rseq_sys::sync::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Guards that are mappings of their own, at most: with what lies between them, half of the
/// mappings that a process may have.
const SPLIT_MAX: usize = 16_000;

static LIGHT_REFUSED: AtomicBool = AtomicBool::new(false);
static SPLIT: AtomicUsize = AtomicUsize::new(0);
static STANDING: AtomicUsize = AtomicUsize::new(0);
static REFUSALS: AtomicU64 = AtomicU64::new(0);

/// What became of a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Refused: the pages may be accessed.
    None = 0,
    /// Markers in the page table.
    Light = 1,
    /// A mapping of its own.
    Split = 2,
}

impl Kind {
    /// The kind of a number that was made of one.
    #[must_use]
    pub fn of(number: u32) -> Self {
        match number {
            1 => Self::Light,
            2 => Self::Split,
            _ => Self::None,
        }
    }
}

/// Guards that stand, and guards that the system refused.
#[must_use]
pub fn counts() -> (usize, u64) {
    (STANDING.load(Relaxed), REFUSALS.load(Relaxed))
}

/// Takes the access to `len` bytes at `address` away, and what they hold.
///
/// # Safety
/// The range is whole pages of ours that nobody uses.
pub unsafe fn raise(address: *mut u8, len: usize) -> Kind {
    if !LIGHT_REFUSED.load(Relaxed) {
        // SAFETY: by the caller's promise.
        if unsafe { os::install_guard(address, len) } {
            STANDING.fetch_add(1, Relaxed);
            return Kind::Light;
        }
        // An older kernel, or memory that the program locked: asked once.
        LIGHT_REFUSED.store(true, Relaxed);
    }
    if SPLIT.fetch_add(1, Relaxed) < SPLIT_MAX {
        // SAFETY: by the caller's promise.
        if unsafe { os::forbid(address, len) } {
            // SAFETY: nobody needs what they hold.
            unsafe { os::purge(address, len) };
            STANDING.fetch_add(1, Relaxed);
            return Kind::Split;
        }
    }
    SPLIT.fetch_sub(1, Relaxed);
    REFUSALS.fetch_add(1, Relaxed);
    Kind::None
}

/// Gives the access back. False when the system refuses: the range must not be used again.
///
/// # Safety
/// As [`raise`], which said `kind`.
#[must_use]
pub unsafe fn lower(address: *mut u8, len: usize, kind: Kind) -> bool {
    let lowered = match kind {
        Kind::None => return true,
        // SAFETY: by the caller's promise.
        Kind::Light => unsafe { os::remove_guard(address, len) },
        // SAFETY: by the caller's promise.
        Kind::Split => unsafe { os::commit(address, len) }.is_ok(),
    };
    if lowered {
        STANDING.fetch_sub(1, Relaxed);
        if kind == Kind::Split {
            SPLIT.fetch_sub(1, Relaxed);
        }
    }
    lowered
}

//! The fences of remote operations: `membarrier(2)`, for restartable sequences and for plain code.
//!
//! ```text
//!   drainer                      a thread on the drained cid
//!   mark stopped                 │ ── window that began before the mark ──╮
//!   fence() ─────────────────────┼──→ aborted, or committed before        │
//!   act: nobody is in a window   │    begins again, sees the mark ────────╯
//! ```
//!
//! The kernel can aim this fence at one CPU or at all of the process's, never at a cid:
//! we always ask for all. Linux 5.10 and later.
#![allow(unsafe_code)]

use crate::syscall::{nr, syscall4};

const CMD_PRIVATE_EXPEDITED: usize = 1 << 3;
const CMD_REGISTER_PRIVATE_EXPEDITED: usize = 1 << 4;
const CMD_PRIVATE_EXPEDITED_RSEQ: usize = 1 << 7;
const CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ: usize = 1 << 8;

/// Tells the kernel once that this process will use [`fence`].
///
/// Returns whether it may. A child of `fork` inherits the registration, `execve` ends it.
#[must_use]
pub fn register() -> bool {
    // SAFETY: the command takes no pointers.
    unsafe { syscall4(nr::MEMBARRIER, CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0, 0) == 0 }
}

/// Aborts every section of this process that began before the call, on whatever CPU, and
/// orders memory as a full barrier on all CPUs that run threads of this process.
///
/// Returns `false` where the kernel refuses (before 5.10, or without [`register`]): then
/// nothing may be concluded. Costs a broadcast interrupt: microseconds, slow paths only.
#[must_use]
pub fn fence() -> bool {
    // SAFETY: the command takes no pointers; flags 0 and cpu 0 mean all CPUs.
    unsafe { syscall4(nr::MEMBARRIER, CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0, 0) == 0 }
}

/// Tells the kernel once that this process will use [`barrier`]; as [`register`].
#[must_use]
pub fn register_barrier() -> bool {
    // SAFETY: the command takes no pointers.
    unsafe { syscall4(nr::MEMBARRIER, CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0, 0) == 0 }
}

/// Makes a full barrier of one point in the code of every thread of this process, between the
/// call's begin and its end. Aborts no section. Linux 4.16 and later.
///
/// Returns `false` where the kernel refuses: then nothing may be concluded.
#[must_use]
pub fn barrier() -> bool {
    // SAFETY: the command takes no pointers; flags 0.
    unsafe { syscall4(nr::MEMBARRIER, CMD_PRIVATE_EXPEDITED, 0, 0, 0) == 0 }
}

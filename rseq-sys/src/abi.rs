//! The kernel's side of rseq, as memory.
//!
//! ```text
//! struct rseq (one per thread)             struct rseq_cs (one per section, read-only)
//!   0  cpu_id_start   kernel                 0  version             0
//!   4  cpu_id         kernel, < 0 = none     4  flags               0 (must be, since 6.1)
//!   8  rseq_cs        ours: armed section    8  start_ip
//!  16  flags                                16  post_commit_offset
//!  20  node_id        kernel, 6.3            24  abort_ip            4 bytes after the signature
//!  24  mm_cid         kernel, 6.3
//! ```
//!
//! Source: `include/uapi/linux/rseq.h` and `kernel/rseq.c` of Linux 6.3 and later.
//! Only `rseq_cs` may be written from user space: since Linux 7.1 a process that
//! writes one of the ids is killed when its area was registered with the longer length.

use core::mem::{align_of, offset_of, size_of};

/// The area that a thread shares with the kernel.
#[repr(C, align(32))]
#[derive(Debug)]
pub struct Rseq {
    /// A CPU number that is always valid, for sections that begin without a check.
    pub cpu_id_start: u32,
    /// The CPU this thread runs on, or a negative number while it is not registered.
    pub cpu_id: i32,
    /// Address of the armed [`RseqCs`], or zero.
    pub rseq_cs: u64,
    /// Must be zero.
    pub flags: u32,
    /// NUMA node of `cpu_id` (Linux 6.3).
    pub node_id: u32,
    /// Concurrency id in this process (Linux 6.3).
    pub mm_cid: u32,
}

/// The descriptor of one critical section.
#[repr(C, align(32))]
#[derive(Debug, Clone, Copy)]
pub struct RseqCs {
    /// Always zero.
    pub version: u32,
    /// Always zero: the NO_RESTART flags have been refused since Linux 6.1.
    pub flags: u32,
    /// Address of the first instruction of the window.
    pub start_ip: u64,
    /// Length of the window in bytes; its last instruction is the commit store.
    pub post_commit_offset: u64,
    /// Where the kernel sends an interrupted thread.
    pub abort_ip: u64,
}

/// Offset of `cpu_id_start` in [`Rseq`].
pub const CPU_ID_START: usize = offset_of!(Rseq, cpu_id_start);
/// Offset of `cpu_id` in [`Rseq`].
pub const CPU_ID: usize = offset_of!(Rseq, cpu_id);
/// Offset of `rseq_cs` in [`Rseq`].
pub const RSEQ_CS: usize = offset_of!(Rseq, rseq_cs);
/// Offset of `node_id` in [`Rseq`].
pub const NODE_ID: usize = offset_of!(Rseq, node_id);
/// Offset of `mm_cid` in [`Rseq`].
pub const MM_CID: usize = offset_of!(Rseq, mm_cid);

/// Length with which the original ABI is registered (kernel constant `ORIG_RSEQ_SIZE`).
pub const ORIG_SIZE: u32 = 32;
/// Feature size from which on `mm_cid` is filled.
pub const FEATURE_SIZE_MM_CID: u32 = 28;
/// The auxiliary vector's entry for the feature size (`AT_RSEQ_FEATURE_SIZE`).
pub const AT_RSEQ_FEATURE_SIZE: u64 = 27;

/// The word before each abort address (`RSEQ_SIG`): an undefined instruction, so that
/// nothing else in a program is a valid abort target.
#[cfg(target_arch = "x86_64")]
pub const SIGNATURE: u32 = 0x5305_3053;
/// The word before each abort address (`RSEQ_SIG_CODE`): `brk #0x45e0` in code.
#[cfg(target_arch = "aarch64")]
pub const SIGNATURE: u32 = 0xd428_bc00;

const _: () = {
    assert!(size_of::<Rseq>() == 32 && align_of::<Rseq>() == 32);
    assert!(CPU_ID_START == 0 && CPU_ID == 4 && RSEQ_CS == 8);
    assert!(offset_of!(Rseq, flags) == 16 && NODE_ID == 20 && MM_CID == 24);
    assert!(size_of::<RseqCs>() == 32 && align_of::<RseqCs>() == 32);
    assert!(offset_of!(RseqCs, flags) == 4 && offset_of!(RseqCs, start_ip) == 8);
    assert!(offset_of!(RseqCs, post_commit_offset) == 16 && offset_of!(RseqCs, abort_ip) == 24);
    assert!(MM_CID == NODE_ID + 4 && CPU_ID == CPU_ID_START + 4, "pairs are loaded as one");
    assert!(MM_CID as u32 + 4 == FEATURE_SIZE_MM_CID);
};

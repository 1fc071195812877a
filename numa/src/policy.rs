//! Where memory comes from and where it is: `mbind`, `set_mempolicy`, `get_mempolicy`,
//! `move_pages`.
//!
//! ```text
//!   mmap ─────► bind_range(addr, len, node, Bind) ─────► first touch ─────► node_of_page(addr)
//!   no pages     a policy on the range, no pages yet     page on `node`     asked of the kernel
//! ```
//!
//! All functions are safe: a policy or a move changes which frame backs an address, never what
//! the address holds. All are thread-safe and async-signal-safe, allocate nothing and leave the
//! C library's `errno` alone. Lengths are bytes. Sources: mbind(2), set_mempolicy(2),
//! get_mempolicy(2), move_pages(2), and `mm/mempolicy.c` where they are silent.

use crate::mask::NodeMask;
use crate::sys::{self, Errno};
use core::ffi::c_void;
use core::fmt;

pub use crate::sys::PageStatus;

/// One more than the bits of a [`NodeMask`]: the kernel takes one off (`get_nodes` in
/// `mm/mempolicy.c`), so that with 1024 node 1023 would be lost.
const MAXNODE: usize = NodeMask::CAPACITY as usize + 1;

/// How firmly a range is tied to its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BindMode {
    /// Not at all: no system call is made, the thread's policy decides at first touch.
    None,
    /// The node first, others when it is short of memory (`MPOL_PREFERRED`).
    #[default]
    Preferred,
    /// That node only (`MPOL_BIND`): when it is full, touching a page invokes the OOM killer.
    Bind,
}

/// A memory policy's mode: the `MPOL_*` numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mode(u32);

impl Mode {
    /// `MPOL_DEFAULT`: no policy; of the thread for a range, of the system for a thread.
    pub const DEFAULT: Mode = Mode(0);
    /// `MPOL_PREFERRED`: one node first, or the local one if none is named.
    pub const PREFERRED: Mode = Mode(1);
    /// `MPOL_BIND`: these nodes only.
    pub const BIND: Mode = Mode(2);
    /// `MPOL_INTERLEAVE`: these nodes in turn, page by page.
    pub const INTERLEAVE: Mode = Mode(3);
    /// `MPOL_LOCAL`: the node of the CPU that touches first (Linux 3.8).
    pub const LOCAL: Mode = Mode(4);
    /// `MPOL_PREFERRED_MANY`: these nodes first (Linux 5.15).
    pub const PREFERRED_MANY: Mode = Mode(5);
    /// `MPOL_WEIGHTED_INTERLEAVE`: in turn, by the weights in sysfs (Linux 6.9).
    pub const WEIGHTED_INTERLEAVE: Mode = Mode(6);

    const FLAGS: u32 = 0xe000;

    /// The number without its flags.
    pub const fn number(self) -> u32 {
        self.0 & !Mode::FLAGS
    }

    /// The mode with `MPOL_F_STATIC_NODES`: nodes are not renumbered when the cpuset changes.
    pub const fn with_static_nodes(self) -> Mode {
        Mode(self.0 | 1 << 15)
    }

    /// The mode with `MPOL_F_RELATIVE_NODES`: nodes count within those the cpuset allows.
    pub const fn with_relative_nodes(self) -> Mode {
        Mode(self.0 | 1 << 14)
    }

    /// The mode as the kernel has it, flags included.
    pub const fn raw(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            "DEFAULT",
            "PREFERRED",
            "BIND",
            "INTERLEAVE",
            "LOCAL",
            "PREFERRED_MANY",
            "WEIGHTED_INTERLEAVE",
        ];
        match names.get(self.number() as usize) {
            Some(name) => f.write_str(name)?,
            None => write!(f, "Mode({})", self.number())?,
        }
        for (bit, name) in [(15, "STATIC_NODES"), (14, "RELATIVE_NODES"), (13, "NUMA_BALANCING")] {
            if self.0 >> bit & 1 == 1 {
                write!(f, "|{name}")?;
            }
        }
        Ok(())
    }
}

/// A policy as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its mode and flags.
    pub mode: Mode,
    /// The nodes it names; empty for `DEFAULT` and `LOCAL`.
    pub nodes: NodeMask,
}

/// What [`mbind`] does with pages that exist already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Leaves them where they are (no flag).
    #[default]
    Keep,
    /// Fails with `EIO` if one is on a wrong node (`MPOL_MF_STRICT`).
    Check,
    /// Moves those that only this process uses, as far as it can (`MPOL_MF_MOVE`).
    Move,
    /// Moves them, and fails with `EIO` if one cannot be moved (`MPOL_MF_MOVE|MPOL_MF_STRICT`).
    MoveOrFail,
}

impl Existing {
    const fn flags(self) -> u32 {
        match self {
            Existing::Keep => 0,
            Existing::Check => 1,
            Existing::Move => 2,
            Existing::MoveOrFail => 2 | 1,
        }
    }
}

/// Gives the range a policy for pages not yet there: node `node`, as firmly as `mode` says.
///
/// With [`BindMode::None`] nothing is done and the answer is `Ok`. `len` is rounded up to whole
/// pages; 0 is allowed and does nothing.
///
/// # Errors
///
/// - `EINVAL`: `addr` is not page-aligned; the node is above 1023, does not exist, has no memory,
///   or is not allowed by the cpuset.
/// - `EFAULT`: part of the range is not mapped. `ENOMEM`: no kernel memory for the policy.
/// - `ENOSYS`: kernel without NUMA. `EPERM`: a system call filter.
///
/// ```
/// use numa_sys::{BindMode, numa_alloc_onnode, numa_free, policy};
/// # if numa_sys::numa_available().is_err() { return Ok(()); }
/// let block = numa_alloc_onnode(4096, 0)?;
/// policy::bind_range(block.as_ptr(), 4096, 0, BindMode::Preferred)?;
/// // SAFETY: the block is ours, and not used again.
/// unsafe { numa_free(block, 4096) }?;
/// # Ok::<(), numa_sys::Errno>(())
/// ```
pub fn bind_range(addr: *mut c_void, len: usize, node: u32, mode: BindMode) -> Result<(), Errno> {
    let mode = match mode {
        BindMode::None => return Ok(()),
        BindMode::Preferred => Mode::PREFERRED,
        BindMode::Bind => Mode::BIND,
    };
    let nodes = NodeMask::single(node).map_err(|_| Errno::EINVAL)?;
    mbind(addr, len, mode, &nodes, Existing::Keep)
}

/// `mbind(2)` in full: gives the range a policy, and says what becomes of pages already there.
///
/// # Errors
///
/// As [`bind_range`]; `EIO` by [`Existing`]; `EINVAL` also where mode and nodes do not fit
/// (`DEFAULT` or `LOCAL` with nodes, `BIND` or `INTERLEAVE` without) or the mode is newer than
/// the kernel.
pub fn mbind(
    addr: *mut c_void,
    len: usize,
    mode: Mode,
    nodes: &NodeMask,
    existing: Existing,
) -> Result<(), Errno> {
    sys::mbind(addr.addr(), len, mode.0, nodes.words(), MAXNODE, existing.flags())
}

/// Sets the policy of the calling thread; it is inherited by threads and children it starts.
///
/// # Errors
///
/// `EINVAL` as for [`mbind`]; `ENOMEM`; `ENOSYS` or `EPERM`.
pub fn set_mempolicy(mode: Mode, nodes: &NodeMask) -> Result<(), Errno> {
    sys::set_mempolicy(mode.0, nodes.words(), MAXNODE)
}

/// The policy of the calling thread, in a form that [`set_mempolicy`] takes back.
///
/// # Errors
///
/// `ENOSYS` or `EPERM`.
pub fn get_mempolicy() -> Result<Policy, Errno> {
    policy(0, 0)
}

/// The policy for the address: of its range, or of the thread if the range has none.
///
/// # Errors
///
/// `EFAULT`: not mapped. `EINVAL`: null, which the kernel takes for "no address".
/// `ENOSYS` or `EPERM`.
pub fn policy_of_address(addr: *const c_void) -> Result<Policy, Errno> {
    const MPOL_F_ADDR: u32 = 1 << 1;
    policy(addr.addr(), MPOL_F_ADDR)
}

fn policy(addr: usize, flags: u32) -> Result<Policy, Errno> {
    let mut nodes = NodeMask::EMPTY;
    let mode = sys::get_mempolicy(nodes.words_mut(), MAXNODE, addr, flags)?;
    Ok(Policy { mode: Mode(mode.cast_unsigned()), nodes })
}

/// Whether the system calls of this file are there.
///
/// # Errors
///
/// `ENOSYS`: kernel without NUMA. `EPERM`: a system call filter.
pub fn available() -> Result<(), Errno> {
    sys::get_mempolicy(&mut [], 0, 0, 0).map(drop)
}

/// The nodes that the cpuset allows the calling thread to name in a policy
/// (`MPOL_F_MEMS_ALLOWED`). Only nodes with memory are among them.
///
/// # Errors
///
/// `ENOSYS` or `EPERM`.
pub fn mems_allowed() -> Result<NodeMask, Errno> {
    const MPOL_F_MEMS_ALLOWED: u32 = 1 << 2;
    policy(0, MPOL_F_MEMS_ALLOWED).map(|policy| policy.nodes)
}

/// Which pages [`move_pages`] may move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MoveScope {
    /// Those that only this process maps (`MPOL_MF_MOVE`).
    #[default]
    Own,
    /// Those that others map too (`MPOL_MF_MOVE_ALL`); needs `CAP_SYS_NICE`.
    All,
}

/// The node on which the page with this address is, without touching the page: `move_pages(2)`
/// with no target. Any address within the page will do.
///
/// # Errors
///
/// `ENOENT` or `EFAULT`: not populated (older kernels, such as 6.1, say the latter of anonymous
/// memory, 6.12 the former). `EFAULT`: not mapped, or a zero page (read, never written).
/// `ENOSYS` or `EPERM`.
pub fn node_of_page(addr: *const c_void) -> Result<u32, Errno> {
    let mut status = [PageStatus::UNKNOWN];
    nodes_of_pages(&[addr], &mut status)?;
    let [status] = status;
    status.node()
}

/// The node of each page, without touching any: the query form of `move_pages(2)`.
///
/// # Errors
///
/// `EINVAL`: slices of different length. `ENOSYS` or `EPERM`. What concerns one page is in its
/// status instead.
pub fn nodes_of_pages(pages: &[*const c_void], status: &mut [PageStatus]) -> Result<(), Errno> {
    sys::move_pages(pages, None, status, 0).map(drop)
}

/// Moves each page to the node beside it; gives the number of pages that stayed for reasons
/// that are not errors (always 0 before Linux 4.17). Pages keep address and contents.
///
/// # Errors
///
/// `EINVAL`: slices of different length. `ENODEV`: a node is not online or has no memory.
/// `EACCES`: a node is not allowed by the cpuset. `EPERM`: [`MoveScope::All`] without
/// `CAP_SYS_NICE`. `ENOSYS` or `EPERM` where the call is not there.
pub fn move_pages(
    pages: &[*const c_void],
    nodes: &[u32],
    status: &mut [PageStatus],
    scope: MoveScope,
) -> Result<usize, Errno> {
    let flags = match scope {
        MoveScope::Own => 2,
        MoveScope::All => 4,
    };
    sys::move_pages(pages, Some(nodes), status, flags)
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;

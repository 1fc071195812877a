//! The kernel's edge: raw system calls.
//!
//! ```text
//!   caller's errno ──────────────────────────────────────────► unchanged
//!        │ saved                                    restored │
//!        └──► libc::syscall(number, …) ──► -1 + errno ───────┘──► Err(Errno)
//! ```
//!
//! Every call goes through `libc::syscall` rather than the named wrapper, for two reasons: the
//! wrappers of `open`, `read` and `close` are cancellation points, and an allocator must not be
//! unwound in its middle; and what they do besides the call differs between C libraries.
//!
//! # Safety
//!
//! This file holds the crate's `unsafe` on system calls. Its functions are safe where the kernel
//! checks all it is given and writes only into buffers borrowed here.

#![allow(unsafe_code)]

use core::ffi::{c_int, c_long, c_void};
use core::fmt;

pub(crate) use crate::errno::Errno;

/// Runs `call` and puts the C library's `errno` back as it was. `call` says whether it failed;
/// the error number is picked up before `errno` is restored.
fn keeping_errno<T>(call: impl FnOnce() -> (T, bool)) -> Result<T, Errno> {
    // SAFETY: returns the address of this thread's errno, valid for the thread's life.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: `place` is this thread's own errno, so nobody else writes it but a signal handler
    // of this thread, which by C's rules restores it.
    let before = unsafe { place.read() };
    let (value, failed) = call();
    if !failed {
        return Ok(value);
    }
    // SAFETY: as above.
    let number = unsafe { place.read() };
    // SAFETY: as above.
    unsafe { place.write(before) };
    Err(Errno::from_raw(number))
}

/// One system call of up to six arguments.
///
/// # Safety
///
/// The caller answers for what this call with these arguments does to memory and descriptors.
pub(crate) unsafe fn syscall(number: c_long, args: [usize; 6]) -> Result<usize, Errno> {
    keeping_errno(|| {
        let [a, b, c, d, e, f] = args;
        // SAFETY: passed on to the caller; `usize` is as wide as the kernel's registers.
        let value = unsafe { libc::syscall(number, a, b, c, d, e, f) };
        (value.cast_unsigned() as usize, value == -1)
    })
}

/// `mbind(2)`. Safe: a policy changes where pages come from, never what they hold.
pub(crate) fn mbind(
    addr: usize,
    len: usize,
    mode: u32,
    mask: &[usize],
    maxnode: usize,
    flags: u32,
) -> Result<(), Errno> {
    debug_assert!(maxnode <= mask.len() * usize::BITS as usize + 1);
    let args =
        [addr, len, mode as usize, mask.as_ptr().expose_provenance(), maxnode, flags as usize];
    // SAFETY: the kernel reads at most `maxnode - 1` bits of `mask`, which is borrowed here.
    unsafe { syscall(libc::SYS_mbind, args) }.map(drop)
}

/// `set_mempolicy(2)` for the calling thread.
pub(crate) fn set_mempolicy(mode: u32, mask: &[usize], maxnode: usize) -> Result<(), Errno> {
    debug_assert!(maxnode <= mask.len() * usize::BITS as usize + 1);
    let args = [mode as usize, mask.as_ptr().expose_provenance(), maxnode, 0, 0, 0];
    // SAFETY: the kernel reads at most `maxnode - 1` bits of `mask`, which is borrowed here.
    unsafe { syscall(libc::SYS_set_mempolicy, args) }.map(drop)
}

/// `get_mempolicy(2)`; gives the mode back. An empty `mask` asks for the mode alone.
pub(crate) fn get_mempolicy(
    mask: &mut [usize],
    maxnode: usize,
    addr: usize,
    flags: u32,
) -> Result<i32, Errno> {
    debug_assert!(mask.is_empty() || maxnode <= mask.len() * usize::BITS as usize + 1);
    let mut mode: c_int = 0;
    let mask_addr = if mask.is_empty() { 0 } else { mask.as_mut_ptr().expose_provenance() };
    let mode_addr = (&raw mut mode).expose_provenance();
    let args = [mode_addr, mask_addr, maxnode, addr, flags as usize, 0];
    // SAFETY: the kernel writes one int to `mode` and at most `maxnode - 1` bits, rounded up to
    // words, to `mask`: both are borrowed exclusively here.
    unsafe { syscall(libc::SYS_get_mempolicy, args) }?;
    Ok(mode)
}

/// What the kernel says of one page: its node, or why there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct PageStatus(i32);

impl PageStatus {
    /// Before any call; no node and no error of the kernel looks like it.
    pub const UNKNOWN: PageStatus = PageStatus(i32::MIN);

    /// The page's node.
    ///
    /// # Errors
    ///
    /// `EFAULT`: not mapped, or read but never written and therefore a zero page. `ENOENT`, on
    /// older kernels `EFAULT`: not populated. After a move also `EACCES` (shared, see
    /// [`MoveScope::All`](crate::policy::MoveScope::All)), `EBUSY`, `EIO`, `EINVAL` and `ENOMEM`.
    pub const fn node(self) -> Result<u32, Errno> {
        if self.0 < 0 { Err(Errno::from_raw(self.0.wrapping_neg())) } else { Ok(self.0 as u32) }
    }
}

impl fmt::Debug for PageStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node() {
            _ if *self == PageStatus::UNKNOWN => f.write_str("unknown"),
            Ok(node) => write!(f, "node {node}"),
            Err(errno) => write!(f, "{errno:?}"),
        }
    }
}

/// `move_pages(2)` on the calling process; `nodes` is `None` for the query form.
/// Gives the number of pages that were not moved.
pub(crate) fn move_pages(
    pages: &[*const c_void],
    nodes: Option<&[u32]>,
    status: &mut [PageStatus],
    flags: u32,
) -> Result<usize, Errno> {
    if pages.len() != status.len() || nodes.is_some_and(|nodes| nodes.len() != pages.len()) {
        return Err(Errno::EINVAL);
    }
    let nodes_addr = nodes.map_or(0, |nodes| nodes.as_ptr().expose_provenance());
    let pages_addr = pages.as_ptr().expose_provenance();
    let status_addr = status.as_mut_ptr().expose_provenance();
    let args = [0, pages.len(), pages_addr, nodes_addr, status_addr, flags as usize];
    // SAFETY: three arrays of ints or pointers of the same length, checked above; the kernel
    // only writes `status`, of which every int is a value,
    // and moving a page keeps its contents and its address.
    unsafe { syscall(libc::SYS_move_pages, args) }
}

/// `sched_setaffinity(2)` for the calling thread.
pub(crate) fn sched_setaffinity(mask: &[usize]) -> Result<(), Errno> {
    let args = [0, size_of_val(mask), mask.as_ptr().expose_provenance(), 0, 0, 0];
    // SAFETY: the kernel reads at most the named number of bytes of a borrowed slice.
    unsafe { syscall(libc::SYS_sched_setaffinity, args) }.map(drop)
}

/// `sched_getaffinity(2)` for the calling thread; gives the number of bytes written.
pub(crate) fn sched_getaffinity(mask: &mut [usize]) -> Result<usize, Errno> {
    let args = [0, size_of_val(mask), mask.as_mut_ptr().expose_provenance(), 0, 0, 0];
    // SAFETY: the kernel writes at most the named number of bytes of an exclusive slice.
    unsafe { syscall(libc::SYS_sched_getaffinity, args) }
}

/// `getcpu(2)`: CPU and node on which the calling thread runs at this instant.
pub(crate) fn getcpu() -> Result<(u32, u32), Errno> {
    let (mut cpu, mut node) = (0u32, 0u32);
    let cpu_addr = (&raw mut cpu).expose_provenance();
    let node_addr = (&raw mut node).expose_provenance();
    // SAFETY: the kernel writes two unsigned ints, both borrowed here; the third argument is
    // unused since Linux 2.6.24.
    unsafe { syscall(libc::SYS_getcpu, [cpu_addr, node_addr, 0, 0, 0, 0]) }?;
    Ok((cpu, node))
}

/// `sysinfo(2)`: total and free memory of the machine in bytes.
pub(crate) fn memory_total_free() -> Result<(u64, u64), Errno> {
    // SAFETY: `sysinfo` is a struct of integers, for which zero is a value.
    let mut info: libc::sysinfo = unsafe { core::mem::zeroed() };
    let addr = (&raw mut info).expose_provenance();
    // SAFETY: the kernel writes one `struct sysinfo` into a local of that type.
    unsafe { syscall(libc::SYS_sysinfo, [addr, 0, 0, 0, 0, 0]) }?;
    let unit = u64::from(info.mem_unit.max(1));
    // The fields are 32 bits wide on 32-bit machines.
    #[allow(clippy::unnecessary_cast)]
    Ok((info.totalram as u64 * unit, info.freeram as u64 * unit))
}

/// A fresh private anonymous mapping, readable and writable.
pub(crate) fn map_anonymous(len: usize) -> Result<core::ptr::NonNull<c_void>, Errno> {
    let addr = keeping_errno(|| {
        // SAFETY: without MAP_FIXED the kernel picks a free range, so nothing is replaced.
        let addr = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        (addr, addr == libc::MAP_FAILED)
    })?;
    core::ptr::NonNull::new(addr).ok_or(Errno::ENOMEM)
}

/// `munmap(2)`.
///
/// # Safety
///
/// `addr` and `len` name mappings that belong to the caller, and nobody uses them any more.
pub(crate) unsafe fn unmap(addr: *mut c_void, len: usize) -> Result<(), Errno> {
    keeping_errno(|| {
        // SAFETY: the caller's duty.
        let value = unsafe { libc::munmap(addr, len) };
        ((), value == -1)
    })
}

#[cfg(test)]
#[path = "sys_tests.rs"]
mod tests;

//! What pools have, in numbers.

#![allow(unsafe_code)]

use crate::errno::{Errno, INVALID, answer, status};
use crate::pool::Handle;
use cidalloc::os;
use core::ffi::c_int;
use core::fmt::Write;

/// What a pool has, at one time. What other threads do meanwhile may be in one number and not yet
/// in the next.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatistics {
    /// Bytes of an item.
    pub item_len: usize,
    /// Bytes from a copy of an item to the next.
    pub stride: usize,
    /// Allocated items.
    pub items: usize,
    /// Free items that a cid has to itself.
    pub cached: usize,
    /// Items that there are in all ranges.
    pub capacity: usize,
    /// Ranges.
    pub ranges: usize,
    /// Ranges that there may be.
    pub ranges_max: usize,
    /// Copies of an item.
    pub copies: usize,
    /// Bytes of address space of all ranges.
    pub bytes_reserved: usize,
    /// Bytes that are resident on all nodes; `SIZE_MAX` where the kernel does not say.
    pub bytes_resident: usize,
    /// How often items were taken back from cids.
    pub steals: usize,
    /// Rows of copies that the kernel refused to bind to their node.
    pub unbound: usize,
}

/// What is resident of a pool's copies of one node.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeResident {
    /// Cids that have a page of their own in some range.
    pub copies: usize,
    /// Bytes of these pages.
    pub bytes: usize,
}

/// Writes what `pool` has to `statistics`. Asks the kernel for every page.
///
/// Returns 0, or -1 and `errno`:
/// - `EINVAL`: `pool` or `statistics` is null.
///
/// MT-safe. Not for signal handlers.
///
/// # Safety
/// `pool` is null or of `cidpool_create`, and not destroyed yet; `statistics` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_get_statistics(
    pool: *const Handle,
    statistics: *mut PoolStatistics,
) -> c_int {
    status(|| {
        // SAFETY: by the caller's promise.
        let now = unsafe { Handle::of(pool) }?.pool.statistics();
        if statistics.is_null() {
            return Err(INVALID);
        }
        let numbers = PoolStatistics {
            item_len: now.item_len,
            stride: now.stride,
            items: now.items,
            cached: now.cached,
            capacity: now.capacity,
            ranges: now.ranges,
            ranges_max: now.ranges_max,
            copies: now.copies,
            bytes_reserved: now.bytes_reserved,
            bytes_resident: now.bytes_resident().unwrap_or(usize::MAX),
            steals: now.steals,
            unbound: now.unbound,
        };
        // SAFETY: by the caller's promise.
        unsafe { statistics.write(numbers) };
        Ok(())
    })
}

/// Writes what is resident of `pool` to `nodes`, for the first `len` nodes.
///
/// Returns how many nodes there are, or -1 and `errno`:
/// - `EINVAL`: `pool` is null, or `nodes` is and `len` is not 0;
/// - `EOPNOTSUPP`: the kernel does not say (there is no `/proc`), or the pool is an ancestor's.
///
/// MT-safe. Not for signal handlers.
///
/// # Safety
/// `pool` is null or of `cidpool_create`, and not destroyed yet; `nodes` has room for `len`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_get_resident(
    pool: *const Handle,
    nodes: *mut NodeResident,
    len: usize,
) -> c_int {
    answer(-1, || {
        // SAFETY: by the caller's promise.
        let handle = unsafe { Handle::of(pool) }?;
        if nodes.is_null() && len != 0 {
            return Err(INVALID);
        }
        let resident = handle.pool.statistics().resident.ok_or(Errno(libc::EOPNOTSUPP))?;
        for (index, node) in resident.iter().take(len).enumerate() {
            let node = NodeResident { copies: node.copies, bytes: node.bytes };
            // SAFETY: room for it, by the caller's promise.
            unsafe { nodes.add(index).write(node) };
        }
        Ok(resident.len() as c_int)
    })
}

/// Writes a text about every pool of the process to the file descriptor `fd`.
///
/// MT-safe. Not for signal handlers.
#[unsafe(no_mangle)]
pub extern "C" fn cidpool_write_statistics(fd: c_int) {
    answer((), || {
        let mut text = String::new();
        for pool in cidpool::registry() {
            // A text takes anything.
            let _ = write!(text, "{pool}");
        }
        os::write_all(fd, text.as_bytes());
        Ok(())
    });
}

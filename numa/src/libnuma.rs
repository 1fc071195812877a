//! libnuma's vocabulary, name by name, with typed answers. Numbers of nodes and CPUs are `u32`,
//! sizes are bytes, a failure is a `Result` where libnuma gives -1 or prints a warning.
//!
//! ```text
//!   libnuma                         here
//!   numa_available() == -1          numa_available() == Err(ENOSYS | EPERM)
//!   numa_node_of_cpu(cpu) == -1     numa_node_of_cpu(cpu) == Err(_)
//!   numa_set_preferred(-1)          numa_set_preferred(None)
//!   numa_alloc_onnode() prints      numa_alloc_onnode() == Err(_), nothing stays mapped
//!   struct bitmask *                NodeMask, CpuMask by value
//! ```
//!
//! Source of the meanings: numa(3); of the calls below: see [`crate::policy`] and
//! [`crate::topology`]. All functions are thread-safe and async-signal-safe; those that set
//! something set it for the calling thread only. There is no start-up: nothing is cached, so
//! that CPUs and memory that come and go are seen.
//!
//! # Safety
//!
//! The one unsafe function is [`numa_free`], which unmaps.

#![allow(unsafe_code)]

use crate::file::File;
use crate::mask::{CpuMask, NodeMask};
use crate::policy::{self, BindMode, Mode};
use crate::sys::{self, Errno};
use crate::topology::{Error, NodeMemory, Sysfs};
use core::ffi::c_void;
use core::ops::ControlFlow;
use core::ptr::NonNull;

const SYSTEM: Sysfs<'static> = Sysfs::SYSTEM;
const ABSENT: Error = Error::Sys(Errno::ENOENT);

/// Whether memory policies work here. The questions about topology work all the same.
///
/// # Errors
///
/// `ENOSYS`: kernel without NUMA. `EPERM`: a system call filter.
pub fn numa_available() -> Result<(), Errno> {
    policy::available()
}

/// The highest node that is there.
///
/// # Errors
///
/// See [`Error`]; so for all that follow and name no errors of their own.
pub fn numa_max_node() -> Result<u32, Error> {
    SYSTEM.online_nodes()?.highest().ok_or(ABSENT)
}

/// The highest node that this kernel was built for (`MAX_NUMNODES` - 1), often 1023 or 63.
/// For what this machine can ever have see
/// [`possible_nodes`](crate::topology::possible_nodes). From the width of `Mems_allowed` in
/// `/proc/self/status`, as proc(5) and libnuma have it.
pub fn numa_max_possible_node() -> Result<u32, Error> {
    let bits = status_bits(b"Mems_allowed:")?;
    Ok(bits.saturating_sub(1))
}

/// How many nodes this kernel was built for: [`numa_max_possible_node`] + 1.
pub fn numa_num_possible_nodes() -> Result<u32, Error> {
    Ok(numa_max_possible_node()? + 1)
}

/// How many nodes with memory are there. Nodes of CPUs alone are not counted, as libnuma has it;
/// [`Sysfs::online_nodes`] counts them.
pub fn numa_num_configured_nodes() -> Result<u32, Error> {
    Ok(SYSTEM.nodes_with_memory()?.count())
}

/// How many CPUs the machine may have, offline ones included.
pub fn numa_num_configured_cpus() -> Result<u32, Error> {
    Ok(SYSTEM.possible_cpus()?.count())
}

/// The CPU's node. libnuma fails for offline CPUs; this does not while they are present.
pub fn numa_node_of_cpu(cpu: u32) -> Result<u32, Error> {
    SYSTEM.node_of_cpu(cpu)
}

/// The node's online CPUs.
pub fn numa_node_to_cpus(node: u32) -> Result<CpuMask, Error> {
    SYSTEM.node_cpus(node)
}

/// The distance from node to node: 10 is local, 20 twice as far.
pub fn numa_distance(from: u32, to: u32) -> Result<u32, Error> {
    SYSTEM.distance(from, to)
}

/// The node's memory, all and free, in bytes.
pub fn numa_node_size(node: u32) -> Result<NodeMemory, Error> {
    SYSTEM.node_memory(node)
}

/// The nodes on which the calling thread may allocate (its cpuset).
///
/// # Errors
///
/// `ENOSYS` or `EPERM`.
pub fn numa_get_mems_allowed() -> Result<NodeMask, Errno> {
    policy::mems_allowed()
}

/// A fresh mapping of `size` bytes, rounded up to whole pages, zeroed, whose pages come from the
/// node and no other; they do so at first touch. Give it back by [`numa_free`].
///
/// # Errors
///
/// As [`policy::bind_range`], and `ENOMEM` if there is no address space; `EINVAL` for size 0.
///
/// ```
/// use numa_sys::{numa_alloc_onnode, numa_free, policy::node_of_page};
/// # if numa_sys::numa_available().is_err() { return Ok(()); }
/// let node = numa_sys::numa_get_mems_allowed()?.lowest().unwrap();
/// let block = numa_alloc_onnode(1 << 20, node)?;
/// // SAFETY: a fresh mapping of 1 MiB.
/// unsafe { block.cast::<u8>().write(1) };
/// assert_eq!(node_of_page(block.as_ptr()), Ok(node));
/// // SAFETY: ours, of this size, and not used again.
/// unsafe { numa_free(block, 1 << 20) }?;
/// # Ok::<(), numa_sys::Errno>(())
/// ```
pub fn numa_alloc_onnode(size: usize, node: u32) -> Result<NonNull<c_void>, Errno> {
    let block = sys::map_anonymous(size)?;
    if let Err(errno) = policy::bind_range(block.as_ptr(), size, node, BindMode::Bind) {
        // SAFETY: mapped above, known to nobody else.
        let _ = unsafe { numa_free(block, size) };
        return Err(errno);
    }
    Ok(block)
}

/// Unmaps what [`numa_alloc_onnode`] gave.
///
/// # Safety
///
/// 1. `block` and `size` are as given by, and to, one call of [`numa_alloc_onnode`].
/// 2. Nobody uses the block any more, and it was not freed before.
///
/// # Errors
///
/// `EINVAL` for a block that was none. `ENOMEM` if the kernel would have to split a mapping and
/// is at its limit; the block stays.
pub unsafe fn numa_free(block: NonNull<c_void>, size: usize) -> Result<(), Errno> {
    // SAFETY: by duties 1 and 2 the range is the caller's own and unused.
    unsafe { sys::unmap(block.as_ptr(), size) }
}

/// Binds a range of pages that are not there yet to the node. The address must be page-aligned.
///
/// # Errors
///
/// As [`policy::bind_range`].
pub fn numa_tonode_memory(start: *mut c_void, size: usize, node: u32) -> Result<(), Errno> {
    policy::bind_range(start, size, node, BindMode::Bind)
}

/// Lets the calling thread's memory come from the node first; `None`: from where it runs.
///
/// # Errors
///
/// `EINVAL`: no such node, or it has no memory. `ENOSYS` or `EPERM`.
pub fn numa_set_preferred(node: Option<u32>) -> Result<(), Errno> {
    match node {
        None => policy::set_mempolicy(Mode::LOCAL, &NodeMask::EMPTY),
        Some(node) => {
            let nodes = NodeMask::single(node).map_err(|_| Errno::EINVAL)?;
            policy::set_mempolicy(Mode::PREFERRED, &nodes)
        }
    }
}

/// Lets the calling thread run on the node's CPUs only; `None`: on all CPUs. The kernel keeps
/// to those that the cpuset allows (sched_setaffinity(2)).
///
/// # Errors
///
/// `EINVAL`: the node has no CPU that the cpuset allows. Of a node that is not there, `ENOENT`.
pub fn numa_run_on_node(node: Option<u32>) -> Result<(), Error> {
    let cpus = match node {
        None => SYSTEM.possible_cpus()?,
        Some(node) => SYSTEM.node_cpus(node)?,
    };
    numa_sched_setaffinity(&cpus)
}

/// Lets the calling thread run on these CPUs only (sched_setaffinity(2)).
///
/// # Errors
///
/// `EINVAL`: none of them is online and allowed by the cpuset.
pub fn numa_sched_setaffinity(cpus: &CpuMask) -> Result<(), Error> {
    Ok(sys::sched_setaffinity(cpus.words())?)
}

/// The CPUs on which the calling thread may run (sched_getaffinity(2)).
///
/// # Errors
///
/// `EPERM` under a system call filter.
pub fn numa_sched_getaffinity() -> Result<CpuMask, Error> {
    let mut cpus = CpuMask::EMPTY;
    sys::sched_getaffinity(cpus.words_mut())?;
    Ok(cpus)
}

/// How many bits the hexadecimal mask in this line of `/proc/self/status` shows.
fn status_bits(name: &[u8]) -> Result<u32, Error> {
    let digits = File::open(c"/proc/self/status")?.for_each_token(
        |byte| byte == b'\n',
        |line| match line.bytes.strip_prefix(name) {
            None => ControlFlow::Continue(()),
            Some(mask) => {
                ControlFlow::Break(mask.iter().filter(|byte| byte.is_ascii_hexdigit()).count())
            }
        },
    )?;
    // Without the line the kernel has no cpusets; it then has no more nodes than sysfs says.
    match digits.map(u32::try_from) {
        Some(Ok(digits)) => Ok(digits * 4),
        _ => SYSTEM.possible_nodes_end()?.ok_or(ABSENT),
    }
}

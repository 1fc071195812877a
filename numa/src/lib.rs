//! NUMA on Linux without a C library for it: libnuma's vocabulary straight on the system calls
//! and on sysfs, for programs that cannot allocate while they ask, such as allocators.
//!
//! ```text
//!   libnuma.rs     numa_available, numa_alloc_onnode, …      names as in numa(3)
//!      │      │
//!   topology  policy    which CPU is on which node  │  where memory goes, and where it is
//!      │         │
//!   cpulist   mask      "0-3,8\n" → regions         │  NodeMask, CpuMask
//!      └ parse, file, sys   numbers, small files, system calls
//! ```
//!
//! What it promises, and its tests hold it to:
//! - It never allocates, takes no lock, keeps no state; it is `no_std` and needs `libc` alone.
//! - It leaves the C library's `errno` as it was.
//! - It asks only files whose format is documented; never the one that lists every mapping of
//!   the process with its policy, whose reading stops the process's page faults.
//! - Every function is thread-safe and async-signal-safe. None is a cancellation point.
//! - What the machine does not say is an error, not a guess.
//!
//! Not here: interleaved allocation in libnuma's form ([`policy::mbind`] does it), node strings
//! such as `netdev:eth0`, migration of other processes.
//!
//! # Example
//!
//! Put a buffer on the node of the CPU that runs us, and have the kernel confirm it:
//!
//! ```
//! use numa_sys::{numa_alloc_onnode, numa_free, policy, topology};
//!
//! # if numa_sys::numa_available().is_err() { return Ok(()); }
//! let (cpu, _) = topology::current_cpu_and_node()?;
//! let node = topology::node_of_cpu(cpu).unwrap_or(0);
//! let node = topology::Sysfs::SYSTEM.nearest_node_with_memory(node)?;
//!
//! let size = 64 << 10;
//! let buffer = numa_alloc_onnode(size, node)?;
//! assert!(policy::node_of_page(buffer.as_ptr()).is_err(), "no page before the first touch");
//! // SAFETY: a fresh mapping of 64 KiB, ours alone.
//! unsafe { buffer.cast::<u8>().write_bytes(1, size) };
//! assert_eq!(policy::node_of_page(buffer.as_ptr())?, node);
//! // SAFETY: this block, this size, not used again.
//! unsafe { numa_free(buffer, size) }?;
//! # Ok::<(), numa_sys::topology::Error>(())
//! ```

#![no_std]
#![cfg_attr(not(test), deny(unsafe_code))]
#![deny(clippy::multiple_unsafe_ops_per_block)]

#[cfg(not(target_os = "linux"))]
compile_error!("numa-sys speaks to Linux: build for a linux target");

#[cfg(test)]
extern crate std;

pub mod cpulist;
mod errno;
mod file;
pub mod libnuma;
mod mask;
mod parse;
pub mod policy;
mod sys;
pub mod topology;

pub use errno::Errno;
#[doc(no_inline)]
pub use libnuma::*;
pub use mask::{Bits, CapacityError, CpuMask, Iter, NodeMask};
pub use policy::BindMode;

//! The Linux rseq ABI, and the restartable critical sections that cidalloc is made of.
//!
//! ```text
//!            arm              window                     commit
//!   ─────────┬──┬───────────────────────────────────────────┬──┬──────
//!   rseq_cs ←│  │ read cid, node, table, header, slots …     │st│
//!            └──┴───────────────────────────────────────────┴──┘
//!                 preempted, migrated or signalled in here:
//!                 the kernel sends the thread to the abort address → arm again
//! ```
//!
//! Inside the window the thread's concurrency id belongs to it alone. The kernel promises
//! two things about a cid and no more: no two running threads of a process have the same
//! one, and it is smaller than the number of possible CPUs.
//!
//! - [`abi`]: the kernel's structures
//! - [`registration`]: who registered this process's areas, and what they hold
//! - [`area`]: volatile reads of a thread's own area
//! - [`membarrier`]: the fence after which no section that began before it still runs
//! - [`cs`]: the sections, with their contract in pseudo-code
//! - [`copies`]: sections on data of which there is a copy for each cid
//! - [`soundness`]: whether this kernel aborts them on preemption
//! - [`lease`]: the same operations for threads without rseq
//! - [`sync`]: the atomics beside them, which a model may observe
//! - `inject`: for tests, with the feature of that name: holding threads up within all of these
//!
//! The crate does not allocate, has no dependencies, and never writes anything but
//! `rseq_cs` in an area that it did not register itself.

#![no_std]
#![deny(unsafe_code)]

#[macro_use]
#[cfg_attr(cidalloc_model, allow(unused_macros, reason = "a model has no sections in assembler"))]
mod points;

pub mod abi;
#[cfg(not(cidalloc_model))]
pub mod area;
pub mod copies;
pub mod cs;
#[cfg(feature = "inject")]
pub mod inject;
pub mod lease;
#[cfg(not(cidalloc_model))]
pub mod membarrier;
#[cfg(cidalloc_model)]
pub mod model;
pub mod registration;
pub mod soundness;
pub mod sync;
mod syscall;

#[cfg(cidalloc_model)]
pub use model::{area, membarrier};

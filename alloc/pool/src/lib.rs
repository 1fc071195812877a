//! Memory pools and counters with one copy per concurrency id.
//!
//! A pool has items of one length, and of each item one copy for every (NUMA node, cid), at a fixed
//! stride. A cid (concurrency id) is a small number that no two threads of a process that run at the
//! same instant share: so a thread changes its cid's copy without atomics, as it would thread-local
//! data, but there are only as many copies in memory as threads ever ran at once.
//!
//! ```text
//!   item ──► copy 0   ─stride─► copy 1   ─stride─► copy 2 …          address space for all cids,
//!            node 0 cid 0       node 0 cid 1                         memory where a cid wrote
//!
//!  builder ► pool ► shared ┬ items ── range ── populate   what there is, what is free; mappings, images
//!             ▲            ├ control ── cids            a few items for each cid alone; sections
//!            set           ├ content ── robust          what copies hold; misuse
//!   pools for mixed        ├ copies statistics registry who looks
//!   lengths                └ fork ── growth             the lock; children; who makes a range
//! ```
//!
//! ```
//! use cidpool::Pool;
//!
//! let pool = Pool::builder(64).name("requests").build()?;
//! let item = pool.allocate_zeroed()?;
//! println!("{}", pool.statistics());
//! // SAFETY: the item, once.
//! unsafe { pool.free(item) };
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Allocating and freeing items takes no lock and no atomic as long as the thread's cid has some to
//! hand out. It works from any thread, with any global allocator, and in signal handlers, as long as
//! there are free items: where there are none it may wait for another thread, that makes a range, or
//! forks, and that itself waits for the `malloc` which the handler interrupted.

#![deny(unsafe_code)]

mod block;
mod builder;
pub mod cache;
mod cancel;
mod cids;
mod content;
mod control;
mod copies;
pub mod counter;
pub mod counters;
pub mod field;
mod fork;
pub mod free_list;
mod group;
mod growth;
mod here;
mod items;
pub mod list;
#[cfg(cidalloc_model)]
pub mod model;
pub mod per_cid;
mod pool;
mod populate;
mod range;
mod registry;
pub mod ring;
mod robust;
mod set;
mod shared;
mod statistics;
mod through;
pub mod word;

pub use block::NewError;
pub use builder::{BuildError, Builder, Numa, RANGES_MAX, STRIDE};
pub use cache::Cache;
pub use cids::{Place, Source};
pub use copies::Copies;
pub use counter::Counter;
pub use counters::{Counters, NoFence};
pub use field::{Field, Word};
pub use fork::Fork;
pub use free_list::{FreeList, Taken};
pub use list::{List, Node, Nodes};
pub use numa_sys::policy::BindMode;
pub use per_cid::PerCid;
pub use pool::{AllocateError, Item, Pool};
pub use populate::{Populate, RangeImage};
pub use registry::registry;
pub use ring::{Ring, Snapshot, WhenFull};
pub use robust::FreeError;
pub use set::{AddError, PoolSet, SetBuilder};
pub use statistics::{Resident, Statistics};
pub use word::{Compared, CurrentWord, NoCid};

/// The operations on the current cid's copy, by address in copy 0: what typed handles are made of.
/// Each takes the process's [`cidalloc::percid::Cids`] and the pool's [`Pool::shift`].
pub mod sections {
    pub use crate::cids::{
        add, compare_copy_store, compare_store, compare_store_store, compare_two_store, load, pop,
        pop_all, push,
    };
    pub use rseq_sys::copies::{COPY_MAX, Outcome};
}

//! A memory allocator for Linux whose shards are indexed by the kernel's concurrency id.
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: cidalloc::CidAlloc = cidalloc::CidAlloc;
//!
//! let words: Vec<String> = "one heap for all".split(' ').map(String::from).collect();
//! assert_eq!(words.concat(), "oneheapforall");
//! ```
//!
//! A concurrency id (`mm_cid` of `struct rseq`) is a small number that no two threads of a
//! process running at the same instant share. Each (NUMA node, cid) has a shard: arrays of free
//! objects, popped and pushed in restartable sequences, without atomics, locks or thread-local
//! state. There are as many shards as threads ever ran at once, not as many as threads or CPUs.
//!
//! ```text
//!  malloc, free         one section on the current shard's array      malloc, free
//!  refill, overflow     a batch between array and span bitmaps        refill, supply, flush
//!  spans                64 KiB of equal objects, owned by a shard     span, arena
//!  page heaps           runs of pages, one heap per node              page_heap, bins, large
//!  region               one reservation of address space              region, os
//! ```
//!
//! [`CidAlloc`] is the face for Rust, the `cidmalloc` package the one for C (`LD_PRELOAD`), and
//! `cidalloc run` runs a program under it. Options are read from the environment: see
//! [`options`]. The other modules are public for those faces and for tests; they follow no
//! stability promise. Their order is drawn in `docs/ARCHITECTURE.md`.
//!
//! Thread-safe throughout. Works in signal handlers: no lock is waited for that the interrupted
//! thread holds. Not to be called between `vfork` and `exec`, where the child runs on its
//! parent's thread area without a cid of its own.

#![no_std]
#![deny(unsafe_code)]

pub mod areas;
pub mod arena;
pub mod batch;
pub mod bins;
pub mod cache;
pub mod careful;
pub mod carve;
pub mod check;
pub mod cid_set;
pub mod config;
pub mod flush;
pub mod foreign;
pub mod fork;
pub mod free;
pub mod global_alloc;
pub mod handover;
pub mod hardened;
pub mod heap;
pub mod home;
pub mod ids;
pub mod invariants;
pub mod large;
pub mod leases;
pub mod lock;
pub mod maintenance;
pub mod malloc;
pub mod marks;
pub mod mixed;
pub mod nodes;
pub mod ops_count;
pub mod options;
pub mod os;
pub mod page_heap;
pub mod parts;
pub mod percid;
pub mod placement;
pub mod purge;
pub mod quarantine;
pub mod realloc;
pub mod records;
pub mod refill;
pub mod region;
mod report;
pub mod runs;
pub mod section;
pub mod shard;
pub mod size_class;
pub mod slots;
pub mod snapshot;
pub mod source;
pub mod span;
pub mod start;
pub mod stats;
pub mod supply;
pub mod trust;
pub mod validate;
pub mod violation;

pub use global_alloc::CidAlloc;

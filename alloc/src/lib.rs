//! A memory allocator for Linux that is sharded by the kernel's concurrency ids.
#![no_std]
#![deny(unsafe_code)]

pub mod arena;
pub mod batch;
pub mod bins;
pub mod cache;
pub mod check;
pub mod config;
pub mod flush;
pub mod free;
pub mod global_alloc;
pub mod heap;
pub mod ids;
pub mod invariants;
pub mod large;
pub mod lock;
pub mod maintenance;
pub mod malloc;
pub mod options;
pub mod os;
pub mod page_heap;
pub mod purge;
pub mod realloc;
pub mod refill;
pub mod region;
mod report;
pub mod shard;
pub mod size_class;
pub mod snapshot;
pub mod span;
pub mod start;
pub mod stats;
pub mod supply;

pub use global_alloc::CidAlloc;

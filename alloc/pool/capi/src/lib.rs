//! The C interface of the pools: `libcidpool`, and its header `include/cidpool.h`.
//!
//! ```text
//!   attr ─► pool ─────► items ──► places     attributes; pools, sets of them; what is allocated,
//!            │  ╲         │                  and where its copies are
//!           set  owners ◄─┘                  from an address to its pool
//!
//!   sections ─► numbers                      operations on the current copy, or a certain one
//!   statistics, counter                      in numbers; what adds up
//!   errno                                    how failures are told
//! ```
//!
//! The names are those of librseq's memory pools, `cidpool_` for `rseq_mempool_` and `rseq_`: a
//! program that was written for them is ported by renaming, as `examples/ported.c` was. What
//! differs is in `docs/pool-librseq.md`.
//!
//! # Conventions
//!
//! - A function that fails returns null or -1, and sets `errno` to what its comment lists. One that
//!   does not leaves `errno` as it was.
//! - Handles are the caller's: who creates one destroys it, once, when nobody uses it any more.
//!   Null is refused with `EINVAL`, but by `cidpool_counter_add`, which does not look; and is
//!   nothing to destroy.
//! - Where a comment says "MT-safe" any threads may call the function at the same time. "For signal
//!   handlers" says that a handler may call it whatever it interrupted.
//! - Nothing unwinds into C: a mistake of the library, and being out of memory for a few words of
//!   its own, end the process. No function is a cancellation point.
//!
//! No other symbol leaves the library; it is never unloaded. `malloc` is the program's.
#![deny(unsafe_code)]

pub mod attr;
pub mod counter;
mod errno;
pub mod items;
mod numbers;
mod owners;
pub mod places;
pub mod pool;
pub mod sections;
pub mod set;
pub mod statistics;

//! How near a thread finds the data that it had last, by what its area is indexed with: a
//! model of machines that are not here, and what it shares with the experiment on the one that is.
//!
//! ```text
//!   inputs ─▶ machine, caches ─┐
//!                    cids ─────┼─▶ intermittent ──▶ nanoseconds a burst, beside `published`
//!                              └─▶ growth ────────▶ shards, arenas, memory by CPUs and threads
//!                                                        └─▶ plots
//! ```
//!
//! Everything here is a function of its arguments and a seed. The binary `locality` runs it, and
//! the same experiment on the machine at hand.

pub mod caches;
pub mod cids;
pub mod growth;
pub mod inputs;
pub mod intermittent;
pub mod machine;
pub mod plots;
pub mod published;
pub mod random;
pub mod tables;

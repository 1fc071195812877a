//! What the two programs of this crate agree on: the list of rows, the line that
//! reports one measurement, and the statistics over such lines.
//!
//! ```text
//!   compare ──spawns, LD_PRELOAD=…──▶ workload ROW --scale F
//!      ▲                                 │ malloc, free, … by symbol
//!      └──────── one record per line ────┘
//! ```
//!
//! `workload` calls the C allocation functions by symbol, so the dynamic linker
//! decides whose they are; it says in each record whose they were.

pub mod catalog;
pub mod record;
pub mod stats;

//! Per-cid pools and counters beside what programs use otherwise: the results of the binary `pools`,
//! and what is made of them.
//!
//! ```text
//!   a process for each source of cids ──▶ samples ──▶ summary ──▶ tables, JSON
//!   a process for each way to keep sets ─▶ memory ────────────▶ tables, plot, JSON
//! ```

pub mod memory;
pub mod plot;
pub mod samples;
pub mod summary;
pub mod tables;

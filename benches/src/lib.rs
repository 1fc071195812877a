//! What the two programs of this crate agree on: the list of rows, the line that
//! reports one measurement, the results of a comparison, and the report made of them.
//!
//! ```text
//!   compare ──spawns, LD_PRELOAD=…──▶ workload ROW --scale F
//!    │ ▲                                 │ malloc, free, … by symbol
//!    │ └──────── one record per line ────┘
//!    └──▶ results ──▶ report: tables, CSV, HTML, SVG
//! ```
//!
//! `workload` calls the C allocation functions by symbol, so the dynamic linker
//! decides whose they are; it says in each record whose they were.

pub mod catalog;
pub mod locality;
pub mod pools;
pub mod record;
pub mod report;
pub mod results;
pub mod stats;

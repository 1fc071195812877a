//! What is derived from the results of a comparison, and the forms in which it is shown.
//!
//! ```text
//!                              ┌▶ tables   text, Markdown
//!   Results ──▶ derive ────────┼▶ page     one HTML file: heat, bars, scatter, lines, every figure
//!      │        medians, means │             └▶ svg, palette, number
//!      │                       └▶ figures  SVG files that stand alone
//!      └──────────────────────▶ csv        every sample
//! ```

mod bars;
mod charts;
mod csv;
pub mod derive;
mod details;
mod facts;
mod figures;
#[cfg(test)]
mod fixture;
pub(crate) mod grid;
mod heat;
pub(crate) mod lines;
mod measure;
pub(crate) mod number;
mod page;
pub(crate) mod palette;
mod scatter;
pub(crate) mod svg;
mod tables;

pub use csv::csv;
pub use facts::{closing, heading};
pub use figures::{svg_means, svg_overview, svg_scatter};
pub use measure::Measure;
pub use page::html;
pub use tables::{markdown_of, text_of};

/// What the tables show where nothing else is asked for.
pub const USUAL: &[Measure] = &[Measure::Time, Measure::Memory];

//! The races that are tried, and what the settings of each are.

mod cids;
mod counters;
mod leases;
mod pages;
mod pools;
mod spans;

use crate::run::{Scenario, Task};

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Scenario> {
    [
        spans::SCENARIOS,
        pages::SCENARIOS,
        leases::SCENARIOS,
        cids::SCENARIOS,
        pools::SCENARIOS,
        counters::SCENARIOS,
    ]
    .into_iter()
    .flatten()
}

/// As many tasks as there are functions.
fn tasks<const N: usize>(each: [fn(); N]) -> Vec<Task> {
    each.into_iter().map(|task| -> Task { Box::new(task) }).collect()
}

//! Threads that are held up before, within and after every section, at each of its points in turn,
//! while something happens to them; and after each such cell every object in one place.
//!
//! ```text
//!  run     source of cids × threads on one CPU, or on all          a process each
//!  sweep   point × kind                                            cells
//!  cell    workers  arm the point, call the operation ───► held up ───► aborted, or passed
//!          agent    sees where they are: signal, another CPU, fence, drain
//!                   all at rest ► validate with all hands named, each block holds what it should
//! ```
//!
//! A point within a window can only spin: what happens there comes from the agent, or from who else
//! wants the CPU. In plain code (before and after a section, and in all of an operation under a lease)
//! the held-up thread does it to itself. Within windows an outcome is asserted: what should abort,
//! aborts; and as a window that was to be left begins again, the compare-twice of the library under
//! test sees no difference.
//!
//! ```sh
//! cargo test -p cidalloc-tests --features inject --test inject
//! CIDALLOC_STRESS_SECONDS=100 cargo test …    # sweeps with more and more threads, as long as that
//! ```
//!
//! Without a time each cell runs once for each source, on one CPU or on all. A sweep has every other
//! cell, so that each runs on both after two.
//!
//! On arm64 the sections have no points.
#![allow(unsafe_code)]

mod agent;
mod cells;
mod engine;
mod tally;
mod worker;

#[path = "../stress/blocks.rs"]
#[allow(dead_code, reason = "shared with the stress test")]
mod blocks;
#[path = "../stress/parent.rs"]
mod parent;
#[path = "../stress/runs.rs"]
mod runs;
#[path = "../stress/signals.rs"]
#[allow(dead_code, reason = "shared with the stress test")]
mod signals;

use rseq_sys::inject::{COPIES, LEASED, Operation, SECTIONS};
use std::process::Command;

#[test]
#[ignore = "is started by the others, in a process of its own"]
fn worker() {
    engine::run();
}

runs::runs! {
    held_up_sections_lose_nothing_with_kernel_cids_on_one_cpu: 3 "one" ["CIDALLOC_CID" = "kernel"];
    held_up_sections_lose_nothing_with_kernel_cids_on_many_cpus: 3 "many" ["CIDALLOC_CID" = "kernel"];
    held_up_sections_lose_nothing_with_cpu_numbers_on_one_cpu: 3 "one" ["CIDALLOC_CID" = "cpu"];
    held_up_sections_lose_nothing_with_cpu_numbers_on_many_cpus: 3 "many" ["CIDALLOC_CID" = "cpu"];
    held_up_operations_lose_nothing_with_emulated_cids_on_one_cpu: 3 "one" ["CIDALLOC_CID" = "emulated"];
    held_up_operations_lose_nothing_with_emulated_cids_on_many_cpus: 3 "many" ["CIDALLOC_CID" = "emulated"];
}

/// Features are for whole builds: whatever turned this one on for the library would be noticed.
#[test]
fn a_shared_library_with_points_does_not_link() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "cidmalloc", "--features", "cidalloc/inject"]);
    let output = cargo.output().expect("cargo can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "libcidmalloc.so was built with points in it");
    assert!(said.contains("cidalloc_inject"), "it failed for another reason:\n{said}");
}

/// The places of the points of an operation in a source: `code` as it is written there.
fn places(text: &str, code: &str) -> impl Iterator<Item = u16> {
    let numbers = text.split("point!(").chain(text.split("at!(")).skip(1);
    numbers.filter_map(move |rest| {
        let (operation, place) = rest.split_once(')')?.0.split_once(", ")?;
        (operation == code).then(|| place.parse().ok()).flatten()
    })
}

/// The operations that a source has macros for.
fn codes(text: &str) -> impl Iterator<Item = u16> {
    let numbers = text.split("!(0x").skip(1);
    numbers.filter_map(|rest| u16::from_str_radix(rest.split([',', ')']).next()?, 16).ok())
}

#[test]
fn the_sweep_knows_every_point_of_the_sources() {
    let sections = include_str!("../../rseq-sys/src/cs/x86_64.rs");
    let leased = include_str!("../../rseq-sys/src/lease/operations.rs");
    let copies = include_str!("../../rseq-sys/src/copies/x86_64.rs");
    let window = include_str!("../../rseq-sys/src/copies/x86_64/window.rs");
    let through = include_str!("../../rseq-sys/src/copies/x86_64/through.rs");
    let is_through = |operation: &&Operation| operation.name.starts_with("add_through");
    let (throughs, others): (Vec<_>, Vec<_>) = COPIES.iter().partition(is_through);
    let each = |operations: &'static [Operation]| operations.iter().collect::<Vec<_>>();
    for (operations, text, frame) in [
        (each(&SECTIONS), sections, ""),
        (each(&LEASED), leased, ""),
        (others, copies, window),
        (throughs, through, through),
    ] {
        for code in codes(text) {
            let is_listed = operations.iter().any(|operation| operation.code == code & !15);
            assert!(is_listed, "operation {code:#x}");
        }
        for operation in operations {
            let code = format!("{:#x}", operation.code);
            // Some have all their points in macros that they share.
            let last = places(text, &code).chain(places(frame, "$operation")).max();
            let listed = operation.inside.len() as u16;
            assert_eq!(last, Some(listed), "points within {} ({code})", operation.name);
        }
    }
}

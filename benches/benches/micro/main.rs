//! Micro benches: each small piece of the allocator by itself, in the order of the layers.
//!
//! ```text
//!  sections   the critical sections of rseq-sys, on shards of their own
//!  lookups    size → class, address → page-map entry → object start
//!  spans      bitmaps, hands, possession; an arena's current span and queue
//!  pages      runs of the page heap, its lock, pages of the region
//!  moves      refill and flush: objects between spans and a hand
//!  whole      malloc and free as a program sees them
//!  leases     the same with emulated cids, in plain code under a lease
//!  orphans    the same without cids: atomics alone
//! ```
//!
//! `cargo bench -p cidalloc-benches --bench micro [-- PART_OF_A_NAME]`. Where the ids come from
//! is settled once per process, so the last two run in processes of their own, which this one
//! starts.
//!
//! The pieces are called as Rust functions: the process's own malloc is the system's.

mod leases;
mod lookups;
mod moves;
mod orphans;
mod pages;
mod sections;
mod spans;
mod whole;

use std::process::{Command, ExitCode};

use cidalloc::heap::{self, Heap, Source};
use cidalloc::ids::SizeClass;
use cidalloc::size_class::of_size;

/// Set in the other processes. Not named like the library's options, which it checks.
const OTHER: &str = "MICRO_PART";
/// What they run, and where their cids come from.
const OTHERS: [(&str, &str); 2] = [("leases", "emulated"), ("orphans", "none")];
/// Iterations between two looks at the clock, for a loop of nanoseconds. Fixed, since a
/// disturbed first iteration would have it chosen too small.
const LOOP: u32 = 512;

fn main() -> ExitCode {
    if let Ok(part) = std::env::var(OTHER) {
        let others = OTHERS.iter().filter(|(name, _)| *name != part).map(|(name, _)| *name);
        let first = ["lookups", "moves", "pages", "sections", "spans", "whole"];
        let skipped = others.chain(first).map(|name| format!("^micro::{name}"));
        divan::Divan::from_args().skip_regex(skipped.collect::<Vec<_>>().join("|")).main();
        return ExitCode::SUCCESS;
    }
    if std::env::var_os("CIDALLOC_CID").is_some() {
        eprintln!("micro: CIDALLOC_CID is set, so that nothing can be compared; unset it");
        return ExitCode::from(2);
    }
    divan::Divan::from_args().skip_regex("^micro::(leases|orphans)").main();
    if !has_cids() {
        println!("skip: there is no rseq here, so sections, moves and whole were left out");
    }
    OTHERS.into_iter().map(|(part, source)| run_other(part, source)).max().unwrap_or(0).into()
}

/// Runs the benches of `part` in a process with cids from `source`; its exit status.
fn run_other(part: &str, source: &str) -> u8 {
    let exe = match std::env::current_exe() {
        Ok(exe) => exe,
        Err(error) => {
            eprintln!("micro: this program does not find itself: {error}");
            return 2;
        }
    };
    let mut other = Command::new(exe);
    other.args(std::env::args_os().skip(1)).env(OTHER, part).env("CIDALLOC_CID", source);
    match other.status() {
        Ok(status) if status.success() => 0,
        Ok(status) => {
            eprintln!("micro: the process of {part} ended with {status}");
            1
        }
        Err(error) => {
            eprintln!("micro: the process of {part} cannot be started: {error}");
            2
        }
    }
}

/// The process's heap.
fn heap() -> &'static Heap {
    match heap::get() {
        Ok(heap) => heap,
        Err(_) => panic!("no address space for a heap; raise ulimit -v"),
    }
}

/// Whether sections may run in this process.
fn has_cids() -> bool {
    matches!(heap().source, Source::Kernel | Source::Cpu)
}

/// Whether this is the process of `leases`.
fn has_leases() -> bool {
    heap().source == Source::Emulated
}

/// Whether this is the process of `orphans`.
fn has_none() -> bool {
    heap().source == Source::None
}

/// The class of blocks of `size` bytes.
fn class(size: usize) -> SizeClass {
    of_size(size)
}

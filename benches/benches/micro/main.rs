//! Micro benches: each small piece of the allocator by itself, in the order of the layers.
//!
//! ```text
//!  sections   the critical sections of rseq-sys, on shards of their own
//!  lookups    size → class, address → page-map entry → object start
//!  spans      bitmaps, hands, possession; an arena's current span and queue
//!  pages      runs of the page heap, its lock, pages of the region
//!  moves      refill and flush: objects between spans and a hand
//!  whole      malloc and free as a program sees them
//!  orphans    the same without cids, where no section may run: atomics alone
//! ```
//!
//! `cargo bench -p cidalloc-benches --bench micro [-- PART_OF_A_NAME]`. Where the ids come from
//! is settled once per process, so `orphans` runs in a second process, which this one starts.
//!
//! The pieces are called as Rust functions: the process's own malloc is the system's.

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

/// Set in the second process. Not named like the library's options, which it checks.
const SECOND: &str = "MICRO_WITHOUT_CIDS";
/// Iterations between two looks at the clock, for a loop of nanoseconds. Fixed, since a
/// disturbed first iteration would have it chosen too small.
const LOOP: u32 = 512;

fn main() -> ExitCode {
    if std::env::var_os(SECOND).is_some() {
        divan::Divan::from_args().skip_regex("^micro::[a-np-z]").main();
        return ExitCode::SUCCESS;
    }
    if std::env::var("CIDALLOC_CID").as_deref() == Ok("none") {
        eprintln!("micro: CIDALLOC_CID=none leaves nothing to compare with; unset it");
        return ExitCode::from(2);
    }
    divan::Divan::from_args().skip_regex("^micro::orphans").main();
    if !has_cids() {
        println!("skip: this kernel gives no cids, so sections, moves and whole were left out");
    }
    let exe = match std::env::current_exe() {
        Ok(exe) => exe,
        Err(error) => {
            eprintln!("micro: this program does not find itself: {error}");
            return ExitCode::from(2);
        }
    };
    let mut second = Command::new(exe);
    second.args(std::env::args_os().skip(1)).env(SECOND, "1").env("CIDALLOC_CID", "none");
    match second.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("micro: the process without cids ended with {status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("micro: the process without cids cannot be started: {error}");
            ExitCode::from(2)
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
    heap().source != Source::None
}

/// The class of blocks of `size` bytes.
fn class(size: usize) -> SizeClass {
    of_size(size)
}

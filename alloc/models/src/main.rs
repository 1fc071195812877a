//! Models of the allocator: its own code, run by a scheduler that tries orders of its steps.
//!
//! ```text
//!  scenarios ─► run: a process for each execution ─► schedule: which task goes on
//!                    hands: blocks and contents       world: places, aborts, fences, clock
//!                    pools: items
//!                    judge: conservation at the end
//! ```
//!
//! Everything between the tasks' calls and the system is the product: refill, flush, supply,
//! arenas, shards, page heaps, leases; and pools and counters per cid. Not its sections'
//! instructions, for which stands the contract in plain code (`rseq_sys::model`), and not weak orders
//! of memory: tasks see each other's writes at once and in order. Run by `tests/models`.

#[cfg(cidalloc_model)]
mod cli;
#[cfg(cidalloc_model)]
mod hands;
#[cfg(cidalloc_model)]
mod judge;
#[cfg(cidalloc_model)]
mod pools;
#[cfg(cidalloc_model)]
mod random;
#[cfg(cidalloc_model)]
#[allow(unreachable_pub, reason = "shared with a library")]
#[path = "../../../tests/src/reliability.rs"]
mod reliability;
#[cfg(cidalloc_model)]
mod run;
#[cfg(cidalloc_model)]
mod scenarios;
#[cfg(cidalloc_model)]
mod schedule;
#[cfg(cidalloc_model)]
mod world;

#[cfg(cidalloc_model)]
fn main() -> std::process::ExitCode {
    cli::main()
}

#[cfg(not(cidalloc_model))]
fn main() -> std::process::ExitCode {
    eprintln!(
        "models: built without --cfg cidalloc_model, under which steps can be ordered: use tests/models"
    );
    std::process::ExitCode::from(2)
}

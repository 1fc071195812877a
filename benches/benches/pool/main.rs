//! Micro benches of per-cid data: each operation by itself.
//!
//! ```text
//!  words      sections on a word of the current copy
//!  counters   increments, and sums of groups
//!  lists      push and pop, of nodes and of boxes
//!  rings      appends by length, a drain
//!  caches     a hit, an insertion
//!  items      allocating and freeing, one and many, zeroed and initialised
//! ```
//!
//! `cargo bench -p cidalloc-benches --bench pool [-- PART_OF_A_NAME]`, with `CIDALLOC_CID=cpu` or
//! `emulated` before it for other cids than the kernel's. What the same costs by other means is in
//! the binary `pools`, which has several threads at it.

mod counters;
mod items;
mod structures;
mod words;

use core::fmt::Display;

use cidpool::Pool;

/// Iterations between two looks at the clock, for a loop of nanoseconds.
const LOOP: u32 = 512;

fn main() {
    match cidalloc::percid::get() {
        Ok(cids) => println!("cids: {:?}, {}", cids.source, cids.why),
        Err(_) => println!("cids: none, there is no address space for them"),
    }
    divan::main();
}

fn pool(item_len: usize) -> Pool {
    ok(Pool::builder(item_len).name("bench").build())
}

/// What has to be there before anything can be measured.
fn ok<T, E: Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

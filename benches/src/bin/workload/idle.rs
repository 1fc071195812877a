//! A thousand threads that were busy once and now wait: what stays resident?
//!
//! ```text
//!   main: take a ticket (of 4) ─▶ start thread i
//!   thread i: allocate until 256,000 bytes of glibc chunks, write every byte,
//!             free what is not kept ─▶ give the ticket back ─▶ wait
//!   main: all wait ─▶ measure ─▶ let them free the rest and end
//! ```

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use cidalloc_benches::catalog::Keep;

use crate::heap::Chain;
use crate::proc::rss_kib;
use crate::rng::{Rng, Sizes};
use crate::table::Table;
use crate::threads::{Handle, Tally, start};

const STACK: usize = 64 << 10;
const BUSY_MAX: usize = 4;
/// Per thread, counted as glibc's chunks, so that the work is the same for everyone.
const BYTES: usize = 256_000;

/// Resident set while all wait, and the bytes that they then hold, both in KiB.
pub(crate) struct Waiting {
    pub(crate) rss_kib: u64,
    pub(crate) asked_kib: u64,
}

/// glibc's chunk for a request of `n` bytes.
fn chunk(n: usize) -> usize {
    ((n + 8 + 15) & !15).max(32)
}

/// Allocates and frees as `keep` says; returns what is kept and its requested bytes.
fn work(index: usize, sizes: &Sizes, keep: Keep) -> (Chain, u64) {
    let (mut all, mut kept) = (Chain::new(), Chain::new());
    let (mut rng, mut dice) = (Rng::new(index), Rng::new(!index));
    let (mut chunks, mut asked) = (0, 0);
    if keep == Keep::Nothing {
        return (kept, 0);
    }
    while chunks < BYTES {
        let size = sizes.draw(&mut rng);
        all.grow(size);
        chunks += chunk(size);
    }
    // The same sequence of sizes once more, to know how long each block is.
    let mut rng = Rng::new(index);
    while let Some(block) = all.pop() {
        let size = sizes.draw(&mut rng);
        if keep == Keep::Everything || dice.chance(3) {
            kept.push(block);
            asked += size as u64;
        }
    }
    (kept, asked)
}

pub(crate) fn run(keep: Keep, threads: usize) -> Waiting {
    let sizes = Sizes::log_uniform(16, 4096);
    let (tickets, waiting, end) = (Tally::new(BUSY_MAX), Tally::new(0), Tally::new(0));
    let (next, asked) = (AtomicUsize::new(0), AtomicU64::new(0));
    let job = || {
        let (kept, bytes) = work(next.fetch_add(1, Relaxed), &sizes, keep);
        asked.fetch_add(bytes, Relaxed);
        tickets.add(1);
        waiting.add(1);
        end.await_at_least(1);
        drop(kept);
    };
    let mut running = Table::new(threads, |_| {
        tickets.take_one();
        // SAFETY: every thread is joined below, before `job` goes.
        Some(unsafe { start(&raw const job, STACK) })
    });
    waiting.await_at_least(threads);
    let rss_kib = rss_kib();
    end.add(1);
    running.iter_mut().filter_map(Option::take).for_each(Handle::join);
    Waiting { rss_kib, asked_kib: asked.into_inner() >> 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survivors_are_few_and_everything_is_a_quarter_of_a_megabyte() {
        let sizes = Sizes::log_uniform(16, 4096);
        let (_chain, all) = work(3, &sizes, Keep::Everything);
        let few: u64 = (0..50).map(|i| work(i, &sizes, Keep::Survivors).1).sum();
        assert!((240_000..256_000).contains(&all), "{all}");
        assert!((50 * 4_000..50 * 12_000).contains(&few), "{few}");
    }
}

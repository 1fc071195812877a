//! The rings of the quarantine, from several threads at once: nothing is lost, nothing comes twice.
//!
//! ```text
//!  thread 0: 1 2 3 … ─┐                      ┌─► in hands at the end ─┐
//!  thread 1: 1 2 3 … ─┼─► one lane's slots ──┤                        ├─► each number once
//!  …                  ┘   (swaps)            └─► still in the ring ───┘
//! ```
//!
//! A lane is one cid's, so that threads meet in it only where one of them was interrupted, or where
//! there are no cids. Here they meet all the time.
#![allow(unsafe_code)]

use cidalloc::hardened::rings;
use cidalloc::{hardened, malloc};
use std::sync::Barrier;

const THREADS: usize = 4;
const ENTRIES: usize = 300_000;
const LANE: usize = 5;

/// Where a number came out, and how often.
fn numbers(enter: impl Fn(usize) -> usize + Sync) -> Vec<u8> {
    let together = Barrier::new(THREADS);
    let live = |thread: usize| {
        together.wait();
        let entries = (0..ENTRIES).map(|i| (thread * ENTRIES + i + 1) * 16);
        entries.map(&enter).filter(|&came| came != 0).collect::<Vec<_>>()
    };
    let came = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || live(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panics")).collect::<Vec<_>>()
    });
    let mut times = vec![0; THREADS * ENTRIES];
    let mut count = |number: usize| times[number / 16 - 1] += 1;
    came.into_iter().for_each(&mut count);
    rings::take_each(&mut count);
    times
}

#[test]
fn what_enters_a_ring_comes_out_once_whoever_is_beside() {
    // SAFETY: no other thread runs yet that reads the environment.
    unsafe { std::env::set_var("CIDALLOC_HARDENED", "random,quarantine") };
    assert!(!malloc::alloc(1).is_null() && hardened::is_on());
    for (name, times) in [
        ("small", numbers(|block| rings::enter(LANE, block, 64))),
        ("big", numbers(|block| rings::enter(LANE, block, 20_000))),
        ("mixed", numbers(|block| rings::mix(LANE, block))),
        ("large", numbers(rings::enter_large)),
    ] {
        let wrong = times.iter().filter(|&&times| times != 1).count();
        assert_eq!(wrong, 0, "{name}: numbers of {} lost, or out twice", times.len());
    }
}

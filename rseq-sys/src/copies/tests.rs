//! The sections on this machine's own cids and CPU numbers, and the same operations under leases:
//! each outcome, and conservation under preemption and signals.
extern crate std;

use super::*;
use crate::cs::CID_BITS;
use crate::lease::Lease;
use crate::registration::{Owner, detect, own_offset, register_thread, unregister_thread};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::OnceLock;
use std::vec::Vec;

mod outcomes;
mod storm;
mod through;

const SHIFT: u32 = 12;
/// Where rows begin in the tests: all of them at copy 0, or at no copy that an id alone would lead
/// to.
const ROWS: [[u32; 2]; 2] = [[0, 0], [3, 131]];
const COPIES: usize = 512;
const WORDS: usize = 1 << (SHIFT - 3);

/// Where the copy numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Kernel,
    Cpu,
    Leased,
}

struct World {
    source: Source,
    rows: [u32; 2],
    current: Current,
    registration: Registration,
    /// Copy 0, and behind it the others.
    memory: *mut u64,
}
// SAFETY: the memory is touched by operations, or while their threads are joined.
unsafe impl Sync for World {}

fn feature_size() -> u32 {
    let auxv = std::fs::read("/proc/self/auxv").unwrap();
    let word = |pair: &[u8], i: usize| u64::from_ne_bytes(pair[i..i + 8].try_into().unwrap());
    auxv.chunks_exact(16)
        .find(|pair| word(pair, 0) == crate::abi::AT_RSEQ_FEATURE_SIZE)
        .map_or(0, |pair| word(pair, 8) as u32)
}

/// Worlds for each source that this kernel has: with one row, and with several.
fn worlds() -> Vec<World> {
    static REGISTRATION: OnceLock<Registration> = OnceLock::new();
    let registration = *REGISTRATION.get_or_init(|| detect(feature_size()));
    let mut sources = std::vec![Source::Leased];
    match registration.owner {
        Owner::Nobody => std::eprintln!("skipped: this kernel refuses rseq"),
        _ if !registration.has_mm_cid => {
            std::eprintln!("skipped: this kernel gives no mm_cid");
            sources.push(Source::Cpu);
        }
        _ => sources.extend([Source::Kernel, Source::Cpu]),
    }
    let each = |source| ROWS.map(|rows| World::new(source, rows, registration));
    sources.into_iter().flat_map(each).collect()
}

impl World {
    fn new(source: Source, rows: [u32; 2], registration: Registration) -> Self {
        let table: Vec<u32> = (0..8192).map(|row| rows[row % 2]).collect();
        let current = Current::new(&registration, source == Source::Cpu, table.leak());
        let memory = std::vec![0u64; COPIES * WORDS].leak().as_mut_ptr();
        Self { source, rows, current, registration, memory }
    }

    /// Begins a thread, whose lease is on `cid` of node 1.
    fn enter(&self, cid: u32) {
        match self.source {
            Source::Leased => {
                let lease: &'static Lease =
                    std::boxed::Box::leak(std::boxed::Box::new(Lease::ended()));
                lease.reset(false);
                let base = std::vec![0u64; 1].leak().as_mut_ptr();
                lease.enter().unwrap().bind(1 << CID_BITS | cid, base);
                Lease::set_current(Some(lease));
            }
            _ if self.registration.owner == Owner::Own => {
                assert!(register_thread(self.registration.offset));
            }
            _ => {}
        }
    }

    /// Ends a thread that nobody joins: of musl's it must be.
    fn leave(&self) {
        Lease::set_current(None);
        if self.registration.owner == Owner::Own {
            unregister_thread(self.registration.offset);
        }
    }

    /// The copy of the calling thread now.
    fn number(&self) -> Option<usize> {
        match self.source {
            // SAFETY: the world's own offsets and rows.
            Source::Kernel | Source::Cpu => unsafe { self.current.number() },
            Source::Leased => {
                let number = |n| n;
                // SAFETY: as above; the thread's lease.
                unsafe { Lease::current().unwrap().on_copy(&self.current, number) }
            }
        }
    }

    /// Word `i` in copy 0.
    fn word(&self, i: usize) -> *mut u64 {
        assert!(i < WORDS);
        self.memory.wrapping_add(i)
    }

    /// Word `i` of copy `number`.
    fn at(&self, number: usize, i: usize) -> &AtomicU64 {
        // SAFETY: within the memory, which lives for ever.
        unsafe { AtomicU64::from_ptr(self.memory.wrapping_add(number * WORDS + i)) }
    }

    fn sum(&self, i: usize) -> u64 {
        (0..COPIES).map(|number| self.at(number, i).load(Relaxed)).sum()
    }

    fn clear(&self) {
        for number in 0..COPIES {
            (0..WORDS).for_each(|i| self.at(number, i).store(0, Relaxed));
        }
    }
}

/// An operation of the world's source: on `$world`, its arguments as the sections have them.
macro_rules! perform {
    ($world:expr, $operation:ident, $($argument:expr),+) => {
        // SAFETY: words of the world, which has a copy for each number.
        unsafe {
            let world: &World = $world;
            match world.source {
                Source::Kernel | Source::Cpu => {
                    $operation(&world.current, SHIFT, $($argument),+)
                }
                Source::Leased => {
                    let lease = Lease::current().unwrap();
                    leased::$operation(lease, &world.current, SHIFT, $($argument),+)
                }
            }
        }
    };
}
use perform;

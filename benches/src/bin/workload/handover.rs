//! Producers allocate, consumers free (xmalloc's pattern).
//!
//! ```text
//!   producers ── full ring: crates of 512 blocks ──▶ consumers
//!       ▲                                               │
//!       └────────────── empty ring: crates ─────────────┘
//! ```
//!
//! The crates are fixed, so the queues are bounded and never allocate; they are large,
//! so that waking threads up does not drown the allocator's part.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::heap::Tagged;
use crate::meter::{Timed, race};
use crate::rng::{Rng, Sizes};
use crate::table::Table;

const CRATES: usize = 32;
const BLOCKS: usize = 512;

type Crate = [Option<Tagged>; BLOCKS];

/// A ring of crate numbers; it has room for all crates and so is never full.
struct Ring {
    items: Mutex<([usize; CRATES], usize, usize)>,
    arrived: Condvar,
}

impl Ring {
    fn new(filled: usize) -> Self {
        let items = core::array::from_fn(|i| i);
        Self { items: Mutex::new((items, 0, filled)), arrived: Condvar::new() }
    }

    fn push(&self, item: usize) {
        let mut ring = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let (items, head, len) = &mut *ring;
        items[(*head + *len) % CRATES] = item;
        *len += 1;
        drop(ring);
        self.arrived.notify_one();
    }

    fn pop(&self) -> usize {
        let ring = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.arrived.wait_while(ring, |(_, _, len)| *len == 0);
        let mut ring = waited.unwrap_or_else(PoisonError::into_inner);
        let (items, head, len) = &mut *ring;
        let item = items[*head];
        *head = (*head + 1) % CRATES;
        *len -= 1;
        item
    }
}

pub(crate) fn run(producers: usize, consumers: usize, ops: u64) -> Timed {
    let sizes = Sizes::log_uniform(16, 1024);
    let crates: Table<Mutex<Crate>> = Table::new(CRATES, |_| Mutex::new([const { None }; BLOCKS]));
    let (empty, full) = (Ring::new(CRATES), Ring::new(0));
    let total = (ops / BLOCKS as u64).max(1);
    let (filled, emptied) = (AtomicU64::new(0), AtomicU64::new(0));
    let fill = |rng: &mut Rng| {
        let number = empty.pop();
        let mut blocks = crates[number].lock().unwrap_or_else(PoisonError::into_inner);
        blocks.iter_mut().for_each(|slot| *slot = Some(Tagged::new(sizes.draw(rng))));
        drop(blocks);
        full.push(number);
        BLOCKS as u64
    };
    let clear = || {
        let number = full.pop();
        let mut blocks = crates[number].lock().unwrap_or_else(PoisonError::into_inner);
        blocks.iter_mut().for_each(|slot| *slot = None);
        drop(blocks);
        empty.push(number);
    };
    race(producers + consumers, Rng::new, |index, rng| {
        let mut ops = 0;
        if index < producers {
            while filled.fetch_add(1, Relaxed) < total {
                ops += fill(rng);
            }
        } else {
            while emptied.fetch_add(1, Relaxed) < total {
                clear();
            }
        }
        ops
    })
}

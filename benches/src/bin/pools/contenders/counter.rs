//! Adding 1 to a counter.
//!
//! ```text
//!   one AtomicU64    │ per CPU         │ per thread    │ thread_local!   │ per cid
//!   ┌───┐            │ ┌───┐ ┌───┐     │ ┌───┐ ┌───┐   │ ┌───┐ ┌───┐     │ ┌───┐ ┌───┐
//!   │ ▲ │ lock add   │ │ ▲ │ │   │     │ │ ▲ │ │   │   │ │ ▲ │ │   │     │ │ ▲ │ │   │
//!   └─┼─┘            │ └─┼─┘ └───┘     │ └─┼─┘ └───┘   │ └─┼─┘ └───┘     │ └─┼─┘ └───┘
//!  all threads       │ sched_getcpu,   │ lock add      │  add            │  add in a section
//!                    │ lock add        │               │  nobody else sees the sum
//! ```
//!
//! Cells of the arrays do not share cache lines.

use core::arch::asm;
use core::cell::Cell;
use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use cidpool::{Counter, PerCid, field};
use crossbeam_utils::CachePadded;

use crate::threads::{Cost, Load};

pub(super) fn atomic(load: Load) -> Cost {
    let cell = CachePadded::new(AtomicU64::new(0));
    load.run(|_| (), |()| _ = cell.fetch_add(1, Relaxed))
}

fn cells(count: usize) -> Vec<CachePadded<AtomicU64>> {
    (0..count).map(|_| CachePadded::new(AtomicU64::new(0))).collect()
}

pub(super) fn atomic_per_cpu(load: Load) -> Cost {
    // SAFETY: reads a constant of the system.
    let possible = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
    let cells = cells(usize::try_from(possible).unwrap_or(1));
    load.run(
        |_| (),
        |()| {
            // SAFETY: no preconditions.
            let cpu = unsafe { libc::sched_getcpu() };
            if let Some(cell) = cells.get(cpu as usize) {
                cell.fetch_add(1, Relaxed);
            }
        },
    )
}

/// The least that an atomic can cost: its line is never elsewhere.
pub(super) fn atomic_per_thread(load: Load) -> Cost {
    let cells = cells(load.threads);
    load.run(|number| &*cells[number], |cell| _ = cell.fetch_add(1, Relaxed))
}

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

pub(super) fn thread_local(load: Load) -> Cost {
    load.run(
        // Once its address is known elsewhere, each store may be looked at.
        |_| COUNT.with(|count| _ = black_box(count)),
        |()| {
            COUNT.with(|count| count.set(count.get() + 1));
            // SAFETY: no instruction at all: whatever is in memory may be read or written here, so the
            // count has to be there.
            unsafe { asm!("", options(nostack, preserves_flags)) };
        },
    )
}

/// As a program has it: as long as one thread adds, an atomic.
pub(super) fn counter(load: Load) -> Cost {
    let counter = Counter::new();
    load.run(|_| (), |()| counter.increment())
}

/// With a copy per cid from the beginning.
pub(super) fn spread(load: Load) -> Cost {
    let counter = Counter::new();
    counter.spread().unwrap_or_else(|error| panic!("no copies: {error}"));
    load.run(|_| (), |()| counter.increment())
}

/// A word of a program's own pool: without the counter's way out where there is no cid.
pub(super) fn word(load: Load) -> Cost {
    let pool = super::pool(size_of::<u64>());
    let count = PerCid::<u64>::new(&pool).unwrap_or_else(|error| panic!("no item: {error}"));
    load.run(|_| (), |()| _ = count.word(field!(u64)).add(1))
}

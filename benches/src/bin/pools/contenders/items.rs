//! Allocating an item of a pool, and freeing it.
//!
//! ```text
//!   Mutex<pool>   lock, pop an address, unlock ─► lock, push it, unlock       as librseq's pools do
//!   Pool          an item of the current cid's group ─► back into it
//! ```

use core::hint::black_box;
use std::sync::Mutex;

use cidpool::{AllocateError, Item, Pool};

use crate::threads::{Cost, Load};

const ITEM: usize = 64;
/// Items of a mutex-guarded pool.
const ITEMS: usize = 1024;
/// Items of a bulk allocation.
const BULK: usize = 32;

fn of(allocated: Result<Item, AllocateError>) -> Item {
    allocated.unwrap_or_else(|error| panic!("no item: {error}"))
}

pub(super) fn mutex(load: Load) -> Cost {
    let pool = Mutex::new((0..ITEMS).map(|n| n * ITEM).collect::<Vec<_>>());
    let locked = || pool.lock().unwrap_or_else(|_| panic!("a contender panicked"));
    load.run(
        |_| (),
        |()| {
            let item = black_box(locked().pop());
            if let Some(item) = item {
                locked().push(item);
            }
        },
    )
}

fn free(pool: &Pool, item: Item) {
    // SAFETY: just allocated, and in nobody else's hands.
    unsafe { pool.free(black_box(item)) };
}

pub(super) fn pool(load: Load) -> Cost {
    let pool = super::pool(ITEM);
    load.run(|_| (), |()| free(&pool, of(pool.allocate())))
}

pub(super) fn zeroed(load: Load) -> Cost {
    let pool = super::pool(ITEM);
    load.run(|_| (), |()| free(&pool, of(pool.allocate_zeroed())))
}

/// The cost of each item of many.
pub(super) fn many(load: Load) -> Cost {
    let pool = super::pool(ITEM);
    let cost = load.run(
        |_| Vec::with_capacity(BULK),
        |items| {
            items.clear();
            if let Err(error) = pool.allocate_many(BULK, items) {
                panic!("no items: {error}");
            }
            // SAFETY: as in `free`.
            unsafe { pool.free_many(black_box(items)) };
        },
    );
    Cost { wall_ns: cost.wall_ns / BULK as f64, cpu_ns: cost.cpu_ns / BULK as f64 }
}

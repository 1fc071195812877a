//! Hoard's tests for false sharing: does the allocator put blocks of two threads on one
//! cache line?
//!
//! cache-thrash: each thread allocates 8 bytes, writes them 100 times, frees them.
//! cache-scratch: the same, but the first block of each thread was allocated by main
//! next to the others', so that an allocator which reuses it locally keeps sharing.

use std::sync::{Mutex, PoisonError};

use crate::heap::Block;
use crate::meter::{Timed, race};
use crate::table::Table;

const WRITES: u8 = 100;

pub(crate) fn run(threads: usize, scratch: bool, ops: u64) -> Timed {
    let each = ops / threads as u64;
    let gifts = Table::new(threads, |_| Mutex::new(scratch.then(|| Block::touched(8))));
    race(
        threads,
        |index| {
            let gift = gifts[index].lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(gift);
        },
        |_, ()| {
            for _ in 0..each {
                let block = Block::malloc(8);
                for i in 0..WRITES {
                    // SAFETY: the block has 8 bytes; volatile, so that each write happens.
                    unsafe {
                        let old = block.as_ptr().read_volatile();
                        block.as_ptr().write_volatile(old.wrapping_add(i));
                    }
                }
            }
            each
        },
    )
}

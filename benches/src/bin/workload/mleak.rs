//! mimalloc's mleak in short: short-lived threads, ten at a time, each of which leaves
//! one block on a shared board and frees the one that it finds there. The block outlives
//! its thread, and what the allocator keeps for the dead must not pile up.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::heap::Block;
use crate::meter::{Timed, timed};
use crate::rng::Rng;
use crate::table::Table;
use crate::threads::{Handle, start};

const BOARD: usize = 1_000;
const SIZE: usize = 128;
const STACK: usize = 64 << 10;

fn exchange(place: &AtomicPtr<u8>, ours: *mut u8) {
    let theirs = NonNull::new(place.swap(ours, Ordering::AcqRel));
    // SAFETY: only `into_raw` fills the board, and the swap made it ours alone.
    drop(theirs.map(|pointer| unsafe { Block::from_raw(pointer) }));
}

pub(crate) fn run(alive: usize, ops: u64) -> Timed {
    let board: Table<AtomicPtr<u8>> = Table::new(BOARD, |_| AtomicPtr::new(core::ptr::null_mut()));
    let next = AtomicUsize::new(0);
    let job = || {
        let mut rng = Rng::new(next.fetch_add(1, Ordering::Relaxed));
        let block = Block::calloc(SIZE);
        exchange(&board[rng.below(BOARD)], block.into_raw().as_ptr());
    };
    let mut running: Table<Option<Handle>> = Table::new(alive, |_| None);
    let time = timed(|| {
        for _ in 0..ops / alive as u64 {
            for slot in running.iter_mut() {
                // SAFETY: joined below, before `job` goes.
                *slot = Some(unsafe { start(&raw const job, STACK) });
            }
            running.iter_mut().filter_map(Option::take).for_each(Handle::join);
        }
        ops / alive as u64 * alive as u64
    });
    board.iter().for_each(|place| exchange(place, core::ptr::null_mut()));
    time
}

//! mimalloc's `test-stress`, in short: uneven threads that allocate arrays, keep some,
//! free at random, and exchange others through a shared board; repeated with new threads.
//!
//! ```text
//!   item  [n ^ C][n-1 ^ C] … [1 ^ C]   n words, every word checked when freed
//!   board 1,000 atomic pointers; a thread swaps one of its items for what lies there
//! ```

use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use crate::heap::Block;
use crate::meter::{Timed, timed};
use crate::proc::die;
use crate::rng::Rng;
use crate::table::Table;
use crate::threads::crew;

const BOARD: usize = 1_000;
const ROUNDS: u64 = 4;
const COOKIE: u64 = 0xbf58_476d_1ce4_e5b9;

struct Item(Block);

impl Item {
    fn new(mut words: usize, rng: &mut Rng) -> Self {
        // One in 100 is large, one in 1,000 huge, one in 10,000 gigantic.
        if rng.chance(1) {
            words *= match rng.below(100) {
                0 => 10_000,
                1..=10 => 1_000,
                _ => 100,
            };
        }
        let block = Block::calloc(words * 8);
        let base = block.as_ptr().cast::<u64>();
        for i in 0..words {
            // SAFETY: the block has `words` words.
            unsafe { base.add(i).write((words - i) as u64 ^ COOKIE) };
        }
        Self(block)
    }

    fn into_raw(self) -> *mut u8 {
        self.check();
        let pointer = self.0.as_ptr();
        core::mem::forget(self);
        pointer
    }

    /// # Safety
    /// `pointer` is null or came from `into_raw`, and was taken from the board.
    unsafe fn from_raw(pointer: *mut u8) -> Option<Self> {
        // SAFETY: the caller's promise.
        NonNull::new(pointer).map(|pointer| Self(unsafe { Block::from_raw(pointer) }))
    }

    fn check(&self) {
        let base = self.0.as_ptr().cast::<u64>();
        // SAFETY: the first word of an item tells its length; all of it is ours.
        unsafe {
            let words = base.read() ^ COOKIE;
            if words == 0 || words > 1 << 24 {
                die("mstress: the first word of a live item was overwritten");
            }
            for i in 0..words as usize {
                if base.add(i).read() != (words - i as u64) ^ COOKIE {
                    die("mstress: a word of a live item was overwritten");
                }
            }
        }
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.check();
    }
}

type Board = Table<AtomicPtr<u8>>;

/// One thread's round: `allocs` short-lived items and half as many that stay to its end.
fn stress(index: usize, allocs: usize, board: &Board) -> u64 {
    let mut rng = Rng::new(index);
    let mut items: Table<Option<Item>> = Table::new(allocs, |_| None);
    let mut retained: Table<Option<Item>> = Table::new(allocs / 2, |_| None);
    let (mut made, mut kept) = (0, 0);
    while made < items.len() || kept < retained.len() {
        if kept == retained.len() || (made < items.len() && rng.chance(50)) {
            let words = 1 << rng.below(5);
            items[made] = Some(Item::new(words, &mut rng));
            made += 1;
        } else {
            let words = 1 << rng.below(7);
            retained[kept] = Some(Item::new(words, &mut rng));
            kept += 1;
        }
        if made > 0 && rng.chance(66) {
            items[rng.below(made)] = None;
        }
        if made > 0 && rng.chance(25) {
            let slot = rng.below(made);
            let ours = items[slot].take().map_or(core::ptr::null_mut(), Item::into_raw);
            let theirs = board[rng.below(BOARD)].swap(ours, Ordering::AcqRel);
            // SAFETY: only `into_raw` fills the board, and the swap made it ours alone.
            items[slot] = unsafe { Item::from_raw(theirs) };
        }
    }
    (made + kept) as u64
}

fn clear(board: &Board, step: usize) {
    for slot in board.iter().step_by(step) {
        // SAFETY: as in `stress`.
        drop(unsafe { Item::from_raw(slot.swap(core::ptr::null_mut(), Ordering::AcqRel)) });
    }
}

pub(crate) fn run(threads: usize, ops: u64) -> Timed {
    let board: Board = Table::new(BOARD, |_| AtomicPtr::new(core::ptr::null_mut()));
    // Thread i works (i % 8 + 1) shares; every share is 3 half-shares of items.
    let shares: u64 = (0..threads as u64).map(|i| i % 8 + 1).sum();
    let share = (ops * 2 / 3 / ROUNDS / shares).max(2);
    let time = timed(|| {
        let done = AtomicU64::new(0);
        for _ in 0..ROUNDS {
            crew(threads, |index| {
                let allocs = share as usize * (index % 8 + 1);
                done.fetch_add(stress(index, allocs, &board), Ordering::Relaxed);
            });
            clear(&board, 2);
        }
        done.into_inner()
    });
    clear(&board, 1);
    time
}

//! MicroQuill's SmartHeap tests, in short.
//!
//! ```text
//!   buffer  [ freed upwards ▲ | kept this time | freed downwards ▼ ]
//! ```
//!
//! sh6: sizes cycle upwards, small ones more often; when the buffer is full all blocks
//! but a window that moves round it are freed, the lower part in order, the upper part
//! in reverse. sh8: random sizes, and a third of each thread's blocks go over a shared
//! board to be freed by whoever takes them.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::heap::Block;
use crate::meter::{Timed, race};
use crate::rng::{Rng, Sizes};
use crate::table::Table;

/// Blocks that all threads hold together, at most.
const HELD: usize = 200_000;
const SIZE_MAX: usize = 1_000;

type Buffer = Table<Option<Block>>;

struct Cycle {
    size: usize,
    left: usize,
}

impl Cycle {
    fn next(&mut self) -> usize {
        if self.left == 0 {
            self.size = self.size % SIZE_MAX + 1;
            self.left = match self.size {
                1..=64 => 10,
                65..=256 => 5,
                _ => 1,
            };
        }
        self.left -= 1;
        self.size
    }
}

pub(crate) fn sh6(threads: usize, ops: u64) -> Timed {
    let each = ops / threads as u64;
    let len = HELD / threads;
    race(
        threads,
        |index| (Buffer::new(len, |_| None), Cycle { size: index * 97 % SIZE_MAX, left: 0 }),
        |_, (buffer, cycle)| {
            let (mut done, mut window) = (0, 0);
            while done < each {
                for slot in buffer.iter_mut().filter(|slot| slot.is_none()) {
                    *slot = Some(Block::touched(cycle.next()));
                    done += 1;
                }
                let (low, high) = (window, (window + len / 5).min(len));
                buffer[..low].iter_mut().for_each(|slot| *slot = None);
                buffer[high..].iter_mut().rev().for_each(|slot| *slot = None);
                window = if high == len { 0 } else { high };
            }
            done
        },
    )
}

pub(crate) fn sh8(threads: usize, ops: u64) -> Timed {
    let each = ops / threads as u64;
    let len = HELD / threads;
    let sizes = Sizes::log_uniform(8, 1024);
    let board: Table<AtomicPtr<u8>> =
        Table::new(HELD / 3, |_| AtomicPtr::new(core::ptr::null_mut()));
    let swap = |rng: &mut Rng, ours: Option<Block>| {
        let ours = ours.map_or(core::ptr::null_mut(), |block| block.into_raw().as_ptr());
        let theirs = board[rng.below(board.len())].swap(ours, Ordering::AcqRel);
        // SAFETY: only `into_raw` fills the board, and the swap made it ours alone.
        NonNull::new(theirs).map(|pointer| unsafe { Block::from_raw(pointer) })
    };
    let time = race(
        threads,
        |index| (Rng::new(index), Buffer::new(len, |_| None)),
        |_, (rng, buffer)| {
            let mut done = 0;
            while done < each {
                for slot in buffer.iter_mut() {
                    *slot = Some(Block::touched(sizes.draw(rng)));
                    done += 1;
                }
                for slot in buffer.iter_mut().step_by(3) {
                    *slot = swap(rng, slot.take());
                }
                // Freed from both ends to the middle.
                let (low, high) = buffer.split_at_mut(len / 2);
                for (a, b) in low.iter_mut().zip(high.iter_mut().rev()) {
                    *a = None;
                    *b = None;
                }
                buffer[len / 2] = None;
            }
            done
        },
    );
    for slot in board.iter() {
        let left = NonNull::new(slot.swap(core::ptr::null_mut(), Ordering::AcqRel));
        // SAFETY: as in `swap`.
        drop(left.map(|pointer| unsafe { Block::from_raw(pointer) }));
    }
    time
}

//! `malloc` and `free` of one size, again and again: the length of the fast paths.

use crate::heap::Block;
use crate::meter::{Timed, race};

pub(crate) fn run(size: usize, threads: usize, ops: u64) -> Timed {
    let each = ops / threads as u64;
    let pairs = |count| (0..count).for_each(|_| drop(Block::touched(size)));
    race(
        threads,
        |_| pairs(each / 100),
        |_, ()| {
            pairs(each);
            each
        },
    )
}

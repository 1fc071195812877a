//! `posix_memalign` with sizes of 16..4096 bytes, 1,000 live; each step replaces one.

use crate::heap::Block;
use crate::meter::{Timed, timed};
use crate::rng::{Rng, Sizes};
use crate::table::Table;

const LIVE: usize = 1_000;

pub(crate) fn run(align: usize, ops: u64) -> Timed {
    let sizes = Sizes::log_uniform(16, 4096);
    let mut rng = Rng::new(align);
    let make = |rng: &mut Rng| {
        let block = Block::aligned(align, sizes.draw(rng));
        // SAFETY: the block has at least 16 bytes.
        unsafe { block.as_ptr().write_volatile(1) };
        block
    };
    let mut slots = Table::new(LIVE, |_| Some(make(&mut rng)));
    timed(|| {
        for _ in 0..ops {
            let slot = rng.below(LIVE);
            slots[slot] = None;
            slots[slot] = Some(make(&mut rng));
        }
        ops
    })
}

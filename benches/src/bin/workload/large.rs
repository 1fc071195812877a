//! Large blocks: 40 KiB to 4 MiB, log-uniform, 100 of them live; each step replaces one.
//! `touch` writes the first byte of every 4 KiB page, as reading a file into it would.

use crate::heap::Block;
use crate::meter::{Timed, timed};
use crate::rng::{Rng, Sizes};
use crate::table::Table;

const LIVE: usize = 100;

pub(crate) fn run(touch: bool, ops: u64) -> Timed {
    let sizes = Sizes::log_uniform(40 << 10, 4 << 20);
    let mut rng = Rng::new(0);
    let make = |rng: &mut Rng| {
        let size = sizes.draw(rng);
        let block = Block::malloc(size);
        if touch {
            for at in (0..size).step_by(4096) {
                // SAFETY: `at` lies within the block.
                unsafe { block.as_ptr().add(at).write_volatile(1) };
            }
        }
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

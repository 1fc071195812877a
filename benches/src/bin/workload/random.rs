//! Random sizes with random lifetimes: 10,000 slots in all, shared out over the
//! threads; each step replaces the block of one random slot.

use cidalloc_benches::catalog::Mix;

use crate::heap::Tagged;
use crate::meter::{Timed, race};
use crate::rng::{Rng, Sizes};
use crate::table::Table;

const SLOTS: usize = 10_000;

pub(crate) fn run(mix: Mix, threads: usize, ops: u64) -> Timed {
    let sizes = Sizes::of(mix);
    let steps = ops / threads as u64;
    race(
        threads,
        |index| {
            let mut rng = Rng::new(index);
            let slots = Table::new(SLOTS / threads, |_| Some(Tagged::new(sizes.draw(&mut rng))));
            (rng, slots)
        },
        |_, (rng, slots)| {
            for _ in 0..steps {
                let slot = rng.below(slots.len());
                slots[slot] = None;
                slots[slot] = Some(Tagged::new(sizes.draw(rng)));
            }
            steps
        },
    )
}

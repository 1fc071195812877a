//! A server as Larson and Krishnan saw it: a thread replaces random blocks of its
//! array, then dies and leaves the array to its successor, which frees what it did not
//! allocate.
//!
//! ```text
//!   main fills every line's 5,000 slots
//!   line 0: thread ─▶ thread ─▶ thread …   each does `steps` replacements
//!   line 1: thread ─▶ thread ─▶ thread …
//! ```

use std::sync::{Mutex, PoisonError};

use crate::heap::Tagged;
use crate::meter::{Timed, timed};
use crate::rng::{Rng, Sizes};
use crate::table::Table;
use crate::threads::{Job, Tally, start};

const SLOTS: usize = 5_000;
/// Replacements of a generation, so that the start of threads does not drown them.
const STEPS: u64 = 10_000;
const GENERATIONS_MAX: u64 = 20;

struct Estate {
    rng: Rng,
    slots: Table<Option<Tagged>>,
    left: u64,
}

struct Line<'a> {
    estate: Mutex<Estate>,
    sizes: &'a Sizes,
    steps: u64,
}

/// Static, since the last thread may still be leaving `add` when `run` returns.
static ENDED: Tally = Tally::new(0);

impl Job for Line<'_> {
    /// One generation; starts the next before it ends.
    fn run(&self) {
        let mut estate = self.estate.lock().unwrap_or_else(PoisonError::into_inner);
        let Estate { rng, slots, left } = &mut *estate;
        for _ in 0..self.steps {
            let slot = rng.below(slots.len());
            slots[slot] = None;
            slots[slot] = Some(Tagged::new(self.sizes.draw(rng)));
        }
        *left -= 1;
        let last = *left == 0;
        drop(estate);
        if last {
            ENDED.add(1);
        } else {
            begin(self);
        }
    }
}

fn begin(line: &Line<'_>) {
    // SAFETY: `run` below keeps its lines until all of them have ended, and a thread
    // that has started its successor or ended its line does not look at it again.
    unsafe { start(line, 0) }.detach();
}

pub(crate) fn run(threads: usize, ops: u64) -> Timed {
    let sizes = Sizes::log_uniform(8, 1000);
    let each = ops / threads as u64;
    let generations = (each / STEPS).clamp(2, GENERATIONS_MAX);
    let steps = (each / generations).max(1);
    let lines = Table::new(threads, |index| {
        let mut rng = Rng::new(index);
        let slots = Table::new(SLOTS, |_| Some(Tagged::new(sizes.draw(&mut rng))));
        let estate = Mutex::new(Estate { rng, slots, left: generations });
        Line { estate, sizes: &sizes, steps }
    });
    timed(|| {
        lines.iter().for_each(begin);
        ENDED.await_at_least(threads);
        steps * generations * threads as u64
    })
}

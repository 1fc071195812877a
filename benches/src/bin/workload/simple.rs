//! A few blocks of one size, then all freed in the same order; size after size, in a
//! process with one thread or with a second one that waits.

use crate::heap::Block;
use crate::meter::{Timed, timed};
use crate::table::Table;
use crate::threads::{Tally, start};

const SIZES: [usize; 6] = [16, 32, 64, 128, 256, 512];

pub(crate) fn run(count: usize, company: bool, ops: u64) -> Timed {
    let (arrived, end) = (Tally::new(0), Tally::new(0));
    let wait = || {
        arrived.add(1);
        end.await_at_least(1);
    };
    // SAFETY: joined below, before `wait` goes.
    let second = company.then(|| unsafe { start(&raw const wait, 0) });
    if second.is_some() {
        arrived.await_at_least(1);
    }
    let mut blocks: Table<Option<Block>> = Table::new(count, |_| None);
    let mut once = |size| {
        blocks.iter_mut().for_each(|slot| *slot = Some(Block::touched(size)));
        blocks.iter_mut().for_each(|slot| *slot = None);
    };
    SIZES.iter().for_each(|&size| once(size));
    let rounds = (ops / (count * SIZES.len()) as u64).max(1);
    let time = timed(|| {
        for size in SIZES {
            (0..rounds).for_each(|_| once(size));
        }
        rounds * (count * SIZES.len()) as u64
    });
    end.add(1);
    if let Some(second) = second {
        second.join();
    }
    time
}

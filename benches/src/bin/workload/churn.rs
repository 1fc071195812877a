//! Short-lived threads: each allocates 100 blocks, frees them and ends; at most four are
//! alive at a time. Shows what an allocator does at thread start and exit.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::heap::Tagged;
use crate::meter::{Timed, timed};
use crate::rng::{Rng, Sizes};
use crate::table::Table;
use crate::threads::{Handle, start};

const STACK: usize = 64 << 10;

pub(crate) fn run(alive: usize, ops: u64) -> Timed {
    let sizes = Sizes::log_uniform(16, 1024);
    let next = AtomicUsize::new(0);
    let job = || {
        let mut rng = Rng::new(next.fetch_add(1, Ordering::Relaxed));
        let blocks: [Tagged; 100] = core::array::from_fn(|_| Tagged::new(sizes.draw(&mut rng)));
        drop(blocks);
    };
    let mut running: Table<Option<Handle>> = Table::new(alive, |_| None);
    timed(|| {
        for i in 0..ops as usize {
            let slot = &mut running[i % alive];
            slot.take().into_iter().for_each(Handle::join);
            // SAFETY: every thread is joined before `job` goes, here or below.
            *slot = Some(unsafe { start(&raw const job, STACK) });
        }
        running.iter_mut().filter_map(Option::take).for_each(Handle::join);
        ops
    })
}

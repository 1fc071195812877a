//! A peak of 512 MiB in small blocks, all freed: does the memory go back to the system?
//! Taken at the peak, right after the frees, after 2 s with a few allocations every
//! 10 ms, and after 2 more seconds without any. A smaller scale makes the peak lower and
//! the phases shorter, down to a quarter of each.

use core::time::Duration;
use std::thread::sleep;
use std::time::Instant;

use crate::heap::{Chain, Tagged};
use crate::proc::rss_kib;
use crate::rng::{Rng, Sizes};

const BYTES: usize = 512 << 20;
const PHASE: Duration = Duration::from_secs(2);

/// Calls `report` with a name, the resident set in KiB and the KiB held at that moment.
pub(crate) fn run(scale: f64, mut report: impl FnMut(&str, u64, u64)) {
    let scale = scale.clamp(0.25, 1.0);
    let (peak, phase) = ((BYTES as f64 * scale) as usize, PHASE.mul_f64(scale));
    let sizes = Sizes::log_uniform(16, 1024);
    let mut rng = Rng::new(0);
    // Blocks go to random chains, and the chains are freed one by one: neighbours in
    // memory die at different times.
    let mut chains = [const { Chain::new() }; 16];
    let mut asked = 0;
    while asked < peak {
        let size = sizes.draw(&mut rng);
        chains[rng.below(16)].grow(size);
        asked += size;
    }
    report("burst/peak", rss_kib(), (asked >> 10) as u64);
    drop(chains);
    report("burst/freed", rss_kib(), 0);
    let start = Instant::now();
    while start.elapsed() < phase {
        drop::<[Tagged; 4]>(core::array::from_fn(|_| Tagged::new(sizes.draw(&mut rng))));
        sleep(Duration::from_millis(10));
    }
    report("burst/trickle", rss_kib(), 0);
    sleep(phase);
    report("burst/idle", rss_kib(), 0);
}

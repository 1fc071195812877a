//! Fragmentation over time: the live bytes stay the same while their sizes drift.
//!
//! ```text
//!   size  4096 ┤      ▒▒▒▒            ▒▒▒▒          a window of one to eight
//!              │   ▒▒▒▒  ▒▒▒▒      ▒▒▒▒  ▒▒▒▒       moves up and down twice
//!           32 ┤▒▒▒▒        ▒▒▒▒▒▒▒▒        ▒▒▒▒
//!              └──────── bytes allocated ────────▶
//!   short  most blocks: a random one goes when the live bytes exceed their share
//!   long   one block in 16: the oldest goes, so that these outlast whole windows
//! ```
//!
//! Each of several threads starts at another place of the cycle: what one frees in small
//! sizes has to serve another's large ones. The tables of the workload are left out of
//! the figure.

use std::sync::{Mutex, PoisonError};

use crate::heap::{Chain, Tagged};
use crate::meter::race;
use crate::proc::rss_kib;
use crate::rng::{Rng, Sizes};
use crate::table::Table;

/// Live bytes of all threads together.
const LIVE: usize = 48 << 20;
/// Share of the live bytes that is long-lived.
const LONG: usize = 8;
/// How often the live bytes are replaced in a whole run.
const TURNOVERS: f64 = 24.0;
const CYCLES: f64 = 2.0;
const SMALLEST: f64 = 32.0;
const LARGEST: f64 = 4096.0;
const WINDOW: f64 = 8.0;
/// Distributions are made anew this often: a sixteenth of a way up or down each.
const STAGES: usize = 64;

/// What the process held and what it took, in KiB.
pub(crate) struct Fragmentation {
    /// Mean over the last cycle.
    pub(crate) rss_kib: u64,
    pub(crate) live_kib: u64,
    /// After everything was freed.
    pub(crate) freed_kib: u64,
}

/// The window of sizes at a place of the cycle, 0 to 1 and on.
fn window(place: f64) -> (u32, u32) {
    let way = 1.0 - (place.fract() * 2.0 - 1.0).abs();
    let low = SMALLEST * (LARGEST / WINDOW / SMALLEST).powf(way);
    (low.round() as u32, (low * WINDOW).round() as u32)
}

/// One thread's live set.
struct Live {
    rng: Rng,
    short: Table<Option<Tagged>>,
    count: usize,
    short_bytes: usize,
    long: Chain,
    long_bytes: usize,
    bytes: usize,
}

impl Live {
    fn new(index: usize, bytes: usize) -> Self {
        // The smallest mean of a window is some three times its lower bound.
        let most = bytes / SMALLEST as usize;
        Self {
            rng: Rng::new(index),
            short: Table::new(most, |_| None),
            count: 0,
            short_bytes: 0,
            long: Chain::new(),
            long_bytes: 0,
            bytes,
        }
    }

    /// Replaces about one block; returns its size.
    fn step(&mut self, sizes: &Sizes) -> usize {
        let size = sizes.draw(&mut self.rng);
        if self.rng.below(16) == 0 {
            // The size is kept in the block itself, behind the link.
            self.long.grow_sized(size);
            self.long_bytes += size;
            while self.long_bytes > self.bytes / LONG {
                self.long_bytes -= self.long.pop_sized();
            }
            return size;
        }
        while self.count == self.short.len()
            || self.short_bytes + size > self.bytes - self.bytes / LONG
        {
            let victim = self.rng.below(self.count);
            self.count -= 1;
            self.short.swap(victim, self.count);
            self.short_bytes -= self.short[self.count].take().map_or(0, |block| block.len());
        }
        let mut block = Tagged::new(size);
        block.fill();
        self.short[self.count] = Some(block);
        self.count += 1;
        self.short_bytes += size;
        size
    }
}

pub(crate) fn run(threads: usize, scale: f64) -> Fragmentation {
    let live = LIVE / threads;
    let stage_bytes = (live as f64 * TURNOVERS * scale / STAGES as f64) as usize;
    let samples = Mutex::new((0, 0));
    let held = Mutex::new((0, 0));
    race(
        threads,
        |index| {
            let mut state = Live::new(index, live);
            // Filled before the first sample.
            let (low, high) = window(index as f64 / threads as f64);
            let sizes = Sizes::log_uniform(low, high);
            let mut filled = 0;
            while filled < live {
                filled += state.step(&sizes);
            }
            state
        },
        |index, state| {
            let mut done = 0;
            for stage in 0..STAGES {
                let place = stage as f64 / STAGES as f64 * CYCLES + index as f64 / threads as f64;
                let (low, high) = window(place);
                let sizes = Sizes::log_uniform(low, high);
                let mut allocated = 0;
                while allocated < stage_bytes {
                    allocated += state.step(&sizes);
                    done += 1;
                }
                if index == 0 && stage >= STAGES / 2 {
                    let mut samples = samples.lock().unwrap_or_else(PoisonError::into_inner);
                    samples.0 += rss_kib();
                    samples.1 += 1;
                }
            }
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            held.0 += state.short_bytes + state.long_bytes;
            held.1 += state.short.len() * size_of::<Option<Tagged>>();
            done
        },
    );
    let (sum, count) = samples.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (live, tables) = held.into_inner().unwrap_or_else(PoisonError::into_inner);
    Fragmentation {
        rss_kib: (sum / count).saturating_sub((tables >> 10) as u64),
        live_kib: (live >> 10) as u64,
        freed_kib: rss_kib(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_goes_up_and_down_within_its_bounds() {
        assert_eq!(window(0.0), (32, 256));
        assert_eq!(window(0.5), (512, 4096));
        assert_eq!(window(1.25), window(0.75));
        for i in 0..100 {
            let (low, high) = window(f64::from(i) / 37.0);
            assert!(low >= 32 && high <= 4096 && high >= low * 7, "{low}..{high}");
        }
    }

    #[test]
    fn the_live_bytes_stay_while_sizes_drift() {
        let mut live = Live::new(1, 1 << 20);
        for place in [0.0, 0.2, 0.5, 0.8] {
            let (low, high) = window(place);
            let sizes = Sizes::log_uniform(low, high);
            let mut turned = 0;
            while turned < 4 << 20 {
                turned += live.step(&sizes);
            }
            let held = live.short_bytes + live.long_bytes;
            assert!((950_000..=1 << 20).contains(&held), "{place}: {held}");
            let counted: usize = live.short.iter().flatten().map(Tagged::len).sum();
            assert_eq!(counted, live.short_bytes);
        }
    }
}

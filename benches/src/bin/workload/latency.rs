//! Every `malloc` and every `free` timed by itself, on the work of the rows `random` and
//! `large`. Only the call lies between two readings of the clock; tags are written and
//! checked outside.

use core::fmt::Write;
use std::sync::{Mutex, PoisonError};

use cidalloc_benches::record::{Latency, Op};

use crate::clock::{Calibration, Clock};
use crate::heap::{Block, Tagged};
use crate::histogram::Histogram;
use crate::meter::{Timed, race};
use crate::proc::{Line, die, malloc_library};
use crate::rng::{Rng, Sizes};
use crate::table::Table;

/// Pairs of readings that tell what the clock costs.
const READINGS: usize = 100_000;

/// What was found, in ticks.
struct Found {
    malloc: Histogram,
    free: Histogram,
    clock: Histogram,
}

impl Found {
    const fn new() -> Self {
        Self { malloc: Histogram::new(), free: Histogram::new(), clock: Histogram::new() }
    }
}

struct State {
    rng: Rng,
    slots: Table<Option<Tagged>>,
    found: Found,
}

/// Runs the row; the latency lines are `report`ed before it returns.
pub(crate) fn run(
    large: bool,
    threads: usize,
    ops: u64,
    mut report: impl FnMut(Op, &Figures<'_>),
) -> Timed {
    let (sizes, live) = if large {
        (Sizes::log_uniform(40 << 10, 4 << 20), 100)
    } else {
        (Sizes::log_uniform(16, 4096), 10_000 / threads)
    };
    let steps = ops / threads as u64;
    let clock = Clock::best();
    let all = Mutex::new(Found::new());
    let calibration = Calibration::start(clock);
    let time = race(
        threads,
        |index| {
            let mut rng = Rng::new(index);
            let slots = Table::new(live, |_| Some(Tagged::new(sizes.draw(&mut rng))));
            let mut found = Found::new();
            for _ in 0..READINGS / threads {
                let before = clock.now();
                found.clock.add(clock.since(before));
            }
            State { rng, slots, found }
        },
        |_, State { rng, slots, found }| {
            for _ in 0..steps {
                let slot = rng.below(slots.len());
                let size = sizes.draw(rng);
                if let Some(old) = slots[slot].take().map(Tagged::into_block) {
                    let before = clock.now();
                    drop(old);
                    found.free.add(clock.since(before));
                }
                let before = clock.now();
                let block = Block::malloc(size);
                found.malloc.add(clock.since(before));
                slots[slot] = Some(Tagged::from_block(block, size));
            }
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.malloc.merge(&found.malloc);
            all.free.merge(&found.free);
            all.clock.merge(&found.clock);
            steps
        },
    );
    let ns_per_tick = calibration.ns_per_tick();
    let all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    let clock_ns = all.clock.quantile(0.5) * ns_per_tick;
    for (op, histogram) in [(Op::Malloc, &all.malloc), (Op::Free, &all.free)] {
        report(op, &Figures { histogram, ns_per_tick, clock_ns });
    }
    time
}

/// A histogram with the length of its ticks.
pub(crate) struct Figures<'a> {
    histogram: &'a Histogram,
    ns_per_tick: f64,
    clock_ns: f64,
}

impl Figures<'_> {
    /// Sends the line of these figures.
    pub(crate) fn send(&self, name: &str, op: Op) {
        let Self { histogram, ns_per_tick, clock_ns } = *self;
        let mut hist: Line<{ 16 << 10 }> = Line::new();
        let mut fits = true;
        for (i, (bound, count)) in histogram.buckets().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let ns = bound as f64 * ns_per_tick;
            fits &= write!(hist, "{comma}{ns:.1}:{count}").is_ok();
        }
        let quantile = |share| histogram.quantile(share) * ns_per_tick;
        let latency = Latency {
            name,
            op,
            clock_ns,
            n: histogram.total(),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: histogram.max() as f64 * ns_per_tick,
            hist: hist.as_str(),
            lib: malloc_library(),
        };
        let mut line: Line<{ 20 << 10 }> = Line::new();
        if !fits || write!(line, "{latency}").is_err() {
            die("the histogram is too long for a line");
        }
        line.send(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_counted_once_and_takes_no_less_than_the_clock() {
        let mut seen = 0;
        let time = run(false, 2, 4_000, |_, figures| {
            let Figures { histogram, ns_per_tick, clock_ns } = figures;
            assert_eq!(histogram.total(), 4_000);
            let median = histogram.quantile(0.5) * ns_per_tick;
            assert!(median >= clock_ns * 0.9, "{median} against {clock_ns}");
            seen += 1;
        });
        assert_eq!((time.ops, seen), (4_000, 2));
    }
}

//! What lines cost that another core wrote, while both cores are awake or the other one sleeps: the
//! inputs of the model that are measured. In a virtual machine the two cores may be threads of one,
//! share an L3, or not, and change that at any time: the chase tells.
//!
//! ```text
//!   thread 0   own, foreign, chase │ wait             │ own, …
//!   thread 1   wait                │ own, foreign, …  │ wait
//! ```
//!
//! own: a burst over an area that only this thread uses. foreign: over one that the other thread
//! incremented just before. chase: a walk through its lines, each of which says where the next is.

use core::hint::{black_box, spin_loop};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use std::time::Instant;

use cidalloc_benches::locality::inputs::{AREA_BYTES, AREA_LINES, LINE_BYTES};
use cidalloc_benches::locality::random::Rng;
use cidalloc_benches::stats::spread;

use crate::cli;
use crate::pinned::{increment, pin, several_cpus};

/// Words of a line.
const WORDS: usize = LINE_BYTES / 8;

/// Lines of which each holds the number of the next one's first word: one cycle in random order.
struct Chain(Vec<AtomicU64>);

impl Chain {
    fn new(lines: usize) -> Self {
        let mut order: Vec<usize> = (0..lines).collect();
        Rng::new(7).shuffle(&mut order);
        // One line more, of which the first part is left out so that lines begin where lines do.
        let chain = Self((0..(lines + 1) * WORDS).map(|_| AtomicU64::new(0)).collect());
        for (line, next) in order.iter().zip(order.iter().cycle().skip(1)) {
            let [line, next] = [line, next].map(|l| chain.first() + l * WORDS);
            chain.0[line].store(next as u64, Ordering::Relaxed);
        }
        chain
    }

    fn first(&self) -> usize {
        self.0.as_ptr().align_offset(LINE_BYTES)
    }

    fn walk(&self) {
        let mut at = self.first();
        for _ in 0..AREA_LINES {
            at = self.0[at].load(Ordering::Relaxed) as usize;
        }
        black_box(at);
    }

    /// Makes all lines this core's.
    fn write(&self) {
        for line in 0..AREA_LINES {
            self.0[self.first() + line * WORDS + 1].fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Nanoseconds of one turn's parts.
#[derive(Default)]
struct Times {
    own: Vec<f64>,
    foreign: Vec<f64>,
    chase: Vec<f64>,
}

struct Shared {
    turn: AtomicU32,
    /// For how long who wrote the lines sleeps.
    nap: Duration,
    area: std::sync::Mutex<Vec<u8>>,
    chain: Chain,
}

fn timed(into: &mut Vec<f64>, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    into.push(start.elapsed().as_nanos() as f64);
}

fn turns(shared: &Shared, me: u32, cpu: usize, turns: u32) -> Result<Times, String> {
    pin(cpu)?;
    let mut own = vec![0_u8; AREA_BYTES];
    let mut times = Times::default();
    for _ in 0..turns {
        while shared.turn.load(Ordering::Acquire) != me {
            spin_loop();
        }
        // Awake, while the other one sleeps.
        let since = Instant::now();
        while since.elapsed() < shared.nap * 4 / 5 {
            spin_loop();
        }
        // Never contended: the turn is ours.
        let mut area = shared.area.lock().map_err(|_| "the other thread panicked")?;
        // Twice: the second time nothing is left of what the first had to fetch and to evict.
        (0..2).for_each(|_| increment(&mut own));
        timed(&mut times.own, || increment(&mut own));
        timed(&mut times.foreign, || increment(&mut area));
        drop(area);
        timed(&mut times.chase, || shared.chain.walk());
        shared.chain.write();
        shared.turn.store(1 - me, Ordering::Release);
        if !shared.nap.is_zero() {
            std::thread::sleep(shared.nap);
        }
    }
    Ok(times)
}

/// `locality lines`
pub(crate) fn run(options: &cli::Lines) -> Result<(), String> {
    let cpus = several_cpus()?;
    let nap = Duration::from_millis(options.owner_sleeps.into());
    let all = options.turns.unwrap_or(10_000 / options.owner_sleeps.max(1)).clamp(1, 4000);
    let shared = Shared {
        turn: AtomicU32::new(0),
        nap,
        area: std::sync::Mutex::new(vec![0; AREA_BYTES]),
        chain: Chain::new(AREA_LINES),
    };
    let times = std::thread::scope(|scope| {
        let other = scope.spawn(|| turns(&shared, 1, cpus[1], all));
        let own = turns(&shared, 0, cpus[0], all);
        let other = other.join().map_err(|_| "a thread panicked".to_owned())?;
        Ok::<_, String>([own?, other?])
    })?;
    let mut clock = Vec::new();
    (0..1000).for_each(|_| timed(&mut clock, || ()));
    let median = |values: &[f64]| spread(values.iter().copied()).map_or(0.0, |s| s.median);
    let clock = median(&clock);
    println!("CPUs {} and {}; the clock itself takes {clock:.0} ns", cpus[0], cpus[1]);
    for (cpu, times) in cpus.iter().zip(&times) {
        let burst = |values: &[f64]| (median(values) - clock).max(0.0) / AREA_LINES as f64;
        let [own, foreign, chase] =
            [&times.own, &times.foreign, &times.chase].map(|values| burst(values));
        println!(
            "CPU {cpu}: a line of its own {own:.2} ns, of the other's {foreign:.2} ns; one after \
             the other {chase:.1} ns: {:.1} lines in flight",
            chase / foreign.max(1e-3)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_one_cycle_through_all_lines() {
        let chain = Chain::new(AREA_LINES);
        let mut seen = vec![false; AREA_LINES];
        let mut at = chain.first();
        for _ in 0..AREA_LINES {
            let line = (at - chain.first()) / WORDS;
            assert!(!seen[line] && (at - chain.first()).is_multiple_of(WORDS));
            seen[line] = true;
            at = chain.0[at].load(Ordering::Relaxed) as usize;
        }
        assert_eq!(at, chain.first());
        assert_eq!((&raw const chain.0[at]).addr() % LINE_BYTES, 0);
    }
}

//! What sets of counters take in memory: one process for each way to keep them.
//!
//! ```text
//!   threads   ├─ there ─┤ wait ├─ add 1 to each counter of the set ─┤ wait … until the end
//!   main      ├─ there ─┤ RSS  ├────────────────────────────────────┤ sum, RSS
//! ```
//!
//! The difference is what the sets take: threads with their stacks, and the sets' owners, are there
//! before.

use core::cell::Cell;
use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Barrier;
use std::thread;

use cidalloc_benches::pools::memory::{COUNTERS, CPUS, Footprint, Way};
use cidpool::Counters;

use crate::conduct::own_program;

/// Small stacks: what a counting thread needs.
const STACK: usize = 64 << 10;

type Set = [AtomicU64; COUNTERS];

const fn zero() -> Set {
    [const { AtomicU64::new(0) }; COUNTERS]
}

thread_local! {
    /// In a box, so that threads of the other ways do not have it.
    static SET: Box<[Cell<u64>; COUNTERS]> = Box::new([const { Cell::new(0) }; COUNTERS]);
}

/// How a thread adds 1 to each counter of its set; and how they are summed.
trait Sets: Sync {
    fn add_to_each(&self);
    fn sum(&self) -> u64;
}

/// Each thread hands over what it counted: nobody reads thread-locals of others.
struct PerThread(AtomicU64);

impl Sets for PerThread {
    fn add_to_each(&self) {
        SET.with(|set| {
            set.iter().for_each(|counter| counter.set(counter.get() + 1));
            let set = black_box(set);
            self.0.fetch_add(set.iter().map(Cell::get).sum(), Relaxed);
        });
    }
    fn sum(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

struct PerCpu(Box<[Set]>);

impl PerCpu {
    fn written() -> Self {
        let sets: Vec<Set> = (0..CPUS).map(|_| zero()).collect();
        // As a program does whose counters do not begin as zero, or whose type is not known to be all
        // zeros: else the compiler makes zeroed memory of it.
        sets.iter().flatten().for_each(|counter| counter.store(black_box(0), Relaxed));
        Self(sets.into())
    }

    fn zeroed() -> Self {
        // SAFETY: an atomic may be any bytes.
        Self(unsafe { Box::<[Set]>::new_zeroed_slice(CPUS).assume_init() })
    }
}

impl Sets for PerCpu {
    fn add_to_each(&self) {
        for counter in 0..COUNTERS {
            // SAFETY: no preconditions.
            let cpu = usize::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0);
            self.0[cpu % CPUS][counter].fetch_add(1, Relaxed);
        }
    }
    fn sum(&self) -> u64 {
        self.0.iter().flatten().map(|counter| counter.load(Relaxed)).sum()
    }
}

impl Sets for Counters<COUNTERS> {
    fn add_to_each(&self) {
        (0..COUNTERS).for_each(|counter| self.add(counter, 1));
    }
    fn sum(&self) -> u64 {
        self.sums().iter().sum()
    }
}

/// KiB of the process that are resident, but for pages of files: how many of those the kernel maps around a
/// fault differs from launch to launch.
fn resident_kib() -> Result<u64, String> {
    let path = "/proc/self/smaps_rollup";
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let kib = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok());
    kib.ok_or_else(|| format!("{path} does not say what is resident"))
}

/// A process in which `threads` threads add to sets kept in this way. Prints what was resident
/// before and after.
pub(crate) fn child(way: Way, threads: usize) -> Result<(), String> {
    let begin = Barrier::new(threads + 1);
    let (there, go, added) = (&begin, Barrier::new(threads + 1), Barrier::new(threads + 1));
    let end = Barrier::new(threads + 1);
    // Owners of arrays come into being with the sets.
    let sets = std::sync::OnceLock::<Box<dyn Sets + Send>>::new();
    let work = || {
        there.wait();
        go.wait();
        if let Some(sets) = sets.get() {
            sets.add_to_each();
        }
        added.wait();
        end.wait();
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            let thread = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
            // The others wait for it for ever.
            thread.unwrap_or_else(|error| {
                eprintln!("pools: no thread: {error}");
                std::process::exit(2)
            });
        }
        there.wait();
        let before = resident_kib();
        sets.get_or_init(|| match way {
            Way::Thread => Box::new(PerThread(AtomicU64::new(0))),
            Way::CpuWritten => Box::new(PerCpu::written()),
            Way::CpuZeroed => Box::new(PerCpu::zeroed()),
            Way::Cid => Box::new(Counters::<COUNTERS>::new()),
        });
        go.wait();
        added.wait();
        let sum = sets.get().map_or(0, |sets| sets.sum());
        let after = resident_kib();
        end.wait();
        if sum != (threads * COUNTERS) as u64 {
            return Err(format!("{sum} instead of {threads} times {COUNTERS} were counted"));
        }
        println!("{} {}", before?, after?);
        Ok(())
    })
}

/// All ways with each number of threads.
pub(crate) fn measure(quick: bool) -> Result<Vec<Footprint>, String> {
    let numbers: &[usize] = if quick { &[10, 1000] } else { &[10, 100, 1000, 10_000] };
    let mut footprints = Vec::new();
    for way in Way::ALL {
        for &threads in numbers {
            let mut command = own_program()?;
            command.args(["memory", "--way", way.word(), "--threads", &threads.to_string()]);
            let output = command.output().map_err(|error| format!("no child: {error}"))?;
            let text = String::from_utf8_lossy(&output.stdout);
            let mut fields = text.split_ascii_whitespace().map(str::parse);
            let (Some(Ok(before_kib)), Some(Ok(after_kib))) = (fields.next(), fields.next()) else {
                let said = String::from_utf8_lossy(&output.stderr);
                return Err(format!("{threads} threads, {}: {}", way.name(), said.trim()));
            };
            footprints.push(Footprint { way, threads, before_kib, after_kib });
        }
    }
    Ok(footprints)
}

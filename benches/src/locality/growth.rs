//! How many shards and arenas a process comes to use, by what they are indexed with.
//!
//! ```text
//!   thread   sleep ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁ wake ─▶ its last CPU if idle, else any idle one, else the queue
//!            run   ▇▇ (mean run_ms)          now and then another idle CPU all the same: migration
//!
//!   each run: shard = (node of the CPU, id)      id = thread, CPU, or a cid of one of four kinds
//! ```
//!
//! What is counted is every shard that was used at all: memory that was touched stays until it is
//! drained. A thread that runs allocates.

use core::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use cidalloc::cid_set::{CidSet, Policy};

use super::cids::{Kernel, Kind};
use super::machine::Machine;
use super::random::Rng;

/// How many [`Sharding`]s there are.
pub const KINDS: usize = 6;

/// What shards are indexed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharding {
    /// A shard for each thread.
    Thread,
    /// A shard for each CPU that was run on.
    Cpu,
    /// Cids given out at each switch, the lowest free one: what Linux 6.3 did, and the least
    /// that is possible.
    Compact,
    /// Linux 6.4 to 6.12.
    Plain,
    /// Linux 6.13 to 6.18.
    CacheLocal,
    /// Cids that are bound to a node for ever, given out at each switch: the NUMA form of the
    /// library's own cids.
    ByNode,
}

impl Sharding {
    /// All of them.
    pub const ALL: [Self; KINDS] =
        [Self::Thread, Self::Cpu, Self::CacheLocal, Self::Plain, Self::Compact, Self::ByNode];

    /// For plots.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Thread => "per thread",
            Self::Cpu => "per CPU",
            Self::Compact => "cid, compact",
            Self::Plain => "cid, Linux 6.4",
            Self::CacheLocal => "cid, Linux 6.13",
            Self::ByNode => "cid, by node",
        }
    }
}

/// How many neighbouring ids share an arena.
pub const WIDTHS: [usize; 4] = [1, 2, 4, 8];

/// What a process does.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Its threads.
    pub threads: usize,
    /// The share of its time that a thread wants to run.
    pub duty: f64,
    /// Mean of the time for which it runs then.
    pub run_ms: f64,
    /// The share of its wakings that put it on another idle CPU though its last one is idle.
    pub migration: f64,
    /// For how long the process is watched.
    pub watch_ms: f64,
    /// Of all that is random.
    pub seed: u64,
}

impl Load {
    /// A server's: threads that wait for most of the time.
    #[must_use]
    pub const fn server(threads: usize) -> Self {
        Self { threads, duty: 0.01, run_ms: 1.0, migration: 0.1, watch_ms: 2000.0, seed: 1 }
    }

    /// Mean of the time for which a thread sleeps.
    fn sleep_ms(&self) -> f64 {
        self.run_ms * (1.0 - self.duty) / self.duty
    }
}

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub struct Growth {
    /// Most threads that ran at once.
    pub peak: usize,
    /// Shards by [`Sharding::ALL`].
    pub shards: [usize; KINDS],
    /// Arenas by [`Sharding::ALL`] and [`WIDTHS`].
    pub arenas: [[usize; 4]; KINDS],
}

/// Runs a process on a machine.
#[must_use]
pub fn simulate(machine: Machine, load: &Load) -> Growth {
    let mut shards = Shards::new(machine, load.threads);
    let mut run = Run::new(machine, load);
    while let Some(Reverse((at_ns, _, event))) = run.events.pop() {
        let now_ms = at_ns as f64 / 1e6;
        if now_ms > load.watch_ms {
            break;
        }
        match event {
            Event::Wake(thread) => run.wake(thread, now_ms, &mut shards),
            Event::Done(cpu) => run.done(cpu, now_ms, &mut shards),
        }
    }
    let used = shards.used.each_ref().map(|ids| ids.iter().filter(|u| **u).count());
    // A node's CPUs are a multiple of the widest group: no group has cids of two nodes.
    let arenas = shards.used.each_ref().map(|ids| {
        WIDTHS.map(|width| ids.chunks(width).filter(|group| group.contains(&true)).count())
    });
    Growth { peak: run.peak, shards: used, arenas }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake(usize),
    Done(usize),
}

/// The scheduler.
struct Run<'a> {
    load: &'a Load,
    rng: Rng,
    /// By time in nanoseconds, then by the order in which they were made.
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    made: u64,
    last_cpu: Vec<usize>,
    running: Vec<Option<usize>>,
    idle: Vec<usize>,
    /// Where a CPU is in `idle`.
    idle_at: Vec<usize>,
    queue: VecDeque<usize>,
    peak: usize,
}

impl<'a> Run<'a> {
    fn new(machine: Machine, load: &'a Load) -> Self {
        let cpus = machine.cpu_count();
        let mut rng = Rng::new(load.seed);
        let last_cpu = (0..load.threads).map(|_| rng.below(cpus)).collect();
        let mut run = Self {
            load,
            rng,
            events: BinaryHeap::new(),
            made: 0,
            last_cpu,
            running: vec![None; cpus],
            idle: (0..cpus).collect(),
            idle_at: (0..cpus).collect(),
            queue: VecDeque::new(),
            peak: 0,
        };
        // As if it had run for long before: a wait without memory is always half way through.
        for thread in 0..load.threads {
            let first = run.rng.exponential(load.sleep_ms());
            run.at(first, Event::Wake(thread));
        }
        run
    }

    fn at(&mut self, ms: f64, event: Event) {
        self.made += 1;
        self.events.push(Reverse(((ms * 1e6) as u64, self.made, event)));
    }

    fn wake(&mut self, thread: usize, now_ms: f64, shards: &mut Shards) {
        let last = self.last_cpu[thread];
        let stays = self.running[last].is_none() && self.rng.share() >= self.load.migration;
        match self.idle.len() {
            0 => self.queue.push_back(thread),
            _ if stays => self.start(thread, last, now_ms, shards),
            idle => {
                let cpu = self.idle[self.rng.below(idle)];
                self.start(thread, cpu, now_ms, shards);
            }
        }
    }

    fn start(&mut self, thread: usize, cpu: usize, now_ms: f64, shards: &mut Shards) {
        let at = self.idle_at[cpu];
        self.idle.swap_remove(at);
        if let Some(moved) = self.idle.get(at) {
            self.idle_at[*moved] = at;
        }
        self.running[cpu] = Some(thread);
        self.last_cpu[thread] = cpu;
        self.peak = self.peak.max(self.running.len() - self.idle.len());
        shards.enter(cpu, now_ms);
        let ends = now_ms + self.rng.exponential(self.load.run_ms);
        self.at(ends, Event::Done(cpu));
    }

    fn done(&mut self, cpu: usize, now_ms: f64, shards: &mut Shards) {
        shards.leave(cpu, now_ms);
        self.idle_at[cpu] = self.idle.len();
        self.idle.push(cpu);
        if let Some(thread) = self.running[cpu].take() {
            let wakes = now_ms + self.rng.exponential(self.load.sleep_ms());
            self.at(wakes, Event::Wake(thread));
        }
        if let Some(next) = self.queue.pop_front() {
            self.start(next, cpu, now_ms, shards);
        }
    }
}

/// Cids that a thread has while it runs and no longer.
struct Released {
    set: Box<CidSet>,
    /// By CPU.
    held: Vec<u32>,
}

impl Released {
    fn new(cpus: usize, threads: usize) -> Self {
        let set = Box::new(CidSet::new());
        set.allow(cpus);
        set.set_users(u32::try_from(threads).unwrap_or(u32::MAX));
        Self { set, held: vec![0; cpus] }
    }

    fn enter(&mut self, cpu: usize, node: Option<usize>) -> usize {
        let claim = self.set.claim(Policy::Compact, None, node);
        self.held[cpu] = claim.expect("no more threads run than there are cids").cid;
        self.held[cpu] as usize
    }

    fn leave(&mut self, cpu: usize) {
        self.set.release(self.held[cpu]);
    }
}

/// Who has which id, and which shards were used.
struct Shards {
    machine: Machine,
    compact: Released,
    by_node: Released,
    plain: Kernel,
    local: Kernel,
    /// By [`Sharding::ALL`]; index: node × CPUs + id, or the thread.
    used: [Vec<bool>; KINDS],
}

impl Shards {
    fn new(machine: Machine, threads: usize) -> Self {
        let cpus = machine.cpu_count();
        let pairs = || vec![false; machine.sockets * cpus];
        Self {
            machine,
            compact: Released::new(cpus, threads),
            by_node: Released::new(cpus, threads),
            plain: Kernel::new(Kind::Plain, cpus, cpus, threads),
            local: Kernel::new(Kind::CacheLocal, cpus, cpus, threads),
            used: [vec![true; threads], pairs(), pairs(), pairs(), pairs(), pairs()],
        }
    }

    fn enter(&mut self, cpu: usize, now_ms: f64) {
        let node = self.machine.node_of(cpu);
        if !self.local.holds(cpu) {
            self.local.make_room();
        }
        let ids = [
            cpu,
            self.local.enter(cpu, now_ms) as usize,
            self.plain.enter(cpu, now_ms) as usize,
            self.compact.enter(cpu, None),
            self.by_node.enter(cpu, Some(node)),
        ];
        let row = node * self.machine.cpu_count();
        for (used, id) in self.used[1..].iter_mut().zip(ids) {
            used[row + id] = true;
        }
    }

    fn leave(&mut self, cpu: usize, now_ms: f64) {
        self.compact.leave(cpu);
        self.by_node.leave(cpu);
        self.plain.leave(cpu, now_ms);
        self.local.leave(cpu, now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Machine = Machine { sockets: 2, l3s: 1, cores: 8, threads: 1 };

    fn of(growth: &Growth, sharding: Sharding) -> usize {
        let at = Sharding::ALL.iter().position(|s| *s == sharding);
        growth.shards[at.expect("one of all")]
    }

    fn load(threads: usize) -> Load {
        Load { watch_ms: 400.0, ..Load::server(threads) }
    }

    #[test]
    fn a_lone_thread_has_one_cid_on_each_node_that_it_visits() {
        let busy = Load { duty: 0.5, migration: 0.5, ..load(1) };
        let growth = simulate(SMALL, &busy);
        assert_eq!(growth.peak, 1);
        assert_eq!(of(&growth, Sharding::Thread), 1);
        assert_eq!(of(&growth, Sharding::Compact), 2);
        assert_eq!(of(&growth, Sharding::CacheLocal), 2);
        // Within 400 ms it was everywhere.
        assert_eq!(of(&growth, Sharding::Cpu), 16);
        // Before 6.13 each CPU that it left kept its cid.
        assert!(of(&growth, Sharding::Plain) > 4);
    }

    #[test]
    fn compact_cids_are_as_many_as_threads_ran_at_once() {
        let one_node = Machine { sockets: 1, l3s: 2, cores: 8, threads: 1 };
        for threads in [5, 60, 300] {
            let growth = simulate(one_node, &load(threads));
            assert_eq!(of(&growth, Sharding::Compact), growth.peak);
            assert!(growth.peak < 16 && growth.peak >= 1);
        }
    }

    #[test]
    fn more_threads_than_cpus_wait_and_use_every_cpu_once() {
        let growth = simulate(SMALL, &Load { duty: 0.5, ..load(200) });
        assert_eq!(growth.peak, 16);
        assert_eq!(of(&growth, Sharding::Cpu), 16);
        assert_eq!(of(&growth, Sharding::Thread), 200);
        for cid in [Sharding::Compact, Sharding::Plain, Sharding::CacheLocal] {
            assert!((16..=32).contains(&of(&growth, cid)), "{cid:?}");
        }
    }

    #[test]
    fn cache_local_cids_never_exceed_the_threads() {
        let one_node = Machine { sockets: 1, l3s: 2, cores: 8, threads: 1 };
        let growth = simulate(one_node, &Load { duty: 0.3, migration: 0.5, ..load(6) });
        assert!(of(&growth, Sharding::CacheLocal) <= 6);
        assert!(of(&growth, Sharding::Cpu) > 6);
    }

    #[test]
    fn wider_groups_make_fewer_arenas_and_at_best_in_proportion() {
        let growth = simulate(SMALL, &load(300));
        for (shards, arenas) in growth.shards.iter().zip(growth.arenas) {
            assert_eq!(*shards, arenas[0]);
            assert!(arenas.is_sorted_by(|a, b| a >= b));
            assert!(WIDTHS.iter().zip(arenas).all(|(width, n)| n * width >= *shards));
        }
    }

    #[test]
    fn cids_bound_to_a_node_need_no_more_shards_than_others_and_few_cross() {
        for threads in [40, 400] {
            let growth = simulate(SMALL, &load(threads));
            assert!(of(&growth, Sharding::ByNode) <= of(&growth, Sharding::Compact));
            assert!(of(&growth, Sharding::ByNode) >= growth.peak);
        }
    }

    #[test]
    fn a_seed_gives_the_same_growth() {
        assert_eq!(simulate(SMALL, &load(100)), simulate(SMALL, &load(100)));
    }
}

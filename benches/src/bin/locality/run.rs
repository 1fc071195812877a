//! The experiment on this machine.
//!
//! ```text
//!   main     sleep delay ─▶ wake a thread ─▶ sleep delay ─▶ wake another, in random order …
//!   thread                   └ area = areas[index]; t0; increment(area); t1
//!
//!   index    CPU │ cid claimed before and released after the burst, `compact` or `cache-local`
//!            │ the kernel's mm_cid, read from the thread's rseq area
//! ```
//!
//! A cid is given back after each burst, as a kernel does at a switch or a while after it. (The
//! library's own leases would keep it: a thread with a lease is on its own shard as surely as one
//! that is indexed by CPU.) Which area a burst takes is found before the clock is read.

use core::time::Duration;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use cidalloc::cid_set::{CidSet, Policy};
use cidalloc_benches::locality::random::Rng;
use cidalloc_benches::stats::{Spread, spread};
use rseq_sys::registration::{self, Owner, Registration};
use rseq_sys::{abi, area};

use crate::areas::Areas;
use crate::cli;
use crate::pinned::{increment, pin, several_cpus};

/// What an area is chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Index {
    Cpu,
    Cid(Policy),
    Kernel,
}

impl Index {
    const ALL: [Self; 4] =
        [Self::Cpu, Self::Cid(Policy::Compact), Self::Cid(Policy::CacheLocal), Self::Kernel];

    const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Cid(Policy::Compact) => "cid, compact",
            Self::Cid(Policy::CacheLocal) => "cid, cache-local",
            Self::Kernel => "mm_cid of this kernel",
        }
    }
}

/// A burst: its nanoseconds, and which area it used.
type Burst = Result<(f64, usize), String>;

struct Shared {
    areas: Areas,
    /// For each policy one, so that none finds what the other left.
    compact: Box<CidSet>,
    cache_local: Box<CidSet>,
    registration: Registration,
}

impl Shared {
    fn new(cpus: &[usize], registration: Registration) -> Self {
        let cids = || {
            let cids = Box::new(CidSet::new());
            cids.allow(cpus.len());
            cpus.iter().for_each(|_| cids.add_user());
            cids
        };
        // mm_cid is below the number of possible CPUs, whichever are allowed.
        // SAFETY: reads a constant of the system.
        let possible = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
        let highest = cpus.last().map_or(0, |cpu| cpu + 1);
        let areas = Areas::new(usize::try_from(possible).unwrap_or(0).max(highest));
        Self { areas, compact: cids(), cache_local: cids(), registration }
    }

    fn cids(&self, policy: Policy) -> &CidSet {
        match policy {
            Policy::Compact => &self.compact,
            Policy::CacheLocal => &self.cache_local,
        }
    }
}

fn work(shared: &Shared, cpu: usize, asked: &Receiver<Index>, answer: &Sender<Burst>) {
    if let Err(why) = pin(cpu) {
        let _ = answer.send(Err(why));
        return;
    }
    let offset = shared.registration.offset;
    if shared.registration.owner == Owner::Own {
        registration::register_thread(offset);
    }
    let mut recent = None;
    while let Ok(index) = asked.recv() {
        let claim = match index {
            Index::Cid(policy) => {
                let claim = shared.cids(policy).claim(policy, recent, None);
                claim.map(|claim| (policy, claim.cid))
            }
            _ => None,
        };
        let chosen = match index {
            Index::Cpu => cpu,
            // SAFETY: the offset is this process's.
            Index::Kernel => unsafe { area::mm_cid(offset) as usize },
            Index::Cid(_) => claim.map_or(usize::MAX, |(_, cid)| cid as usize),
        };
        // SAFETY: this thread alone was told to run.
        let burst = match unsafe { shared.areas.get(chosen) } {
            None => Err(format!("index {chosen} of {}: there is no such area", index.name())),
            Some(area) => {
                let start = Instant::now();
                increment(area);
                Ok((start.elapsed().as_nanos() as f64, chosen))
            }
        };
        if let Some((policy, cid)) = claim {
            shared.cids(policy).release(cid);
            // Compact claims pass it over, so that it is the last one of the other policy.
            recent = if policy == Policy::CacheLocal { Some(cid) } else { recent };
        }
        if answer.send(burst).is_err() {
            return;
        }
    }
}

/// The threads of one run, and what they say.
struct Crew {
    ask: Vec<Sender<Index>>,
    answers: Receiver<Burst>,
}

impl Crew {
    fn burst(&self, thread: usize, index: Index) -> Burst {
        let gone = |_| "a thread ended early".to_owned();
        self.ask[thread].send(index).map_err(|_| gone(()))?;
        self.answers.recv().map_err(|_| gone(()))?
    }
}

/// Calls `f` while a thread waits on each CPU.
fn with_crew<T>(cpus: &[usize], shared: &Shared, f: impl FnOnce(&Crew) -> T) -> T {
    std::thread::scope(|scope| {
        let (answer, answers) = channel();
        let mut ask = Vec::new();
        for &cpu in cpus {
            let (sender, receiver) = channel();
            let answer = answer.clone();
            ask.push(sender);
            scope.spawn(move || work(shared, cpu, &receiver, &answer));
        }
        f(&Crew { ask, answers })
    })
}

/// Figures of one run: the median of its bursts, and how many areas they used.
struct Figures {
    median_ns: f64,
    areas: usize,
}

fn one(
    index: Index,
    delay: Duration,
    rounds: u32,
    rng: &mut Rng,
    shared: &Shared,
    crew: &Crew,
) -> Result<Figures, String> {
    let mut order: Vec<usize> = (0..crew.ask.len()).collect();
    let mut bursts = Vec::new();
    let mut used = vec![false; shared.areas.count()];
    // The first round warms up.
    for round in 0..=rounds {
        rng.shuffle(&mut order);
        for &thread in &order {
            std::thread::sleep(delay);
            let (ns, area) = crew.burst(thread, index)?;
            if round > 0 {
                bursts.push(ns);
                used[area] = true;
            }
        }
    }
    let median_ns = spread(bursts).map_or(0.0, |s| s.median);
    Ok(Figures { median_ns, areas: used.into_iter().filter(|u| *u).count() })
}

/// `locality run`
pub(crate) fn run(options: &cli::Run) -> Result<(), String> {
    let cpus = several_cpus()?;
    let repeats = options.repeats.unwrap_or(if options.quick { 1 } else { 5 });
    // SAFETY: reads what the kernel passed at exec.
    let feature_size = unsafe { libc::getauxval(abi::AT_RSEQ_FEATURE_SIZE) };
    let registration = registration::detect(feature_size as u32);
    let mut indices = Index::ALL.to_vec();
    if !registration.has_mm_cid {
        println!("left out: mm_cid, which this kernel does not give (Linux 6.3 and later do)");
        indices.retain(|index| *index != Index::Kernel);
    }
    let shared = Shared::new(&cpus, registration);
    let rows = with_crew(&cpus, &shared, |crew| all(options, &indices, repeats, &shared, crew))?;
    let bursts = rows.iter().map(|row| row.bursts).sum::<u64>();
    if shared.areas.increments()? != bursts as u8 {
        return Err(format!("{bursts} bursts, but the areas were incremented less or more"));
    }
    show(&cpus, &rows, repeats);
    Ok(())
}

/// What one index gave with one delay.
struct Row {
    delay_ms: u64,
    index: Index,
    rounds: u32,
    median_ns: Spread,
    areas: usize,
    bursts: u64,
}

fn all(
    options: &cli::Run,
    indices: &[Index],
    repeats: u32,
    shared: &Shared,
    crew: &Crew,
) -> Result<Vec<Row>, String> {
    let mut rng = Rng::new(options.seed);
    let mut rows = Vec::new();
    for &delay_ms in &options.delays {
        let rounds = options.rounds.unwrap_or_else(|| {
            rounds_within(
                if options.quick { 4.0 } else { 48.0 },
                delay_ms,
                &Plan { runs: repeats as usize * indices.len(), threads: crew.ask.len() },
            )
        });
        let mut medians = vec![Vec::new(); indices.len()];
        let mut areas = vec![0; indices.len()];
        let mut order: Vec<usize> = (0..indices.len()).collect();
        for _ in 0..repeats {
            rng.shuffle(&mut order);
            for &i in &order {
                let delay = Duration::from_millis(delay_ms);
                let figures = one(indices[i], delay, rounds, &mut rng, shared, crew)?;
                medians[i].push(figures.median_ns);
                areas[i] = areas[i].max(figures.areas);
            }
        }
        for (i, &index) in indices.iter().enumerate() {
            rows.push(Row {
                delay_ms,
                index,
                rounds,
                median_ns: spread(medians[i].iter().copied()).unwrap_or_default(),
                areas: areas[i],
                bursts: u64::from(repeats) * u64::from(rounds + 1) * crew.ask.len() as u64,
            });
        }
    }
    Ok(rows)
}

struct Plan {
    runs: usize,
    threads: usize,
}

/// As many rounds as end within so many seconds, and at least two.
fn rounds_within(seconds: f64, delay_ms: u64, plan: &Plan) -> u32 {
    // A thread that sleeps wakes up a little late.
    let burst_s = delay_ms as f64 / 1000.0 + 0.0003;
    let rounds = seconds / (burst_s * plan.runs as f64 * plan.threads as f64) - 1.0;
    (rounds as u32).clamp(2, 500)
}

fn show(cpus: &[usize], rows: &[Row], repeats: u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!(
        "{} threads, each on a CPU of its own; Linux {}; {repeats} runs of each",
        cpus.len(),
        release.trim()
    );
    println!(
        "\n{:<10}{:<24}{:>10}{:>18}{:>8}{:>10}",
        "delay", "index", "ns/burst", "medians of runs", "areas", "rounds"
    );
    for row in rows {
        let s = row.median_ns;
        println!(
            "{:<10}{:<24}{:>10.0}{:>18}{:>8}{:>10}",
            format!("{} ms", row.delay_ms),
            row.index.name(),
            s.median,
            format!("{:.0}–{:.0}", s.min, s.max),
            row.areas,
            row.rounds
        );
    }
    println!(
        "\nns/burst: median over the runs of each run's median burst; the range is over the runs."
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_bounded_whatever_the_machine() {
        for (delay_ms, threads) in [(200, 2), (10, 2), (200, 384), (10, 16)] {
            let rounds = rounds_within(48.0, delay_ms, &Plan { runs: 20, threads });
            assert!(rounds >= 2);
            let took = f64::from(rounds + 1) * 20.0 * threads as f64 * delay_ms as f64 / 1000.0;
            assert!(took <= 48.0 || rounds == 2, "{delay_ms} {threads}: {took} s");
        }
    }

    #[test]
    fn cache_local_cids_give_each_thread_its_area_and_compact_ones_all_the_same() {
        let Ok(cpus) = several_cpus() else {
            println!("skipped: one CPU only");
            return;
        };
        let shared = Shared::new(&cpus, registration::detect(0));
        with_crew(&cpus, &shared, |crew| {
            for (index, areas) in [
                (Index::Cid(Policy::Compact), 1),
                (Index::Cid(Policy::CacheLocal), cpus.len()),
                (Index::Cpu, cpus.len()),
                (Index::Cid(Policy::Compact), 1),
            ] {
                let delay = Duration::from_micros(100);
                let figures = one(index, delay, 3, &mut Rng::new(1), &shared, crew);
                assert_eq!(figures.unwrap().areas, areas, "{index:?}");
            }
        });
    }

    #[test]
    fn the_quick_form_runs_here() {
        if several_cpus().is_err() {
            println!("skipped: one CPU only");
            return;
        }
        let options =
            cli::Run { quick: true, delays: vec![1], rounds: Some(3), repeats: Some(1), seed: 1 };
        assert_eq!(run(&options), Ok(()));
    }
}

//! Executions of a scenario: each in a process of its own, which begins with no heap.
//!
//! ```text
//!  models ─┬─ worker ─┬─ execution of seed 0 ─► ends with 0, or says what was wrong
//!          │          └─ execution of seed 2 …        its counts: in memory shared by all
//!          └─ worker ─── execution of seed 1 …
//! ```
//!
//! An execution is determined by its seed: schedule, moves, aborts, clock and the tasks' choices.
#![allow(unsafe_code)]

use crate::hands;
use crate::judge;
use crate::schedule::Seeded;
use crate::world::{self, EVENTS, Setting};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};
use std::time::Instant;

/// What a task does.
pub(crate) type Task = Box<dyn FnOnce() + Send>;

/// What is counted over the executions of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    Executions,
    Points,
    Aborts,
    Moves,
    Fences,
    Drains,
    Adoptions,
    Evictions,
    Transfers,
    Without,
    Buried,
    PurgedBytes,
    Homeward,
    Thefts,
    Retired,
    Exact,
}

const FACTS: [(Fact, &str); 16] = [
    (Fact::Executions, "executions"),
    (Fact::Points, "points"),
    (Fact::Aborts, "aborted sections"),
    (Fact::Moves, "moves"),
    (Fact::Fences, "fences"),
    (Fact::Drains, "drains"),
    (Fact::Adoptions, "spans with another owner"),
    (Fact::Evictions, "take-overs"),
    (Fact::Transfers, "transfers"),
    (Fact::Without, "operations without a cid"),
    (Fact::Buried, "dead threads found"),
    (Fact::PurgedBytes, "bytes purged"),
    (Fact::Homeward, "objects sent to their node"),
    (Fact::Thefts, "thefts"),
    (Fact::Retired, "ranges given back"),
    (Fact::Exact, "exact sums"),
];

/// A race of the allocator's own steps.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    /// What holds in each of its executions.
    pub(crate) name: &'static str,
    /// What may go wrong, for the table of faults.
    pub(crate) fault: &'static str,
    pub(crate) setting: Setting,
    /// Executions of the quick form.
    pub(crate) executions: u64,
    /// Prepares the heap, as task 0, and says what the others do.
    pub(crate) tasks: fn() -> Vec<Task>,
    /// What must have happened in some execution, or the scenario shows nothing.
    pub(crate) reaches: &'static [Fact],
}

/// Counts that all processes of a scenario share.
pub(crate) struct Shared {
    facts: [AtomicU64; FACTS.len()],
    failed: AtomicU64,
    failed_seed: AtomicU64,
    status: AtomicU64,
}

impl Shared {
    fn new() -> &'static Self {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping; zero is a valid value, and nobody unmaps it.
        unsafe {
            let memory =
                libc::mmap(core::ptr::null_mut(), size_of::<Self>(), protection, flags, -1, 0);
            assert!(memory != libc::MAP_FAILED, "no memory to share");
            &*memory.cast::<Self>()
        }
    }
    pub(crate) fn add(&self, fact: Fact, n: u64) {
        self.facts[fact as usize].fetch_add(n, Relaxed);
    }
    pub(crate) fn get(&self, fact: Fact) -> u64 {
        self.facts[fact as usize].load(Relaxed)
    }
    /// What was counted beside executions and points, in words.
    pub(crate) fn words(&self) -> String {
        let seen = FACTS[2..].iter().filter(|(fact, _)| self.get(*fact) > 0);
        seen.map(|(fact, word)| format!("{} {word}", self.get(*fact)))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// What became of a scenario.
pub(crate) struct Outcome {
    pub(crate) counts: &'static Shared,
    pub(crate) took: Duration,
    /// The seed of an execution that failed, and how its process ended.
    pub(crate) failed: Option<(u64, String)>,
}

/// An execution that takes as long as this many points does not end.
const POINTS_MAX: usize = 400_000;
/// A guard against what the points do not see.
const SECONDS_MAX: u32 = 300;

/// Runs executions `0..count`, execution `n` with seed `first + n`, by `workers` at a time.
pub(crate) fn explore(
    scenario: &'static Scenario,
    first: u64,
    count: u64,
    workers: u64,
) -> Outcome {
    let counts = Shared::new();
    let begun = Instant::now();
    let children: Vec<_> = (0..workers)
        .map(|worker| {
            in_child(|| {
                for n in (worker..count).step_by(workers as usize) {
                    if counts.failed.load(Relaxed) != 0 {
                        break;
                    }
                    let seed = first.wrapping_add(n);
                    let status = wait_for(in_child(|| execute(scenario, seed, counts)));
                    if status != 0 && counts.failed.swap(1, Relaxed) == 0 {
                        counts.failed_seed.store(seed, Relaxed);
                        counts.status.store(status as u64, Relaxed);
                    }
                }
            })
        })
        .collect();
    let sound = children.into_iter().map(wait_for).all(|status| status == 0);
    assert!(sound, "a worker of the models ended by itself");
    let failed = (counts.failed.load(Relaxed) != 0)
        .then(|| (counts.failed_seed.load(Relaxed), ended_by(counts.status.load(Relaxed) as i32)));
    Outcome { counts, took: begun.elapsed(), failed }
}

/// Does `f` in a child process, which ends with 0 if `f` returns.
fn in_child(f: impl FnOnce()) -> i32 {
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        -1 => panic!("cannot fork: {}", std::io::Error::last_os_error()),
        0 => {
            f();
            // SAFETY: ends the child; what its parent has registered to be done at its end is not the child's.
            unsafe { libc::_exit(0) }
        }
        child => child,
    }
}

fn wait_for(child: i32) -> i32 {
    let mut status = 0;
    // SAFETY: our own child; fills one word.
    while unsafe { libc::waitpid(child, &raw mut status, 0) } != child {}
    status
}

fn ended_by(status: i32) -> String {
    if libc::WIFSIGNALED(status) {
        match libc::WTERMSIG(status) {
            libc::SIGALRM => format!("did not end within {SECONDS_MAX} s"),
            signal => format!("ended by signal {signal}"),
        }
    } else {
        format!("ended with {}", libc::WEXITSTATUS(status))
    }
}

/// One execution, in a process of its own.
pub(crate) fn execute(scenario: &'static Scenario, seed: u64, counts: &'static Shared) {
    // SAFETY: the process has one thread, and its own end.
    unsafe { libc::alarm(SECONDS_MAX) };
    std::panic::set_hook(Box::new(|why| {
        eprintln!("{}", why.to_string().replace('\n', " "));
        // SAFETY: ends the process at once, with what its tasks have on their stacks.
        unsafe { libc::_exit(101) }
    }));
    set_options(&scenario.setting);
    world::begin(scenario.setting, seed);
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    config.failure_persistence = FailurePersistence::None;
    config.max_steps = MaxSteps::FailAfter(POINTS_MAX);
    config.silence_warnings = true;
    Runner::new(Seeded::new(seed), config).run(move || {
        cidalloc::start::heap().expect("the heap starts");
        if scenario.setting.source == "emulated" {
            world::monitor(Some(Box::new(judge::bits_cover_slots)));
        }
        let tasks = (scenario.tasks)();
        let owners = judge::owners();
        let threads: Vec<_> = tasks
            .into_iter()
            .map(|task| {
                shuttle::thread::spawn(move || {
                    world::take_turns(true);
                    task();
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("a panic ends the process"));
        world::take_turns(false);
        world::monitor(None);
        judge::adoptions(&owners, counts);
        judge::counters(counts);
        judge::last(counts);
        judge::all_is_there(&hands::held());
        judge::all_comes_back(scenario.setting);
    });
    counts.add(Fact::Executions, 1);
    EVENTS.with(|events| {
        counts.add(Fact::Points, events.points.get());
        counts.add(Fact::Aborts, events.aborts.get());
        counts.add(Fact::Moves, events.moves.get());
        counts.add(Fact::Fences, events.fences.get());
    });
}

fn set_options(setting: &Setting) {
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"CIDALLOC_"))
    {
        // SAFETY: this process has one thread.
        unsafe { std::env::remove_var(name) };
    }
    for (name, value) in [
        ("CID", setting.source),
        ("ARENA_CIDS", &setting.arena_cids.to_string()),
        ("CACHE_BYTES_MAX", setting.cache_bytes_max),
    ] {
        // SAFETY: this process has one thread.
        unsafe { std::env::set_var(format!("CIDALLOC_{name}"), value) };
    }
}

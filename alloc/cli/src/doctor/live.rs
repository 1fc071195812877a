//! Whether the ids in the area are alive: read by two threads that run at the same time.
//!
//! ```text
//!  thread on the lowest CPU    ── meet ── read ── meet ── read …      cid 0, node 0
//!  thread on the highest CPU   ── meet ── read ── meet ── read …      cid 1, node 1
//!                                  ▲ both run: their cids differ, or nobody fills them
//! ```
//!
//! CPU and node must be those that getcpu(2) tells; cids must differ and be below the number of
//! possible CPUs. What reads 0 where 0 would be right proves nothing, and is said to.
#![allow(unsafe_code)]

use super::nodes::Machine;
use super::point::Point;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use numa_sys::{CpuMask, topology};
use rseq_sys::area;
use rseq_sys::registration::{Owner, Registration, register_thread};
use std::time::Instant;

const ROUNDS: usize = 64;
/// Rounds of two that make a verdict.
const ROUNDS_ENOUGH: usize = 4;
const PATIENCE: Duration = Duration::from_millis(500);

/// What a thread reads of itself, about at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ids {
    cpu_id: i32,
    node_id: u32,
    mm_cid: u32,
    /// CPU and node by getcpu(2), where it is there and told the same before and after.
    by_call: Option<(u32, u32)>,
}

impl Ids {
    fn read(offset: isize) -> Self {
        let before = topology::current_cpu_and_node().ok();
        // SAFETY: the offset of this process's registration.
        let (cpu_id, node_id, mm_cid) =
            unsafe { (area::cpu_id(offset), area::node_id(offset), area::mm_cid(offset)) };
        let by_call = before.filter(|_| before == topology::current_cpu_and_node().ok());
        Self { cpu_id, node_id, mm_cid, by_call }
    }
}

/// Reads, and says what they show.
pub(crate) fn look(registration: &Registration, machine: &Machine) -> Vec<Point> {
    if registration.owner == Owner::Nobody {
        let absent = |name| Point::word(name, "absent", "nobody registered an area");
        return vec![absent("cpu_id"), absent("node_id"), absent("mm_cid")];
    }
    let rounds = meet(registration, machine.allowed());
    vec![
        cpu_point(&rounds),
        node_point(&rounds, registration.has_mm_cid),
        cid_point(&rounds, registration.has_mm_cid, machine.possible_cpus_end()),
    ]
}

/// Two threads at the ends of the CPUs allowed, round by round; fewer rounds when they do not
/// meet in time, one thread's alone where one CPU is allowed.
fn meet(registration: &Registration, allowed: Option<&CpuMask>) -> Vec<Vec<Ids>> {
    let ends = allowed.and_then(|cpus| Some((cpus.lowest()?, cpus.highest()?)));
    let (low, high) = ends.unwrap_or((0, 0));
    let parties = if low == high { 1 } else { 2 };
    let arrived = AtomicUsize::new(0);
    let end = Instant::now() + PATIENCE;
    let party = |cpu: u32| {
        if registration.owner == Owner::Own && !register_thread(registration.offset) {
            return Vec::new();
        }
        if let Ok(only) = CpuMask::single(cpu) {
            // A CPU that just went away leaves the thread where it may run.
            let _ = numa_sys::numa_sched_setaffinity(&only);
        }
        let mut seen = Vec::with_capacity(ROUNDS);
        for round in 1..=ROUNDS {
            arrived.fetch_add(1, Ordering::Relaxed);
            while arrived.load(Ordering::Relaxed) < parties * round {
                if Instant::now() > end {
                    return seen;
                }
                core::hint::spin_loop();
            }
            seen.push(Ids::read(registration.offset));
        }
        seen
    };
    let seen = std::thread::scope(|scope| {
        let cpus = [low, high];
        // Threads of their own, so that this one keeps its affinity.
        let party = &party;
        let threads: Vec<_> =
            cpus[..parties].iter().map(|&cpu| scope.spawn(move || party(cpu))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    let rounds = seen.iter().map(Vec::len).min().unwrap_or(0);
    (0..rounds).map(|round| seen.iter().map(|ids| ids[round]).collect()).collect()
}

/// The numbers that `f` gives of all ids, each once, ascending.
fn distinct<T: Ord>(rounds: &[Vec<Ids>], f: impl Fn(&Ids) -> T) -> Vec<T> {
    let mut all: Vec<_> = rounds.iter().flatten().map(f).collect();
    all.sort();
    all.dedup();
    all
}

fn listed(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether `f` agrees with what getcpu(2) told; `None` where that told nothing.
fn agrees(rounds: &[Vec<Ids>], f: impl Fn(&Ids, (u32, u32)) -> bool) -> Option<bool> {
    let told = rounds.iter().flatten().filter_map(|ids| Some(f(ids, ids.by_call?)));
    told.reduce(|all, one| all && one)
}

const NO_CALL: &str = "getcpu(2) does not tell, so there is nothing to compare with";

fn cpu_point(rounds: &[Vec<Ids>]) -> Point {
    let name = "cpu_id";
    match agrees(rounds, |ids, (cpu, _)| ids.cpu_id.cast_unsigned() == cpu) {
        Some(true) => Point::word(name, "live", "as getcpu(2) tells, in each thread"),
        Some(false) => Point::word(name, "wrong", "getcpu(2) tells another one").costs(
            "shards by a CPU number that is none: corruption",
            "CIDALLOC_CID=emulated; report the kernel",
        ),
        None => Point::word(name, "unseen", NO_CALL),
    }
}

fn node_point(rounds: &[Vec<Ids>], filled: bool) -> Point {
    let name = "node_id";
    if !filled {
        return Point::word(name, "absent", "the kernel fills it from Linux 6.3 on");
    }
    let nodes = distinct(rounds, |ids| ids.node_id);
    match agrees(rounds, |ids, (_, node)| ids.node_id == node) {
        Some(true) if nodes == [0] => {
            let remark = "0, as getcpu(2) tells: what a field that nobody fills reads, too";
            Point::word(name, "plausible", remark)
        }
        Some(true) => {
            Point::word(name, "live", format!("as getcpu(2) tells, node {}", listed(&nodes)))
        }
        Some(false) => Point::word(name, "wrong", "getcpu(2) tells another one").costs(
            "memory of shards is on other nodes than their threads",
            "CIDALLOC_CID=cpu; report the kernel",
        ),
        None => Point::word(name, "unseen", NO_CALL),
    }
}

fn cid_point(rounds: &[Vec<Ids>], filled: bool, cpus_end: Option<u32>) -> Point {
    let name = "mm_cid";
    if !filled {
        return Point::word(name, "absent", "the kernel fills it from Linux 6.3 on").costs(
            "CPU numbers instead: caches follow the CPUs that threads ever ran on, and no node",
            "Linux 6.3 or later",
        );
    }
    let cids = distinct(rounds, |ids| ids.mm_cid);
    let shared = |cost: String| {
        Point::word(name, "wrong", cost).costs(
            "two threads in one shard at once: corruption",
            "CIDALLOC_CID=emulated; report the kernel",
        )
    };
    if let (Some(end), Some(&highest)) = (cpus_end, cids.last())
        && highest >= end
    {
        return shared(format!("{highest}, of {end} CPUs that may ever be there"));
    }
    let pairs: Vec<_> = rounds.iter().filter(|round| round.len() == 2).collect();
    if pairs.len() < ROUNDS_ENOUGH {
        let remark = format!("{}, but no two threads were seen to run at once", listed(&cids));
        return Point::word(name, "plausible", remark);
    }
    let same = pairs.iter().filter(|round| round[0].mm_cid == round[1].mm_cid).count();
    // A thread that was preempted between the meeting and its reading may read one that the
    // other has had meanwhile.
    if same * 4 > pairs.len() {
        return shared(format!("two threads that ran at once both had {}", listed(&cids)));
    }
    Point::word(name, "live", format!("threads that ran at once had {}", listed(&cids)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::point::Value;

    const A: Ids = Ids { cpu_id: 0, node_id: 0, mm_cid: 0, by_call: Some((0, 0)) };
    const B: Ids = Ids { cpu_id: 7, node_id: 1, mm_cid: 1, by_call: Some((7, 1)) };

    fn word(point: &Point) -> &str {
        match &point.value {
            Value::Word(word) => word,
            _ => panic!("{point:?}"),
        }
    }

    #[test]
    fn cids_that_differ_are_live() {
        let point = cid_point(&vec![vec![A, B]; 8], true, Some(8));
        assert_eq!((word(&point), point.degraded.is_some()), ("live", false));
        assert!(point.remark.ends_with(" 0, 1"), "{}", point.remark);
        // One stale reading of many is no proof of the contrary.
        let stale = Ids { mm_cid: 0, ..B };
        let rounds = [vec![A, stale], vec![A, B], vec![A, B], vec![A, B]];
        assert_eq!(word(&cid_point(&rounds, true, Some(8))), "live");
    }

    #[test]
    fn a_cid_that_nobody_fills_is_seen() {
        let dead = Ids { mm_cid: 0, ..B };
        let point = cid_point(&vec![vec![A, dead]; 8], true, Some(8));
        assert_eq!((word(&point), point.degraded.is_some()), ("wrong", true));
        assert_eq!(word(&cid_point(&vec![vec![A, B]; 8], true, Some(1))), "wrong", "bound");
        assert_eq!(word(&cid_point(&[vec![A], vec![A]], true, Some(8))), "plausible");
        assert_eq!(word(&cid_point(&[], true, None)), "plausible");
        assert!(cid_point(&[], false, None).degraded.is_some());
    }

    #[test]
    fn nodes_and_cpus_are_compared_with_the_call() {
        let two = [vec![A, B]];
        assert_eq!(word(&node_point(&two, true)), "live");
        assert_eq!(word(&cpu_point(&two)), "live");
        assert_eq!(word(&node_point(&[vec![A]], true)), "plausible");
        let dead = [vec![A, Ids { node_id: 0, cpu_id: 0, ..B }]];
        assert_eq!(word(&node_point(&dead, true)), "wrong");
        assert_eq!(word(&cpu_point(&dead)), "wrong");
        let silent = [vec![Ids { by_call: None, ..A }]];
        assert_eq!(word(&node_point(&silent, true)), "unseen");
        assert_eq!(word(&node_point(&two, false)), "absent");
    }

    #[test]
    fn two_threads_of_this_host_meet() {
        let registration = rseq_sys::registration::detect(0);
        let allowed = numa_sys::numa_sched_getaffinity().unwrap();
        if registration.owner == Owner::Nobody {
            println!("skipped: no rseq here");
            return;
        }
        let rounds = meet(&registration, Some(&allowed));
        assert!(!rounds.is_empty());
        let parties = if allowed.count() == 1 { 1 } else { 2 };
        assert!(rounds.iter().all(|round| round.len() == parties));
        assert_eq!(word(&cpu_point(&rounds)), "live");
        let after = numa_sys::numa_sched_getaffinity().unwrap();
        assert_eq!(after, allowed, "this thread's own affinity");
    }
}

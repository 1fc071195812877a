//! Leases that go from one thread to the next, and those that somebody takes over on the way.
#![allow(unsafe_code)]

use cidalloc::handover::{self, Parked, TakenOver};
use cidalloc::leases::COUNTERS;
use cidalloc::slots::CIDS;
use cidalloc::{free, malloc};
use core::sync::atomic::Ordering::Relaxed;
use std::sync::Barrier;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

fn work() {
    for size in [16, 100, 1000] {
        let block = malloc::alloc(size);
        assert!(!block.is_null());
        // SAFETY: allocated here, freed once.
        unsafe { free::free(block) };
    }
}

fn acquisitions() -> u64 {
    let counters =
        [&COUNTERS.recent, &COUNTERS.expansions, &COUNTERS.first_free, &COUNTERS.evictions];
    counters.iter().map(|counter| counter.load(Relaxed)).sum::<u64>()
        + COUNTERS.single_threaded.load(Relaxed)
}

/// Two workers that switch to each other; their cids, turn by turn.
fn ping_pong(turns: usize) -> Vec<u32> {
    fn run(inbox: &Receiver<Parked>, next: &Sender<Parked>, turns: usize) -> Vec<u32> {
        let mut cids = Vec::new();
        for _ in 0..turns {
            let Ok(lease) = inbox.recv() else { break };
            cids.push(lease.cid());
            lease.resume().expect("there are fewer threads than CPUs, or nobody else allocates");
            work();
            let lease = handover::park().expect("it was resumed");
            if next.send(lease).is_err() {
                break;
            }
        }
        cids
    }
    let (to_a, a) = channel();
    let (to_b, b) = channel();
    work();
    to_a.send(handover::park().expect("this thread has just allocated")).expect("a channel");
    let (mine, others) = thread::scope(|scope| {
        let other = scope.spawn(move || run(&b, &to_a, turns));
        (run(&a, &to_b, turns), other.join().expect("it ends"))
    });
    [mine, others].concat()
}

/// One test, since the environment is the process's and counters are everybody's.
#[test]
fn leases_are_handed_on_parked_and_taken_over() {
    // SAFETY: no other thread reads the environment yet.
    unsafe { std::env::set_var("CIDALLOC_CID", "emulated") };
    assert!(handover::park().is_none(), "nothing was allocated yet");

    // Handed on: the same cid in every turn, and no acquisition but the first.
    let cids = ping_pong(500);
    assert_eq!(cids.len(), 1000);
    assert!(cids.iter().all(|&cid| cid == cids[0]), "{cids:?}");
    assert_eq!(COUNTERS.transfers.load(Relaxed), 999, "all turns but the first of the first one");
    assert_eq!(acquisitions(), 1);
    assert_eq!((CIDS.used(), CIDS.users()), (0, 1), "the last one was dropped with its channel");

    // Resumed by the thread that has one: its own goes back.
    work();
    let first = handover::park().expect("a lease");
    work();
    let second = handover::park().map(|second| second.cid());
    assert!(second.is_none_or(|cid| cid != first.cid()), "two leases on one cid");
    assert!(first.resume() == Ok(()) || CIDS.allowed() == 1);
    assert!(CIDS.used() <= CIDS.bound());

    // Taken over: with more threads than cids, one of them comes for the parked one at last.
    let mut lost = 0;
    for _ in 0..1000 {
        work();
        let Some(lease) = handover::park() else { continue };
        let more = CIDS.allowed() + 1;
        // On a busy machine the first would else be gone before the last one begins.
        let all_worked = Barrier::new(more as usize);
        thread::scope(|scope| {
            let others: Vec<_> = (0..more)
                .map(|_| {
                    scope.spawn(|| {
                        (0..20).for_each(|_| work());
                        all_worked.wait();
                    })
                })
                .collect();
            // Joined one by one: the scope alone does not wait for the ends of its threads.
            others.into_iter().for_each(|other| other.join().expect("it ends"));
        });
        assert!(CIDS.used() <= CIDS.bound());
        lost += u32::from(lease.resume() == Err(TakenOver));
        if lost == 3 {
            break;
        }
    }
    assert!(lost > 0, "nobody ever took a parked lease over: {COUNTERS:?}");
    drop(handover::park());
    assert_eq!((CIDS.used(), CIDS.users()), (0, 1));
}

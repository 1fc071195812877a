//! Cooperative workers that switch directly to each other, and hand their cid on as they do.
//!
//! ```text
//!  CIDALLOC_CID=emulated cargo run --release -p cidalloc --example handover
//! ```
//!
//! A server lets one of its workers run at a time. A worker that has done its work parks its
//! lease, puts it into the next worker's mailbox, and sleeps until something comes to its own. Now
//! and then a worker is held up in its turn, as by a page fault: who waits for it waits no longer
//! than a time-out, and goes on under a lease that it acquires.
#![allow(unsafe_code)]

use cidalloc::handover::{self, Parked};
use cidalloc::heap::{self, Source};
use cidalloc::leases::COUNTERS;
use cidalloc::{free, malloc};
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::sync::{Condvar, Mutex};
use std::thread;

const SERVERS: usize = 2;
const WORKERS: usize = 8;
const ROUNDS: usize = 1000;
const TIME_OUT: Duration = Duration::from_millis(20);
/// A worker is held up for two time-outs in one of so many turns.
const HELD_UP: usize = 400;

/// What a worker waits for: its turn, with the lease that comes along if there is one.
#[derive(Default)]
struct Mailbox {
    turn: Mutex<Option<Option<Parked>>>,
    arrived: Condvar,
}

impl Mailbox {
    fn send(&self, lease: Option<Parked>) {
        *self.turn.lock().expect("no worker panics") = Some(lease);
        self.arrived.notify_one();
    }
    /// `None` when nothing came in time.
    fn wait(&self) -> Option<Option<Parked>> {
        let guard = self.turn.lock().expect("no worker panics");
        let (mut guard, _) = self
            .arrived
            .wait_timeout_while(guard, TIME_OUT, |turn| turn.is_none())
            .expect("no worker panics");
        guard.take()
    }
}

/// What happened, summed up over all workers.
#[derive(Default, Clone, Copy)]
struct Tally {
    turns: usize,
    resumed: usize,
    lost: usize,
    time_outs: usize,
}

fn acquisitions() -> u64 {
    let counters = [
        &COUNTERS.single_threaded,
        &COUNTERS.recent,
        &COUNTERS.node_local,
        &COUNTERS.expansions,
        &COUNTERS.first_free,
        &COUNTERS.evictions,
    ];
    counters.iter().map(|counter| counter.load(Relaxed)).sum()
}

/// A turn's work: some blocks, allocated and freed.
fn work() {
    for size in 1..64 {
        let block = malloc::alloc(size * 16);
        assert!(!block.is_null());
        // SAFETY: allocated here, freed once.
        unsafe { free::free(block) };
    }
}

fn run_worker(me: usize, mailboxes: &[Mailbox]) -> Tally {
    let mut tally = Tally::default();
    while tally.turns < ROUNDS {
        match mailboxes[me].wait() {
            Some(Some(lease)) => match lease.resume() {
                Ok(()) => tally.resumed += 1,
                Err(_) => tally.lost += 1,
            },
            Some(None) => {}
            // Nobody came: it works without being asked to, under a lease that it acquires.
            None => tally.time_outs += 1,
        }
        work();
        tally.turns += 1;
        if tally.turns % HELD_UP == 0 {
            thread::sleep(2 * TIME_OUT);
        }
        mailboxes[(me + 1) % mailboxes.len()].send(handover::park());
    }
    tally
}

fn main() {
    work();
    if heap::started().is_none_or(|heap| heap.source != Source::Emulated) {
        println!(
            "cids are the kernel's here, which hands them over itself: set CIDALLOC_CID=emulated"
        );
        return;
    }
    let before = acquisitions();
    let tallies = thread::scope(|scope| {
        let servers: Vec<_> = (0..SERVERS)
            .map(|_| {
                scope.spawn(|| {
                    let mailboxes: Vec<_> = (0..WORKERS).map(|_| Mailbox::default()).collect();
                    mailboxes[0].send(None);
                    thread::scope(|scope| {
                        let workers: Vec<_> = (0..WORKERS)
                            .map(|me| {
                                scope.spawn({
                                    let mailboxes = &mailboxes;
                                    move || run_worker(me, mailboxes)
                                })
                            })
                            .collect();
                        workers
                            .into_iter()
                            .map(|worker| worker.join().expect("it ends"))
                            .collect::<Vec<_>>()
                    })
                })
            })
            .collect();
        servers.into_iter().flat_map(|server| server.join().expect("it ends")).collect::<Vec<_>>()
    });
    let sum = |of: fn(&Tally) -> usize| tallies.iter().map(of).sum::<usize>();
    let (turns, resumed) = (sum(|t| t.turns), sum(|t| t.resumed));
    println!("servers              {SERVERS}, with {WORKERS} workers each");
    println!("turns                {turns}");
    println!(
        "leases resumed       {resumed}, counted as transfers: {}",
        COUNTERS.transfers.load(Relaxed)
    );
    println!("leases taken over    {}", sum(|t| t.lost));
    println!("time-outs            {}", sum(|t| t.time_outs));
    println!("cids acquired        {}", acquisitions() - before);
}

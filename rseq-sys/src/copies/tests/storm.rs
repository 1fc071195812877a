//! Conservation: more threads than CPUs, all operations, and a handler that interrupts them to do
//! the same.

use super::*;
use Outcome::Done;
use core::ffi::c_int;

const THREADS: usize = 8;
const ROUNDS: usize = 30_000;
const NODES: usize = 256;

// The words of a copy.
const SUM: usize = 0;
const COMPARED: usize = 1;
const BOTH: usize = 2;
const ZERO: usize = 3;
const PAIR: usize = 4;
const PARTNER: usize = 5;
const HEAD: usize = 6;
const LOGGED: usize = 8;
const LOG: usize = 9;
/// Words of one record in a copy's log of so many.
const RECORD: usize = 3;
const RECORDS: usize = 64;

/// What was done, to be found again in the copies.
#[derive(Default)]
struct Tally {
    sum: AtomicU64,
    compared: AtomicU64,
    both: AtomicU64,
    pairs: AtomicU64,
    logged: AtomicU64,
}

#[derive(Default)]
struct Node {
    next: AtomicU64,
    in_a_hand: AtomicBool,
}

static WORLD: AtomicUsize = AtomicUsize::new(0);
static TALLY: AtomicUsize = AtomicUsize::new(0);
static HANDLED: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    fn signal(number: c_int, handler: extern "C" fn(c_int)) -> usize;
    fn pthread_self() -> usize;
    fn pthread_kill(thread: usize, number: c_int) -> c_int;
}
const SIGUSR1: c_int = 10;

extern "C" fn handler(_: c_int) {
    let world = core::ptr::with_exposed_provenance::<World>(WORLD.load(Relaxed));
    let tally = core::ptr::with_exposed_provenance::<Tally>(TALLY.load(Relaxed));
    // SAFETY: both outlive the threads that are signalled.
    unsafe { count(&*world, &*tally, 3) };
    HANDLED.fetch_add(1, Relaxed);
}

/// One of each operation that counts.
fn count(w: &World, tally: &Tally, k: u64) {
    if perform!(w, add, w.word(SUM), k) {
        tally.sum.fetch_add(k, Relaxed);
    }
    let now = |i| match perform!(w, load, w.word(i)) {
        Done(found) => found,
        _ => u64::MAX,
    };
    let e = now(COMPARED);
    if perform!(w, compare_store, w.word(COMPARED), e, e.wrapping_add(1)) == Done(e) {
        tally.compared.fetch_add(1, Relaxed);
    }
    let e = now(BOTH);
    let both = perform!(w, compare_two_store, w.word(BOTH), e, w.word(ZERO), 0, e.wrapping_add(1));
    if both == Done(e) {
        tally.both.fetch_add(1, Relaxed);
    }
    let e = now(PAIR);
    let x = e.wrapping_add(1).wrapping_mul(7);
    let pair =
        perform!(w, compare_store_store, w.word(PAIR), e, e.wrapping_add(1), w.word(PARTNER), x);
    if pair == Done(e) {
        tally.pairs.fetch_add(1, Relaxed);
    }
    let e = now(LOGGED);
    let record = [e, !e, e.wrapping_mul(3)];
    let to = w.word(LOG + e as usize % RECORDS * RECORD).cast::<u8>();
    let (from, len) = (record.as_ptr().cast::<u8>(), size_of_val(&record));
    let new = e.wrapping_add(1);
    if perform!(w, compare_copy_store, w.word(LOGGED), e, new, to, from, len) == Done(e) {
        tally.logged.fetch_add(1, Relaxed);
    }
}

fn take(nodes: &[Node], address: u64) -> usize {
    let index = (address as usize - nodes.as_ptr().addr()) / size_of::<Node>();
    assert!(!nodes[index].in_a_hand.swap(true, Relaxed), "node {index} is in two places");
    index
}

/// A thread's part: nodes go from its hand to lists and back.
fn exchange(w: &World, tally: &Tally, nodes: &[Node], mut hand: Vec<usize>) -> usize {
    for round in 0..ROUNDS {
        count(w, tally, 1);
        if round % 16 == 0
            && let Done(first) = perform!(w, pop_all, w.word(HEAD))
        {
            let mut address = first;
            while address != 0 {
                hand.push(take(nodes, address));
                address = nodes[*hand.last().unwrap()].next.load(Relaxed);
            }
        } else if round % 3 == 0
            && let Done(node) = perform!(w, pop, w.word(HEAD), 0)
        {
            hand.push(take(nodes, node));
        } else if let Some(node) = hand.pop() {
            assert!(nodes[node].in_a_hand.swap(false, Relaxed));
            let address = (&raw const nodes[node]).cast_mut().cast::<u8>();
            address.expose_provenance();
            if !matches!(perform!(w, push, w.word(HEAD), address, 0), Done(_)) {
                assert!(!nodes[node].in_a_hand.swap(true, Relaxed));
                hand.push(node);
            }
        }
    }
    hand.len()
}

fn found_in_lists(w: &World, nodes: &[Node]) -> usize {
    let mut found = 0;
    for number in 0..COPIES {
        let mut address = w.at(number, HEAD).load(Relaxed);
        while address != 0 {
            address = nodes[take(nodes, address)].next.load(Relaxed);
            found += 1;
        }
    }
    found
}

fn storm(w: &World) {
    let (tally, done) = (Tally::default(), AtomicBool::new(false));
    let nodes: Vec<Node> = (0..NODES).map(|_| Node::default()).collect();
    nodes.iter().for_each(|node| node.in_a_hand.store(true, Relaxed));
    WORLD.store((&raw const *w).expose_provenance(), Relaxed);
    TALLY.store((&raw const tally).expose_provenance(), Relaxed);
    let threads = [const { AtomicUsize::new(0) }; THREADS];
    let in_hands: usize = std::thread::scope(|scope| {
        let (tally, nodes, done, threads) = (&tally, &nodes[..], &done, &threads);
        let run = |i: usize| {
            w.enter(i as u32);
            // SAFETY: no effect but its value.
            threads[i].store(unsafe { pthread_self() }, Relaxed);
            let share = NODES / THREADS;
            let in_hand = exchange(w, tally, nodes, (i * share..(i + 1) * share).collect());
            // From here on nobody signals it.
            while threads[i].swap(0, Relaxed) == 0 {
                core::hint::spin_loop();
            }
            w.leave();
            in_hand
        };
        let workers: Vec<_> = (0..THREADS).map(|i| scope.spawn(move || run(i))).collect();
        let signaller = scope.spawn(move || {
            while !done.load(Relaxed) {
                for thread in threads {
                    // Taken out while it is signalled, so that it does not end meanwhile.
                    let id = thread.swap(0, Relaxed);
                    if id != 0 {
                        // SAFETY: a thread that waits for its number before it ends.
                        unsafe { pthread_kill(id, SIGUSR1) };
                        thread.store(id, Relaxed);
                    }
                }
                std::thread::sleep(core::time::Duration::from_micros(50));
            }
        });
        let in_hands = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
        done.store(true, Relaxed);
        signaller.join().unwrap();
        in_hands
    });
    let sums = [
        (SUM, &tally.sum),
        (COMPARED, &tally.compared),
        (BOTH, &tally.both),
        (PAIR, &tally.pairs),
        (LOGGED, &tally.logged),
    ];
    for (word, wanted) in sums {
        assert_eq!(w.sum(word), wanted.load(Relaxed), "word {word}, {:?}", w.source);
    }
    for number in 0..COPIES {
        let word = |i| w.at(number, i).load(Relaxed);
        assert_eq!(word(PARTNER), word(PAIR).wrapping_mul(7), "the pair of copy {number}");
        let logged = word(LOGGED);
        // All but the oldest: the next one is copied over it, and is not committed if that is aborted.
        for e in (logged + 1).saturating_sub(RECORDS as u64)..logged {
            let record = LOG + e as usize % RECORDS * RECORD;
            let found = [word(record), word(record + 1), word(record + 2)];
            assert_eq!(found, [e, !e, e.wrapping_mul(3)], "record {e} of copy {number}");
        }
    }
    assert_eq!(in_hands + found_in_lists(w, &nodes), NODES, "each node is in one place");
}

#[test]
fn nothing_is_lost_or_doubled_in_a_storm_of_threads_and_signals() {
    // SAFETY: a handler for a signal that nobody else here uses.
    unsafe { signal(SIGUSR1, handler) };
    for world in worlds() {
        storm(&world);
    }
    assert!(HANDLED.load(Relaxed) > 0, "no thread was signalled");
}

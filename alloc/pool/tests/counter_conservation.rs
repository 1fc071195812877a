//! No add is lost or counted twice: not when the second thread comes, not by threads that are preempted
//! or moved anywhere in it, not by handlers above it, not while exact sums are taken.
#![allow(unsafe_code)]

#[path = "support/sources.rs"]
mod sources;
mod support;

use cidpool::{Counter, Counters, Source};
use core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use sources::{interrupted, many_threads, source};
use std::sync::Barrier;
use std::thread;
use support::Stop;

under_each_source!(
    nothing_is_lost_when_the_second_thread_comes,
    nothing_is_lost_by_threads_that_handlers_interrupt,
    a_sum_is_between_what_has_happened_and_what_has_begun,
    an_exact_sum_is_the_value_at_one_instant,
    a_group_is_what_its_counters_are,
    a_child_of_fork_counts_on_by_itself,
);

#[test]
#[ignore = "run under each source"]
fn nothing_is_lost_when_the_second_thread_comes() {
    const ADDS: u64 = 2000;
    for _ in 0..200 {
        let (counter, start) = (Counter::new(), Barrier::new(2));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    start.wait();
                    (0..ADDS).for_each(|_| counter.increment());
                });
            }
        });
        assert_eq!(counter.sum(), 2 * ADDS);
        assert_eq!(counter.sum_exact(), Ok(2 * ADDS));
    }
}

#[test]
fn one_thread_alone_has_one_atomic() {
    let counter = Counter::new();
    (0..1000).for_each(|_| counter.increment());
    assert!(!counter.is_spread());
    thread::scope(|scope| {
        scope.spawn(|| counter.add(7));
    });
    assert!(counter.is_spread());
    assert_eq!(counter.sum(), 1007);
}

#[test]
#[ignore = "run under each source"]
fn nothing_is_lost_by_threads_that_handlers_interrupt() {
    static COUNTER: Counter = Counter::new();
    static IN_HANDLERS: AtomicU64 = AtomicU64::new(0);
    const ADDS: u64 = 300_000;
    COUNTER.spread().unwrap();
    let handler = || {
        COUNTER.add(3);
        IN_HANDLERS.fetch_add(3, Relaxed);
    };
    let exact = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            while exact.load(Relaxed) {
                COUNTER.sum_exact().unwrap();
                thread::yield_now();
            }
        });
        let _stop = Stop(&exact);
        interrupted(many_threads(), handler, |_| (0..ADDS).for_each(|_| COUNTER.increment()));
    });
    let all = many_threads() as u64 * ADDS + IN_HANDLERS.load(Relaxed);
    assert!(IN_HANDLERS.load(Relaxed) > 0, "no handler ran");
    assert_eq!(COUNTER.sum(), all);
    assert_eq!(COUNTER.sum_exact(), Ok(all));
}

/// The error bound: what is under way while the words are read may be missing or not, and nothing else.
#[test]
#[ignore = "run under each source"]
fn a_sum_is_between_what_has_happened_and_what_has_begun() {
    let (counter, begun, happened) = (Counter::new(), AtomicU64::new(0), AtomicU64::new(0));
    let running = AtomicBool::new(true);
    thread::scope(|scope| {
        for _ in 0..many_threads() {
            scope.spawn(|| {
                while running.load(Relaxed) {
                    begun.fetch_add(5, SeqCst);
                    counter.add(5);
                    happened.fetch_add(5, SeqCst);
                }
            });
        }
        let _stop = Stop(&running);
        for round in 0..2000 {
            let least = happened.load(SeqCst);
            let sum = if round % 2 == 0 { counter.sum() } else { counter.sum_exact().unwrap() };
            let most = begun.load(SeqCst);
            assert!((least..=most).contains(&sum), "{least} <= {sum} <= {most}");
        }
    });
    assert_eq!(counter.sum(), happened.load(SeqCst));
}

/// Each thread adds 1 and takes it away again, so the value is never below 0 and never above the
/// number of threads. A sum of copies that change meanwhile can be; an exact one cannot.
#[test]
#[ignore = "run under each source"]
fn an_exact_sum_is_the_value_at_one_instant() {
    let (counter, running) = (Counter::new(), AtomicBool::new(true));
    let threads = many_threads();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while running.load(Relaxed) {
                    counter.add(1);
                    counter.add(1u64.wrapping_neg());
                }
            });
        }
        let _stop = Stop(&running);
        for _ in 0..3000 {
            let sum = counter.sum_exact().unwrap();
            assert!(sum <= threads as u64, "{}", sum.cast_signed());
        }
    });
    assert_eq!(counter.sum_exact(), Ok(0));
}

#[test]
#[ignore = "run under each source"]
fn a_group_is_what_its_counters_are() {
    static GROUP: Counters<5> = Counters::new();
    let threads = many_threads() as u64;
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for i in 0..10_000 {
                    GROUP.add(i % 5, i as u64 % 5 + 1);
                }
            });
        }
    });
    let expected = [1, 2, 3, 4, 5].map(|k| k * threads * 2000);
    assert_eq!(GROUP.sums(), expected);
    assert_eq!(GROUP.sums_exact(), Ok(expected));
}

/// The widest group takes a whole copy of a pool of its own.
#[test]
fn groups_of_any_length_are_apart() {
    let small = [const { Counters::<1>::new() }; 100];
    let wide = Counters::<8192>::new();
    for (i, counter) in small.iter().enumerate() {
        counter.spread().unwrap();
        counter.add(0, i as u64);
    }
    wide.spread().unwrap();
    wide.add(0, 1);
    wide.add(8191, 2);
    assert!(small.iter().enumerate().all(|(i, counter)| counter.sums() == [i as u64]));
    let sums = wide.sums();
    assert_eq!((sums[0], sums[8191], sums.iter().sum::<u64>()), (1, 2, 3));
}

/// Its item goes to the next one, which begins at 0.
#[test]
fn a_counter_begins_at_zero_whoever_had_its_item() {
    for _ in 0..1000 {
        let counter = Counter::new();
        counter.spread().unwrap();
        counter.add(u64::MAX);
        assert_eq!(counter.sum(), u64::MAX);
    }
}

#[test]
#[ignore = "run under each source"]
fn a_child_of_fork_counts_on_by_itself() {
    let counter = Counter::new();
    counter.spread().unwrap();
    counter.add(40);
    support::in_child(|| {
        counter.add(2);
        counter.sum() == 42 && counter.sum_exact() == Ok(42)
    });
    assert_eq!(counter.sum(), 40);
}

/// The other tests are of what they say.
#[test]
fn the_source_is_what_the_environment_says() {
    for setting in sources::SETTINGS {
        support::rerun_well("this_process_has_that_source", &[setting]);
    }
}

#[test]
#[ignore = "run under each source"]
fn this_process_has_that_source() {
    let expected = match std::env::var("CIDALLOC_CID").as_deref() {
        Ok("kernel") => Source::Kernel,
        Ok("cpu") => Source::Cpu,
        Ok("emulated") => Source::Emulated,
        Ok("none") => Source::None,
        // With areas of our own: whatever the host has.
        _ => return assert_ne!(source(), Source::None),
    };
    if source() != expected {
        println!("skipped: this host has no cids of the source {expected:?}");
        assert_ne!(expected, Source::Emulated, "every host has those");
    }
}

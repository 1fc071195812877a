//! No item is lost or handed out twice, with more threads than CPUs, on each kind of cid.
//!
//! Where cids come from is decided when a process begins: each test runs the storm in one of its own.

mod support;

use cidpool::{AllocateError, Item, Pool, registry};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::collections::HashSet;
use support::{Stop, rerun_well, word};

const THREADS: usize = 8;
const ROUNDS: usize = 20_000;

/// A linear congruential generator, for choices.
struct Choices(u64);
impl Choices {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % n
    }
}

/// Marks an item as somebody's, in copy 0, which nobody else uses.
fn mark(item: Item) {
    assert_eq!(word(item.as_ptr()).swap(1, Relaxed), 0, "{item:?} was handed out twice");
}
fn unmark(item: Item) {
    assert_eq!(word(item.as_ptr()).swap(0, Relaxed), 1, "{item:?} was not ours");
}

fn churn(pool: &Pool, seed: usize, most: usize) {
    let mut choices = Choices(seed as u64);
    let mut mine: Vec<Item> = Vec::new();
    for _ in 0..ROUNDS {
        match choices.below(8) {
            0..4 if mine.len() < most => match pool.allocate() {
                Ok(item) => {
                    mark(item);
                    mine.push(item);
                }
                Err(error) => assert!(matches!(error, AllocateError::Full { .. })),
            },
            4 if mine.len() + 40 < most => {
                let before = mine.len();
                if pool.allocate_many(40, &mut mine).is_ok() {
                    mine[before..].iter().copied().for_each(mark);
                }
                assert!(mine.len() == before || mine.len() == before + 40);
            }
            5 if mine.len() > 33 => {
                let some = mine.split_off(mine.len() - 33);
                some.iter().copied().for_each(unmark);
                // SAFETY: they are ours.
                unsafe { pool.free_many(&some) };
            }
            _ if !mine.is_empty() => {
                let item = mine.swap_remove(choices.below(mine.len()));
                unmark(item);
                // SAFETY: it is ours.
                unsafe { pool.free(item) };
            }
            _ => {}
        }
    }
    mine.iter().copied().for_each(unmark);
    // SAFETY: they are ours.
    unsafe { pool.free_many(&mine) };
}

/// Every item can be had exactly once when nobody has one.
fn assert_conserved(pool: &Pool) {
    let statistics = pool.statistics();
    assert_eq!(statistics.items, 0, "{statistics}");
    let mut all = Vec::new();
    while let Ok(item) = pool.allocate() {
        all.push(item);
    }
    let different: HashSet<Item> = all.iter().copied().collect();
    let capacity = pool.statistics().capacity;
    assert_eq!((all.len(), different.len()), (capacity, capacity));
    assert_eq!(pool.statistics().items, capacity);
    // SAFETY: they are ours.
    unsafe { pool.free_many(&all) };
}

fn churn_all(pool: &Pool, most: usize) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || churn(pool, thread + 1, most));
        }
    });
}

fn storm(pool: &Pool, most: usize) {
    churn_all(pool, most);
    assert_conserved(pool);
}

#[test]
#[ignore = "run by the others, with one source of cids each"]
fn storms() {
    // Room for all: ranges are added. No room: items are taken back from cids.
    storm(&Pool::builder(64).stride(4096).ranges_max(64).build().unwrap(), 150);
    let tight = Pool::builder(128).stride(4096).ranges_max(4).build().unwrap();
    storm(&tight, 60);
    storm(&Pool::builder(16).robust(true).stride(4096).ranges_max(8).build().unwrap(), 100);
    storm(&Pool::builder(8).stride(4096).global().ranges_max(2).build().unwrap(), 300);
    // Less than two cids like to have: they take it from each other all the time.
    let contended = Pool::builder(64).stride(4096).ranges_max(1).build().unwrap();
    storm(&contended, 20);
    println!("{}{}", tight.statistics(), contended.statistics());
}

#[test]
#[ignore = "run by the others, with one source of cids each"]
fn trims_in_a_storm() {
    let pool = Pool::builder(64).stride(4096).ranges_max(32).build().unwrap();
    let running = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let pool = &pool;
                scope.spawn(move || {
                    for round in 0..20 {
                        let mut choices = Choices((thread * 100 + round) as u64);
                        let mut mine = Vec::new();
                        for _ in 0..500 {
                            if let Ok(item) = pool.allocate_zeroed() {
                                mark(item);
                                mine.push(item);
                            }
                            if choices.below(3) == 0 {
                                let item = mine.swap_remove(choices.below(mine.len()));
                                unmark(item);
                                // SAFETY: it is ours.
                                unsafe { pool.free(item) };
                            }
                            if mine.len() > 100 {
                                mine.drain(..).for_each(|item| {
                                    unmark(item);
                                    // SAFETY: it is ours.
                                    unsafe { pool.free(item) };
                                });
                            }
                        }
                        for item in mine {
                            unmark(item);
                            // SAFETY: it is ours.
                            unsafe { pool.free(item) };
                        }
                    }
                })
            })
            .collect();
        let (pool, stop) = (&pool, Stop(&running));
        let running = &running;
        let trimmer = scope.spawn(move || {
            let mut retired = 0;
            while running.load(Relaxed) {
                retired += pool.trim();
                assert!(registry().iter().any(|other| other.name == pool.name()));
            }
            retired
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        drop(stop);
        println!("{} ranges given back", trimmer.join().unwrap());
        println!("{}", pool.statistics());
    });
    assert_conserved(&pool);
}

static IN_HANDLER: AtomicU64 = AtomicU64::new(0);
static HANDLED: std::sync::OnceLock<Pool> = std::sync::OnceLock::new();

extern "C" fn allocate_in_handler(_: i32) {
    if let Some(pool) = HANDLED.get()
        && let Ok(item) = pool.allocate()
    {
        mark(item);
        unmark(item);
        // SAFETY: it is ours.
        unsafe { pool.free(item) };
        IN_HANDLER.fetch_add(1, Relaxed);
    }
}

#[test]
#[ignore = "run by the others, with one source of cids each"]
fn signals_in_a_storm() {
    let pool = Pool::builder(64).stride(4096).ranges_max(16).build().unwrap();
    HANDLED.set(pool.clone()).unwrap();
    // SAFETY: a handler that is made for it; a timer of this process.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = allocate_in_handler as extern "C" fn(i32) as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(libc::SIGALRM, &raw const action, core::ptr::null_mut()), 0);
        let every = libc::timeval { tv_sec: 0, tv_usec: 200 };
        let timer = libc::itimerval { it_interval: every, it_value: every };
        assert_eq!(libc::setitimer(libc::ITIMER_REAL, &raw const timer, core::ptr::null_mut()), 0);
    }
    churn_all(&pool, 60);
    // No handler may move items while they are counted.
    // SAFETY: as above.
    unsafe {
        let timer: libc::itimerval = core::mem::zeroed();
        assert_eq!(libc::setitimer(libc::ITIMER_REAL, &raw const timer, core::ptr::null_mut()), 0);
    }
    println!("{} items allocated by handlers", IN_HANDLER.load(Relaxed));
    assert!(IN_HANDLER.load(Relaxed) > 0, "no handler had an item");
    assert_conserved(&pool);
}

const STORMS: [&str; 3] = ["storms", "trims_in_a_storm", "signals_in_a_storm"];

#[test]
fn no_item_is_lost_on_kernel_cids() {
    STORMS.iter().for_each(|name| rerun_well(name, &[("CIDALLOC_CID", "kernel")]));
}
#[test]
fn no_item_is_lost_on_cpu_numbers() {
    STORMS.iter().for_each(|name| rerun_well(name, &[("CIDALLOC_CID", "cpu")]));
}
#[test]
fn no_item_is_lost_on_emulated_cids() {
    STORMS.iter().for_each(|name| rerun_well(name, &[("CIDALLOC_CID", "emulated")]));
}
#[test]
fn no_item_is_lost_without_cids() {
    STORMS.iter().for_each(|name| rerun_well(name, &[("CIDALLOC_CID", "none")]));
}
#[test]
fn no_item_is_lost_where_libc_registers_nobody() {
    let no_rseq = ("GLIBC_TUNABLES", "glibc.pthread.rseq=0");
    STORMS.iter().for_each(|name| rerun_well(name, &[no_rseq]));
}

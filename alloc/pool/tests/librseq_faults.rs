//! Faults that librseq's memory pools are known for, and that these have not: see
//! `docs/pool-librseq.md`.

mod support;

use cidpool::{AllocateError, Item, Pool, PoolSet, Populate, Source, sections};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use core::time::Duration;
use std::sync::mpsc;
use support::{rerun_well, until, word};

fn free(pool: &Pool, item: Item) {
    // SAFETY: tests pass items that are theirs.
    unsafe { pool.free(item) };
}

/// There: allocation and free take a mutex, so that nobody gets on while somebody in it does not.
#[test]
fn allocation_and_free_go_on_while_the_lock_is_held() {
    static IN_THE_LOCK: AtomicBool = AtomicBool::new(false);
    static GO_ON: AtomicBool = AtomicBool::new(false);
    let pool = Pool::builder(32).build().unwrap();
    // One range, with free items enough for all.
    let first = pool.allocate().unwrap();
    let slow = Pool::builder(32)
        .populate(Populate::Image)
        .initialise(|_| {
            IN_THE_LOCK.store(true, Release);
            while !GO_ON.load(Acquire) {
                std::thread::sleep(Duration::from_millis(1));
            }
        })
        .build()
        .unwrap();
    std::thread::scope(|scope| {
        let held = scope.spawn(|| slow.allocate().map(|item| free(&slow, item)));
        until(|| IN_THE_LOCK.load(Acquire));
        let (done, wait) = mpsc::channel();
        for _ in 0..4 {
            let (pool, done) = (&pool, done.clone());
            scope.spawn(move || {
                for _ in 0..1000 {
                    let items = [pool.allocate_zeroed().unwrap(), pool.allocate().unwrap()];
                    items.into_iter().for_each(|item| free(pool, item));
                }
                done.send(()).unwrap();
            });
        }
        let all = (0..4).all(|_| wait.recv_timeout(Duration::from_secs(60)).is_ok());
        GO_ON.store(true, Release);
        assert!(all, "a thread waited for the lock");
        held.join().unwrap().unwrap();
    });
    free(&pool, first);
}

/// There: `malloc_init` of a set passes that the item is to be zero, and the value is ignored.
#[test]
fn an_initial_value_is_used_whichever_pool_of_a_set_has_the_item() {
    for populate in [Populate::Zero, Populate::Image] {
        let mut set = PoolSet::new();
        for item_len in [16, 48, 200] {
            let pool = Pool::builder(item_len).stride(4096).ranges_max(1).populate(populate);
            set.add(pool.build().unwrap()).unwrap();
        }
        let value = 0x1122_3344_5566_7788u64.to_ne_bytes();
        let mut lengths = Vec::new();
        let mut items = Vec::new();
        while let Ok(item) = set.allocate_init(8, &value) {
            assert!(
                set.copies(item).all(|(_, copy)| word(copy).load(Relaxed).to_ne_bytes() == value)
            );
            lengths.push(set.pool_of(item).unwrap().item_len());
            items.push(item);
        }
        assert!(lengths.is_sorted(), "the smallest that fits and is not full");
        assert_eq!(lengths.len(), 4096 / 16 + 4096 / 48 + 4096 / 200);
        // SAFETY: ours, once.
        items.into_iter().for_each(|item| unsafe { set.free(item) });
    }
}

/// The child of the next test, on one CPU.
#[test]
#[ignore = "needs a process that may use one CPU alone"]
fn threads_on_the_highest_cpu() {
    let cids = cidalloc::percid::get().unwrap();
    if cids.source != Source::Kernel {
        println!("skipped: no cids of the kernel, but {:?}: {}", cids.source, cids.why);
        return;
    }
    let pool = Pool::builder(8).build().unwrap();
    let item = pool.allocate_zeroed().unwrap();
    let at = item.as_ptr().expose_provenance().get();
    let added = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    let word = core::ptr::with_exposed_provenance_mut(at);
                    // SAFETY: a word of an item of this pool.
                    if unsafe { sections::add(cids, pool.shift(), word, 1) } {
                        added.fetch_add(1, Relaxed);
                    }
                }
            });
        }
    });
    let used: Vec<_> =
        pool.copies(item).filter(|&(_, copy)| word(copy).load(Relaxed) != 0).collect();
    let sum: u64 = used.iter().map(|&(_, copy)| word(copy).load(Relaxed)).sum();
    assert_eq!(sum, added.load(Relaxed));
    let cids: Vec<usize> = used.iter().map(|(place, _)| place.cid).collect();
    assert_eq!(cids, [0], "one thread ran at a time");
    free(&pool, item);
}

/// There: copies and their nodes go by the number of a CPU.
#[test]
fn copies_follow_concurrency_and_not_the_numbers_of_cpus() {
    // SAFETY: a set of CPUs is plain bits; the calls write no more than it.
    let (mut allowed, mut highest): (libc::cpu_set_t, libc::cpu_set_t) =
        unsafe { (core::mem::zeroed(), core::mem::zeroed()) };
    // SAFETY: as above.
    unsafe {
        assert_eq!(libc::sched_getaffinity(0, size_of_val(&allowed), &raw mut allowed), 0);
        let cpu = (0..libc::CPU_SETSIZE as usize).rev().find(|&cpu| libc::CPU_ISSET(cpu, &allowed));
        libc::CPU_SET(cpu.expect("a CPU that is allowed"), &mut highest);
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&highest), &raw const highest), 0);
    }
    // A child begins with the CPUs of the thread that starts it.
    rerun_well("threads_on_the_highest_cpu", &[]);
    // SAFETY: as above.
    unsafe { libc::sched_setaffinity(0, size_of_val(&allowed), &raw const allowed) };
}

/// There: no bulk forms.
#[test]
fn many_items_come_at_once_or_none_does() {
    let pool = Pool::builder(64).stride(4096).ranges_max(2).robust(true).build().unwrap();
    let mut items = vec![pool.allocate().unwrap()];
    let most = 2 * 4096 / 64;
    assert_eq!(pool.allocate_many(most, &mut items), Err(AllocateError::Full { ranges: 2 }));
    assert_eq!(items.len(), 1, "none was left there");
    pool.allocate_many(most - 1, &mut items).unwrap();
    let mut addresses: Vec<_> = items.iter().map(|item| item.as_ptr()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), most);
    // SAFETY: ours, once.
    unsafe { pool.free_many(&items) };
    assert_eq!(pool.statistics().items, 0);
}

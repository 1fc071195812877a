//! What nobody needs goes back to the system, and not before nobody looks.

mod support;

use cidpool::{Item, Pool, Populate, registry};
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;
use support::word;

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn mappings(name: &str) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains(name)).count()
}

/// Lets epochs pass.
fn pass() {
    for _ in 0..1000 {
        crossbeam_epoch::pin().flush();
    }
}

#[test]
fn trim_gives_memory_back_at_once() {
    let pool = Pool::builder(65536).name("large").ranges_max(256).build().unwrap();
    let mut items = Vec::new();
    pool.allocate_many(256, &mut items).unwrap();
    for &item in &items {
        // SAFETY: copy 0 of our item.
        unsafe { item.as_ptr().write_bytes(1, 65536) };
    }
    const WRITTEN: usize = 256 * 65536;
    let statistics = pool.statistics();
    assert_eq!(statistics.bytes_resident(), Some(WRITTEN), "{statistics}");
    assert_eq!(statistics.resident.unwrap()[0].copies, 1);
    let before = resident_bytes();
    // SAFETY: ours, once.
    unsafe { pool.free_many(&items) };
    assert_eq!(pool.trim(), 256);
    let statistics = pool.statistics();
    assert_eq!((statistics.ranges, statistics.capacity, statistics.items), (0, 0, 0));
    assert!(resident_bytes() + WRITTEN - (4 << 20) < before, "{before} {}", resident_bytes());
    // And the pool goes on.
    let item = pool.allocate_zeroed().unwrap();
    assert!(pool.copies(item).all(|(_, copy)| word(copy).load(Relaxed) == 0));
    // SAFETY: ours, once.
    unsafe { pool.free(item) };
}

#[test]
fn a_range_with_an_item_stays() {
    let pool = Pool::builder(64).stride(4096).build().unwrap();
    let mut items = Vec::new();
    pool.allocate_many(64 * 5, &mut items).unwrap();
    let kept = items.swap_remove(100);
    word(kept.as_ptr()).store(42, Relaxed);
    // SAFETY: ours, once.
    unsafe { pool.free_many(&items) };
    assert_eq!(pool.trim(), 4);
    assert_eq!(pool.trim(), 0);
    assert_eq!(word(kept.as_ptr()).load(Relaxed), 42);
    assert_eq!(pool.statistics().ranges, 1);
    // SAFETY: ours, once.
    unsafe { pool.free(kept) };
    assert_eq!(pool.trim(), 1);
}

#[test]
fn who_iterates_may_go_on_when_the_pool_is_dropped() {
    let pool = Pool::builder(64).name("iterated").populate(Populate::Image).build().unwrap();
    let item = pool.allocate().unwrap();
    let copies = pool.copies(item);
    let count = copies.len();
    std::thread::spawn(move || drop(pool)).join().unwrap();
    std::thread::spawn(pass).join().unwrap();
    assert!(mappings("cidpool:iterated") > 0, "unmapped under an iterator");
    let mut seen = 0;
    for (_, copy) in copies {
        word(copy).load(Relaxed);
        seen += 1;
    }
    assert_eq!(seen, count);
    // Other tests iterate as well.
    for _ in 0..1000 {
        pass();
        if mappings("cidpool:iterated") == 0 {
            return;
        }
        std::thread::sleep(core::time::Duration::from_millis(1));
    }
    panic!("the dropped pool is still mapped");
}

#[test]
fn a_pool_is_in_the_registry_until_it_is_dropped() {
    let is_there = || registry().iter().any(|pool| pool.name == "listed");
    let pool = Pool::builder(64).name("listed").build().unwrap();
    let other = pool.clone();
    drop(pool);
    assert!(is_there());
    drop(other);
    assert!(!is_there());
}

#[test]
fn the_registry_may_be_read_while_pools_come_and_go() {
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..300 {
                    let pool = Pool::builder(64).name("brief").build().unwrap();
                    let item = pool.allocate().unwrap();
                    word(item.as_ptr()).store(1, Relaxed);
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..300 {
                    registry().iter().for_each(|pool| assert!(pool.items <= 64 * 1024, "{pool}"));
                }
            });
        }
    });
}

#[test]
fn of_what_is_no_item_nothing_is_said() {
    let (pool, other) = (Pool::builder(64).build().unwrap(), Pool::builder(64).build().unwrap());
    let (item, foreign) = (pool.allocate().unwrap(), other.allocate().unwrap());
    word(item.as_ptr()).store(1, Relaxed);
    assert_eq!(pool.resident(item).map(|found| found.len()), Some(1));
    let local = 1u64;
    let interior = item.as_ptr().map_addr(|address| address.saturating_add(8));
    let nowhere = NonNull::without_provenance(core::num::NonZero::<usize>::MAX);
    for address in [NonNull::from(&local).cast(), foreign.as_ptr(), interior, nowhere] {
        assert_eq!(pool.resident(Item::from_ptr(address)), None);
    }
    // SAFETY: ours, once.
    unsafe {
        pool.free(item);
        other.free(foreign);
    }
}

#[test]
fn statistics_count_what_there_is() {
    let pool = Pool::builder(100).name("counted").stride(4096).ranges_max(3).build().unwrap();
    let nothing = pool.statistics();
    assert_eq!((nothing.items, nothing.capacity, nothing.ranges), (0, 0, 0));
    assert_eq!(nothing.bytes_resident(), Some(0));
    let mut items = Vec::new();
    pool.allocate_many(50, &mut items).unwrap();
    let now = pool.statistics();
    let places = pool.places().count();
    assert_eq!((now.items, now.capacity, now.ranges, now.ranges_max), (50, 78, 2, 3));
    assert_eq!((now.item_len, now.stride, now.copies), (100, 4096, places));
    assert_eq!(now.bytes_reserved, 2 * places * 4096);
    assert_eq!(now.bytes_resident(), Some(0), "nothing was written");
    word(items[0].as_ptr()).store(1, Relaxed);
    assert_eq!(pool.statistics().bytes_resident(), Some(4096));
    let text = pool.statistics().to_string();
    assert!(
        text.starts_with("pool counted: 50 of 78 items of 100 bytes are allocated\n"),
        "{text}"
    );
    assert!(text.contains("node 0        1 copies resident, 4 KiB"), "{text}");
    // SAFETY: ours, once.
    unsafe { pool.free_many(&items) };
    assert_eq!(pool.statistics().items, 0);
}

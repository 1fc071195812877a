//! What librseq's memory pools have, where no other test of this package shows it: see
//! `docs/pool-librseq.md`, whose rows name the tests.

mod support;

use cidpool::{AllocateError, Item, Place, Pool, Populate, STRIDE};
use core::sync::atomic::Ordering::Relaxed;
use std::collections::BTreeMap;
use std::sync::Mutex;
use support::word;

fn free(pool: &Pool, item: Item) {
    // SAFETY: tests pass items that are theirs.
    unsafe { pool.free(item) };
}

#[test]
fn items_of_a_pool_are_as_many_as_its_ranges_hold_and_no_two_overlap() {
    let pool = Pool::builder(40).stride(4096).ranges_max(3).build().unwrap();
    let mut items = BTreeMap::new();
    let full = loop {
        match pool.allocate() {
            Ok(item) => assert!(items.insert(item.as_ptr().addr().get(), item).is_none()),
            Err(error) => break error,
        }
    };
    assert_eq!(full, AllocateError::Full { ranges: 3 });
    assert_eq!(items.len(), 3 * (4096 / 40));
    let mut pairs = items.keys().zip(items.keys().skip(1));
    assert!(pairs.all(|(one, next)| next - one >= 40));
    assert_eq!(pool.statistics().ranges, 3);
    items.into_values().for_each(|item| free(&pool, item));
}

#[test]
fn copies_are_a_stride_apart_and_in_the_order_of_their_places() {
    for stride in [STRIDE, 4096, 1 << 21] {
        let pool = Pool::builder(32).stride(stride).build().unwrap();
        let item = pool.allocate().unwrap();
        let places: Vec<Place> = pool.places().collect();
        assert!(places.is_sorted());
        for (number, (place, copy)) in pool.copies(item).enumerate() {
            assert_eq!(place, places[number]);
            assert_eq!(copy.addr().get(), item.as_ptr().addr().get() + number * stride);
            assert_eq!(copy, pool.copy(item, place));
        }
        free(&pool, item);
    }
}

#[test]
fn an_item_may_be_as_long_as_a_copy() {
    let stride = 1 << 25;
    let pool = Pool::builder(stride).stride(stride).ranges_max(1).build().unwrap();
    let item = pool.allocate_zeroed().unwrap();
    let last = item.as_ptr().map_addr(|address| address.saturating_add(stride - 8));
    word(last).store(1, Relaxed);
    let copies: u64 = pool
        .copies(item)
        .map(|(_, copy)| copy.map_addr(|address| address.saturating_add(stride - 8)))
        .map(|last| word(last).load(Relaxed))
        .sum();
    assert_eq!(copies, 1, "no copy reaches into the next one");
    free(&pool, item);
}

#[test]
fn the_initialiser_fills_each_range_once() {
    static RANGES: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let pool = Pool::builder(1024)
        .stride(4096)
        .ranges_max(4)
        .populate(Populate::Image)
        .initialise(|range| {
            RANGES.lock().unwrap().push(range.number());
            let number = range.number() as u8;
            range.bytes().fill(number + 1);
        })
        .build()
        .unwrap();
    assert_eq!(*RANGES.lock().unwrap(), [], "no range before the first item");
    let mut items = Vec::new();
    pool.allocate_many(16, &mut items).unwrap();
    assert_eq!(*RANGES.lock().unwrap(), [0, 1, 2, 3]);
    let mut seen = [0; 4];
    for &item in &items {
        let first = word(item.as_ptr()).load(Relaxed).to_ne_bytes()[0];
        seen[usize::from(first) - 1] += 1;
        assert!(
            pool.copies(item).all(|(_, copy)| word(copy).load(Relaxed).to_ne_bytes() == [first; 8])
        );
    }
    assert_eq!(seen, [4; 4]);
    // SAFETY: ours, once.
    unsafe { pool.free_many(&items) };
}

#[test]
fn what_one_thread_allocates_another_one_frees() {
    let pool = Pool::builder(16).stride(4096).ranges_max(2).robust(true).build().unwrap();
    for _ in 0..4 {
        let mut items = Vec::new();
        std::thread::scope(|scope| {
            let made = scope.spawn(|| {
                let mut items = Vec::new();
                pool.allocate_many(512, &mut items).unwrap();
                items
            });
            items = made.join().unwrap();
        });
        assert_eq!(pool.allocate(), Err(AllocateError::Full { ranges: 2 }));
        std::thread::scope(|scope| {
            scope.spawn(|| items.iter().for_each(|&item| free(&pool, item)));
        });
    }
    assert_eq!(pool.statistics().items, 0);
}

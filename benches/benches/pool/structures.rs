//! Lists, rings and caches.

use core::hint::black_box;

use cidpool::ring::ticks;
use cidpool::{Cache, FreeList, List, Node, Ring, WhenFull};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

use super::{LOOP, ok, pool};

/// With the allocation of a node where the list of another cid is found empty.
#[divan::bench(sample_size = LOOP)]
fn list_pop_then_push(bencher: Bencher<'_, '_>) {
    let list = ok(List::<u64>::new(&pool(8)));
    bencher.bench_local(|| {
        let node = list.pop().ok().flatten().unwrap_or_else(|| Node::new(0));
        drop(black_box(list.push(node)));
    });
}

#[divan::bench(sample_size = LOOP)]
fn free_list_pop_then_push(bencher: Bencher<'_, '_>) {
    let list = ok(FreeList::<u64>::new(&pool(256), 64));
    bencher.bench_local(|| {
        let object = list.pop().unwrap_or_default();
        drop(black_box(list.push(object)));
    });
}

/// More than a stack has room for: batches come and go.
#[divan::bench(sample_size = 16)]
fn free_list_pop_200_then_push_them(bencher: Bencher<'_, '_>) {
    let list = ok(FreeList::<u64>::new(&pool(256), 64));
    let mut hands = Vec::with_capacity(200);
    bencher.counter(ItemsCount::new(200usize)).bench_local(|| {
        hands.extend((0..200).map(|_| list.pop().unwrap_or_default()));
        hands.drain(..).for_each(|object| drop(list.push(object)));
    });
}

fn ring(when_full: WhenFull) -> Ring {
    ok(Ring::with_stamps(&pool(Ring::item_len(32 << 10)), when_full, ticks))
}

#[divan::bench(sample_size = LOOP, args = [0, 16, 64, 512, 4000])]
fn ring_append(bencher: Bencher<'_, '_>, bytes: usize) {
    let (ring, payload) = (ring(WhenFull::Overwrite), vec![7; bytes]);
    bencher.counter(BytesCount::new(bytes)).bench_local(|| ring.append(black_box(&payload)));
}

#[divan::bench(sample_size = LOOP)]
fn ring_append_with_the_time_of_day(bencher: Bencher<'_, '_>) {
    let ring = ok(Ring::new(&pool(Ring::item_len(32 << 10)), WhenFull::Overwrite));
    bencher.bench_local(|| ring.append(black_box(&[7; 16])));
}

#[divan::bench(args = [1, 500])]
fn ring_append_and_drain(bencher: Bencher<'_, '_>, records: usize) {
    let ring = ring(WhenFull::DropNewest);
    let mut reader = ring.reader().expect("there is no other one");
    bencher.counter(ItemsCount::new(records)).bench_local(|| {
        (0..records).for_each(|_| _ = ring.append(black_box(&[7; 16])));
        reader.drain(|record| _ = black_box(record))
    });
}

fn cache() -> Cache<u64, [u64; 2]> {
    ok(Cache::new(&pool(Cache::<u64, [u64; 2]>::item_len(64))))
}

#[divan::bench(sample_size = LOOP)]
fn cache_hit(bencher: Bencher<'_, '_>) {
    let cache = cache();
    bencher.bench_local(|| cache.get_or_insert_with(black_box(12), |key| [key, 1]));
}

/// Every key is another one.
#[divan::bench(sample_size = LOOP)]
fn cache_miss_and_insertion(bencher: Bencher<'_, '_>) {
    let cache = cache();
    let mut key = 0;
    bencher.bench_local(|| {
        key += 1;
        cache.get_or_insert_with(key, |key| [key, 1])
    });
}

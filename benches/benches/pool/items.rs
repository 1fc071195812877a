//! Items of a pool: 64 bytes in each copy.

use core::hint::black_box;

use cidpool::{Pool, Populate};
use divan::Bencher;
use divan::counter::ItemsCount;

use super::{LOOP, ok, pool};

const ITEM: usize = 64;

#[divan::bench(sample_size = LOOP, threads = [1, 2])]
fn allocate_then_free(bencher: Bencher<'_, '_>) {
    let pool = pool(ITEM);
    bencher.bench(|| {
        let item = ok(pool.allocate());
        // SAFETY: just allocated, in nobody else's hands.
        unsafe { pool.free(black_box(item)) };
    });
}

/// Whole groups come and go.
#[divan::bench(args = [32, 1000])]
fn allocate_many_then_free_them(bencher: Bencher<'_, '_>, count: usize) {
    let pool = pool(ITEM);
    let mut items = Vec::with_capacity(count);
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        items.clear();
        ok(pool.allocate_many(count, &mut items));
        // SAFETY: as above.
        unsafe { pool.free_many(black_box(&items)) };
    });
}

fn initialised(bencher: Bencher<'_, '_>, populate: Populate) {
    let pool = ok(Pool::builder(ITEM).name("bench").populate(populate).build());
    bencher.bench_local(|| {
        let item = ok(pool.allocate_init(black_box(&[7; ITEM])));
        // SAFETY: as above.
        unsafe { pool.free(item) };
    });
}

#[divan::bench(sample_size = 64)]
fn allocate_initialised_then_free(bencher: Bencher<'_, '_>) {
    initialised(bencher, Populate::Zero);
}

#[divan::bench(sample_size = 64)]
fn allocate_initialised_by_the_image_then_free(bencher: Bencher<'_, '_>) {
    initialised(bencher, Populate::Image);
}

#[divan::bench]
fn build_with_an_item_then_drop(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| {
        let pool = pool(ITEM);
        let item = ok(pool.allocate());
        // SAFETY: as above.
        unsafe { pool.free(item) };
    });
}

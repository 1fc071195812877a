//! Increments, and what it costs to read.

use cidpool::{Counter, Counters};
use divan::Bencher;

use super::{LOOP, ok};

fn spread<const N: usize>() -> Counters<N> {
    let group = Counters::new();
    ok(group.spread());
    group
}

#[divan::bench(sample_size = LOOP, threads = [1, 2])]
fn increment(bencher: Bencher<'_, '_>) {
    let counter = Counter::new();
    ok(counter.spread());
    bencher.bench(|| counter.increment());
}

/// As long as nobody else adds, it has no copies.
#[divan::bench(sample_size = LOOP)]
fn increment_by_the_first_thread(bencher: Bencher<'_, '_>) {
    let counter = Counter::new();
    bencher.bench_local(|| counter.increment());
}

#[divan::bench(sample_size = LOOP)]
fn increment_one_of_512(bencher: Bencher<'_, '_>) {
    let group = spread::<512>();
    let mut next = 0;
    bencher.bench_local(|| {
        next = (next + 7) % 512;
        group.add(next, 1);
    });
}

#[divan::bench(consts = [1, 8, 64, 512])]
fn sums<const N: usize>(bencher: Bencher<'_, '_>) {
    let group = spread::<N>();
    (0..N).for_each(|index| group.add(index, 1));
    bencher.bench_local(|| group.sums());
}

/// With the fence.
#[divan::bench(consts = [1, 512])]
fn exact_sums<const N: usize>(bencher: Bencher<'_, '_>) {
    let group = spread::<N>();
    (0..N).for_each(|index| group.add(index, 1));
    bencher.bench_local(|| group.sums_exact());
}

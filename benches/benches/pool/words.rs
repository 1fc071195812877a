//! Sections on a word of the current copy.

use core::hint::black_box;

use bytemuck::{Pod, Zeroable};
use cidpool::{PerCid, field};
use divan::Bencher;

use super::{LOOP, ok, pool};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Pair {
    word: u64,
    other: u64,
    buffer: [u64; 64],
}

fn pair() -> PerCid<Pair> {
    ok(PerCid::new(&pool(size_of::<Pair>())))
}

#[divan::bench(sample_size = LOOP)]
fn add(bencher: Bencher<'_, '_>) {
    let pair = pair();
    let word = pair.word(field!(Pair, word));
    bencher.bench_local(|| word.add(black_box(1)));
}

#[divan::bench(sample_size = LOOP)]
fn load(bencher: Bencher<'_, '_>) {
    let pair = pair();
    let word = pair.word(field!(Pair, word));
    bencher.bench_local(|| word.load());
}

/// The words stay as they are, so that a thread that moves finds them like that at its next copy.
#[divan::bench(sample_size = LOOP)]
fn compare_store(bencher: Bencher<'_, '_>) {
    let pair = pair();
    let word = pair.word(field!(Pair, word));
    bencher.bench_local(|| word.compare_store(black_box(0), 0));
}

#[divan::bench(sample_size = LOOP)]
fn compare_store_that_differs(bencher: Bencher<'_, '_>) {
    let pair = pair();
    let word = pair.word(field!(Pair, word));
    bencher.bench_local(|| word.compare_store(black_box(1), 1));
}

#[divan::bench(sample_size = LOOP)]
fn compare_two_store(bencher: Bencher<'_, '_>) {
    let pair = pair();
    let (word, other) = (pair.word(field!(Pair, word)), field!(Pair, other));
    bencher.bench_local(|| word.compare_two_store(black_box(0), other, 0, 0));
}

#[divan::bench(sample_size = LOOP)]
fn compare_store_store(bencher: Bencher<'_, '_>) {
    let pair = pair();
    let (word, other) = (pair.word(field!(Pair, word)), field!(Pair, other));
    bencher.bench_local(|| word.compare_store_store(black_box(0), 0, other, 1));
}

#[divan::bench(sample_size = LOOP, args = [1, 8, 64])]
fn compare_copy_store(bencher: Bencher<'_, '_>, words: usize) {
    let pair = pair();
    let (word, buffer) = (pair.word(field!(Pair, word)), field!(Pair, buffer));
    let from = vec![7; words];
    bencher.bench_local(|| word.compare_copy_store(black_box(0), 0, buffer, 0, &from));
}

#[divan::bench(sample_size = LOOP)]
fn sum_of_all_copies(bencher: Bencher<'_, '_>) {
    let pair = pair();
    bencher.bench_local(|| pair.sum(field!(Pair, word)));
}

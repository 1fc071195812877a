//! Size to class, and address to class: what a fast path does before its section.

use core::hint::black_box;

use cidalloc::config::PAGE;
use cidalloc::free::{free, trust};
use cidalloc::heap::locate;
use cidalloc::malloc::alloc;
use cidalloc::size_class::{is_object_start, object_index, of_aligned, of_size};
use divan::Bencher;
use divan::counter::ItemsCount;

use super::{class, heap};

const COUNT: usize = 1024;

/// Sizes from 1 to 4095, log-uniform as far as shifts make it so; the same every time.
fn sizes() -> Vec<usize> {
    let mut state = 1u64;
    let next = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as usize & 0xfff | 0x800) >> (state >> 33 & 7) | 1
    };
    (0..COUNT).map(next).collect()
}

/// Live blocks of many classes and pages, given back at the end.
struct Blocks(Vec<*mut u8>);

impl Blocks {
    fn new() -> Self {
        heap();
        Self(sizes().into_iter().map(alloc).collect())
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        for block in &self.0 {
            // SAFETY: a live block, given up here.
            unsafe { free(*block) };
        }
    }
}

/// Runs `f` on each of `items`; the figures are per pass over all of them, the throughput per item.
fn each<T: Copy, R>(bencher: Bencher<'_, '_>, items: &[T], f: impl Fn(T) -> R) {
    bencher.counter(ItemsCount::new(items.len())).bench_local(|| {
        for item in items {
            black_box(f(black_box(*item)));
        }
    });
}

#[divan::bench(sample_size = 16)]
fn class_of_size(bencher: Bencher<'_, '_>) {
    each(bencher, &sizes(), of_size);
}

#[divan::bench(args = [32, 64, 4096], sample_size = 16)]
fn class_of_size_and_alignment(bencher: Bencher<'_, '_>, align: usize) {
    each(bencher, &sizes(), |size| of_aligned(size, align));
}

#[divan::bench(sample_size = 16)]
fn facts_of_a_class(bencher: Bencher<'_, '_>) {
    each(bencher, &sizes(), |size| of_size(size).info().batch);
}

#[divan::bench(sample_size = 16)]
fn page_map(bencher: Bencher<'_, '_>) {
    let blocks = Blocks::new();
    each(bencher, &blocks.0, |block| locate(block.addr()).map(|(entry, ..)| entry));
}

#[divan::bench(sample_size = 16)]
fn page_map_and_object_start(bencher: Bencher<'_, '_>) {
    let blocks = Blocks::new();
    each(bencher, &blocks.0, |block| {
        locate(block.addr()).is_some_and(|(entry, offset, _)| is_object_start(entry, offset))
    });
}

#[divan::bench(sample_size = 16)]
fn page_map_of_a_foreign_address(bencher: Bencher<'_, '_>) {
    let _started = Blocks::new();
    let foreign: Vec<usize> = (0..COUNT).map(|i| 0x1000 + i * 64).collect();
    each(bencher, &foreign, |address| locate(address).is_none());
}

/// The slow paths' way, with every check.
#[divan::bench(sample_size = 16)]
fn trusted_pointer(bencher: Bencher<'_, '_>) {
    let blocks = Blocks::new();
    each(bencher, &blocks.0, |block| trust(block.addr()).is_some());
}

#[divan::bench(sample_size = 16)]
fn object_index_in_a_span(bencher: Bencher<'_, '_>) {
    let class = class(48);
    let offsets: Vec<usize> = (0..COUNT).map(|i| i * 48 % PAGE).collect();
    each(bencher, &offsets, |offset| object_index(class, offset));
}

//! malloc and free as a program sees them, with cids. `orphans` has the same without.

use divan::Bencher;

use super::{class, has_cids, orphans};

#[divan::bench(sample_size = super::LOOP, args = [16, 64, 1024, 16384], ignore = !has_cids())]
fn malloc_then_free(bencher: Bencher<'_, '_>, size: usize) {
    orphans::pair(bencher, size);
}

/// The class known from the layout, as Rust programs free.
#[divan::bench(sample_size = super::LOOP, args = [16, 64, 1024], ignore = !has_cids())]
fn malloc_then_sized_free(bencher: Bencher<'_, '_>, size: usize) {
    let class = class(size);
    bencher.bench_local(|| {
        let block = cidalloc::malloc::alloc(divan::black_box(size));
        assert!(!block.is_null());
        // SAFETY: a live block of this class, given up here.
        unsafe { cidalloc::free::free_class(divan::black_box(block), class, size, 1) };
    });
}

#[divan::bench(args = [100, 1000, 10_000], sample_size = 4, ignore = !has_cids())]
fn malloc_many_then_free_them(bencher: Bencher<'_, '_>, count: usize) {
    orphans::many(bencher, count);
}

#[divan::bench(sample_size = super::LOOP, threads = [1, 2], ignore = !has_cids())]
fn malloc_then_free_64_in_threads(bencher: Bencher<'_, '_>) {
    bencher.bench(|| orphans::one_pair(64));
}

#[divan::bench(args = [48, 4096, 65536], sample_size = 64, ignore = !has_cids())]
fn zeroed_then_free(bencher: Bencher<'_, '_>, size: usize) {
    bencher.bench_local(|| {
        let block = cidalloc::malloc::alloc_zeroed(divan::black_box(size), 16);
        assert!(!block.is_null());
        // SAFETY: a live block, given up here.
        unsafe { cidalloc::free::free(divan::black_box(block)) };
    });
}

#[divan::bench(sample_size = super::LOOP, args = [64 << 10, 1 << 20, 16 << 20], ignore = !has_cids())]
fn large_then_free(bencher: Bencher<'_, '_>, size: usize) {
    orphans::pair(bencher, size);
}

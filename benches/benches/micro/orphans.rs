//! The path of threads without a cid: no section, no cache, each object straight from and to a
//! bitmap by atomics. The names are those of `whole`, which has the same with cids.

use cidalloc::free::free;
use cidalloc::malloc::alloc;
use divan::{Bencher, black_box};

use super::{has_none, heap};

/// One block's life.
pub(crate) fn one_pair(size: usize) {
    let block = alloc(black_box(size));
    assert!(!block.is_null());
    // SAFETY: a live block, given up here.
    unsafe { free(black_box(block)) };
}

/// The life of one block after another.
pub(crate) fn pair(bencher: Bencher<'_, '_>, size: usize) {
    bencher.bench_local(|| one_pair(size));
}

/// `count` blocks of 64 bytes alive at once; the figures are per block by the item counter.
pub(crate) fn many(bencher: Bencher<'_, '_>, count: usize) {
    let mut blocks = vec![core::ptr::null_mut(); count];
    bencher.counter(divan::counter::ItemsCount::new(count)).bench_local(|| {
        blocks.iter_mut().for_each(|block| *block = alloc(black_box(64)));
        for block in &mut blocks {
            assert!(!block.is_null());
            // SAFETY: a live block, given up here.
            unsafe { free(black_box(*block)) };
        }
    });
}

#[divan::bench(sample_size = super::LOOP, args = [16, 64, 1024, 16384], ignore = !has_none())]
fn malloc_then_free(bencher: Bencher<'_, '_>, size: usize) {
    heap();
    pair(bencher, size);
}

#[divan::bench(args = [100, 1000, 10_000], sample_size = 4, ignore = !has_none())]
fn malloc_many_then_free_them(bencher: Bencher<'_, '_>, count: usize) {
    many(bencher, count);
}

/// Threads without cids share one arena: what sections spare them.
#[divan::bench(sample_size = super::LOOP, threads = [1, 2], ignore = !has_none())]
fn malloc_then_free_64_in_threads(bencher: Bencher<'_, '_>) {
    bencher.bench(|| one_pair(64));
}

//! Refill and flush without the cache between: objects from spans into a hand, and home again.
//!
//! ```text
//!  spans of the calling thread's shard ──collect──► Batch ──send_home──► the same spans
//! ```

use core::hint::black_box;

use cidalloc::batch::Batch;
use cidalloc::flush::send_home;
use cidalloc::ids::SizeClass;
use cidalloc::malloc::alloc;
use cidalloc::shard::Shard;
use cidalloc::supply::collect;
use divan::Bencher;

use super::{class, has_cids, heap};

/// Objects in our hand; they go home when it is dropped.
struct Held {
    class: SizeClass,
    batch: Batch,
}

impl Held {
    /// `count` objects, fewer where the thread moves to another cid meanwhile.
    fn collect(shard: &Shard<'_>, class: SizeClass, count: usize) -> Self {
        let mut batch = Batch::new();
        collect(shard, class, &mut batch, count);
        Self { class, batch }
    }

    fn len(&self) -> usize {
        self.batch.len()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        send_home(heap(), self.class, self.batch.as_slice());
    }
}

fn current() -> Shard<'static> {
    Shard::current(heap())
}

const CASES: [(usize, usize); 6] = [(16, 1), (16, 64), (64, 8), (64, 64), (1024, 1), (1024, 16)];

/// (size, objects)
#[divan::bench(sample_size = super::LOOP, args = CASES, ignore = !has_cids())]
fn collect_then_send_home(bencher: Bencher<'_, '_>, (size, count): (usize, usize)) {
    let class = class(size);
    bencher.bench_local(|| {
        let held = Held::collect(&current(), class, black_box(count));
        black_box(held.len())
    });
}

/// The half of it that a refill is: what is collected goes home after the clock was read.
#[divan::bench(args = CASES, sample_size = 32, ignore = !has_cids())]
fn collect_objects(bencher: Bencher<'_, '_>, (size, count): (usize, usize)) {
    let class = class(size);
    bencher.bench_local(|| Held::collect(&current(), class, black_box(count)));
}

/// The half of it that a flush is.
#[divan::bench(args = CASES, sample_size = 32, ignore = !has_cids())]
fn send_objects_home(bencher: Bencher<'_, '_>, (size, count): (usize, usize)) {
    let class = class(size);
    bencher
        .with_inputs(|| Held::collect(&current(), class, count))
        .bench_local_values(|held| drop(black_box(held)));
}

/// Objects of as many spans: nothing can be merged on the way home. Each sample sends others,
/// all allocated beforehand and never touched.
#[divan::bench(sample_size = 1, sample_count = SAMPLES as u32, ignore = !has_cids())]
fn send_scattered_objects_home(bencher: Bencher<'_, '_>) {
    let class = class(4096);
    let mut objects: Vec<usize> =
        (0..SCATTERED * SAMPLES).map(|_| alloc(4096).expose_provenance()).collect();
    objects.sort_unstable();
    let group = |k| objects.iter().copied().skip(k).step_by(SAMPLES).collect::<Vec<_>>();
    let mut groups: Vec<_> = (0..SAMPLES).map(group).collect();
    bencher
        .with_inputs(|| groups.pop().unwrap_or_default())
        .bench_local_values(|objects| send_home(heap(), class, black_box(&objects)));
    groups.iter().for_each(|objects| send_home(heap(), class, objects));
}

const SCATTERED: usize = 32;
/// Two objects of one group are so many apart, which is more than a span holds.
const SAMPLES: usize = 250;

#[divan::bench(sample_size = super::LOOP, ignore = !has_cids())]
fn find_the_current_shard(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| black_box(current()).has_cache());
}

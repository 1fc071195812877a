//! Bitmaps, hands and possession of spans, and an arena's lists, on a region of their own.
//!
//! ```text
//!  World   region of 64 MiB   one page: a span of some class, all of its objects free
//!          arena              nobody's, with that span in possession
//! ```

use core::hint::black_box;

use cidalloc::arena::Arena;
use cidalloc::batch::{Batch, lowest_bits};
use cidalloc::ids::{PageId, ShardId, SizeClass};
use cidalloc::region::Region;
use cidalloc::span::Bitmaps;
use divan::Bencher;

use super::class;

const ME: ShardId = ShardId(3);

struct World {
    region: Region,
    arena: Box<Arena>,
    page: PageId,
    class: SizeClass,
}

impl World {
    fn new(size: usize) -> Self {
        let class = class(size);
        let region = super::pages::region();
        let page = match region.take_pages(1) {
            Ok(page) => page,
            Err(_) => panic!("no memory for one page"),
        };
        region.bitmaps(page, class).fill(ME);
        region.span(page).begin(class, ME);
        let arena = Box::new(Arena::new());
        arena.set_id(ME);
        Self { region, arena, page, class }
    }

    fn bitmaps(&self) -> Bitmaps {
        self.region.bitmaps(self.page, self.class)
    }
}

#[divan::bench(sample_size = super::LOOP)]
fn arena_keeps_and_takes_the_current_span(bencher: Bencher<'_, '_>) {
    let w = World::new(64);
    bencher.bench_local(|| {
        w.arena.keep(&w.region, w.class, w.page);
        assert!(black_box(&w).arena.take(&w.region, w.class) == Some(w.page));
    });
}

#[divan::bench(sample_size = super::LOOP)]
fn arena_queues_and_takes_a_span(bencher: Bencher<'_, '_>) {
    let w = World::new(64);
    bencher.bench_local(|| {
        w.arena.enqueue(&w.region, w.page);
        assert!(black_box(&w).arena.take(&w.region, w.class) == Some(w.page));
    });
}

#[divan::bench(sample_size = super::LOOP)]
fn span_is_unqueued_and_possessed(bencher: Bencher<'_, '_>) {
    let w = World::new(64);
    let span = w.region.span(w.page);
    bencher.bench_local(|| {
        black_box(span).unqueue();
        assert!(span.try_possess());
    });
}

#[divan::bench(sample_size = super::LOOP, args = [16, 64, 1024])]
fn bitmaps_of_a_page_are_found(bencher: Bencher<'_, '_>, size: usize) {
    let w = World::new(size);
    bencher.bench_local(|| black_box(&w).bitmaps());
}

#[divan::bench(sample_size = super::LOOP, args = [16, 64, 1024])]
fn bitmaps_are_filled(bencher: Bencher<'_, '_>, size: usize) {
    let w = World::new(size);
    let bits = w.bitmaps();
    bencher.bench_local(|| black_box(&bits).fill(ME));
}

#[divan::bench(sample_size = super::LOOP, args = [16, 64, 1024])]
fn bitmaps_are_all_free(bencher: Bencher<'_, '_>, size: usize) {
    let w = World::new(size);
    let bits = w.bitmaps();
    bencher.bench_local(|| assert!(black_box(&bits).all_free()));
}

/// Bits set in the word, evenly apart.
#[divan::bench(sample_size = super::LOOP, args = [64, 32, 8, 1])]
fn word_becomes_addresses(bencher: Bencher<'_, '_>, set: usize) {
    let bits = (0..64).step_by(64 / set).fold(0u64, |bits, i| bits | 1 << i);
    bencher.with_inputs(Batch::new).bench_local_refs(|batch| {
        batch.add_word(black_box(bits), 1 << 30, 64);
    });
}

#[divan::bench(sample_size = super::LOOP, args = [1, 16, 63])]
fn lowest_bits_of_a_word(bencher: Bencher<'_, '_>, count: usize) {
    bencher.bench_local(|| lowest_bits(black_box(u64::MAX), count));
}

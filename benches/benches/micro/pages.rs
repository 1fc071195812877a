//! Runs of pages and the lock around them, on a region and a page heap of their own.

use core::hint::black_box;

use cidalloc::ids::PageId;
use cidalloc::lock::Lock;
use cidalloc::page_heap::PageHeap;
use cidalloc::region::Region;
use cidalloc::runs::Home;
use cidalloc::span::RunKind;
use divan::Bencher;

/// Address space of its own; it is never given back.
pub(crate) fn region() -> Region {
    match Region::reserve_at_most(256 << 20, 1, 1) {
        Ok(region) => region,
        Err(_) => panic!("no address space for a region; raise ulimit -v"),
    }
}

struct World {
    region: Region,
    heap: PageHeap,
}

impl World {
    fn new() -> Self {
        Self { region: region(), heap: PageHeap::new() }
    }

    fn home(&self) -> Home<'_> {
        Home { region: &self.region, node: 0, bind: None, holds_any_lock: || false }
    }

    fn alloc(&self, pages: u32) -> PageId {
        match self.heap.alloc(self.home(), pages) {
            Ok(run) => run.page,
            Err(_) => panic!("no memory for {pages} pages"),
        }
    }

    fn free(&self, page: PageId, pages: u32) {
        self.heap.free(self.home(), page, pages, RunKind::Dirty, 1);
    }

    /// Free runs of 1 to 16 pages that touch no other free one.
    fn scattered() -> Self {
        let w = Self::new();
        let runs: Vec<_> = (0..256u32).map(|i| (i, i % 16 + 1)).collect();
        let runs: Vec<_> = runs.into_iter().map(|(i, n)| (i, w.alloc(n), n)).collect();
        runs.iter()
            .filter(|(i, ..)| i / 16 % 2 == i % 2)
            .for_each(|(_, page, n)| w.free(*page, *n));
        w
    }
}

#[divan::bench(sample_size = super::LOOP, args = [1, 4, 64])]
fn run_is_split_off_and_merged_back(bencher: Bencher<'_, '_>, pages: u32) {
    let w = World::new();
    let page = w.alloc(200);
    w.free(page, 200);
    bencher.bench_local(|| {
        let page = w.alloc(black_box(pages));
        w.free(page, pages);
    });
}

#[divan::bench(sample_size = super::LOOP, args = [1, 4, 13])]
fn run_is_found_among_many(bencher: Bencher<'_, '_>, pages: u32) {
    let w = World::scattered();
    bencher.bench_local(|| {
        let page = w.alloc(black_box(pages));
        w.free(page, pages);
    });
}

/// Threads that all want a run at once: the lock is fought for.
#[divan::bench(sample_size = super::LOOP, threads = [1, 2, 4])]
fn run_from_a_shared_page_heap(bencher: Bencher<'_, '_>) {
    let w = World::scattered();
    bencher.bench(|| {
        let page = w.alloc(black_box(1));
        w.free(page, 1);
    });
}

#[divan::bench(sample_size = super::LOOP)]
fn run_grows_in_place_and_shrinks(bencher: Bencher<'_, '_>) {
    let w = World::new();
    let page = w.alloc(200);
    w.free(page, 200);
    let page = w.alloc(4);
    bencher.bench_local(|| {
        assert!(w.heap.extend(w.home(), black_box(page), 4, 8).is_some());
        cidalloc::bins::mark_busy(&w.region, page, 4);
        w.free(page.plus(4), 4);
    });
}

#[divan::bench(sample_size = super::LOOP, threads = [1, 2, 4])]
fn lock_and_unlock(bencher: Bencher<'_, '_>) {
    let lock = Lock::new();
    bencher.bench(|| match black_box(&lock).lock(|| false) {
        Ok(guard) => drop(guard),
        Err(_) => panic!("nobody here holds the lock already"),
    });
}

#[divan::bench(sample_size = super::LOOP)]
fn try_lock_and_unlock(bencher: Bencher<'_, '_>) {
    let lock = Lock::new();
    bencher.bench_local(|| drop(black_box(&lock).try_lock()));
}

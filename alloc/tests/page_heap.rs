//! Page heaps and the region against a model: a vector that says what each page is.
//!
//! ```text
//!  model   [Untaken …  Busy Busy Dirty Dirty Busy Clean Clean … Untaken]
//!  heap    bins of runs    must be exactly the model's longest stretches of one kind
//! ```
#![allow(unsafe_code)]

use cidalloc::bins::bin_of;
use cidalloc::config::{EXTENT_PAGES, PAGE};
use cidalloc::ids::PageId;
use cidalloc::os::OutOfMemory;
use cidalloc::page_heap::{ForkHold, PageHeap};
use cidalloc::region::Region;
use cidalloc::runs::Home;
use cidalloc::span::RunKind;
use core::sync::atomic::Ordering::Relaxed;
use numa_sys::policy::BindMode;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Alloc {
        heap: usize,
        pages: u32,
        write: bool,
    },
    Free {
        pick: usize,
    },
    Shrink {
        pick: usize,
        by: u32,
    },
    Extend {
        pick: usize,
        by: u32,
    },
    Purge {
        heap: usize,
        keep: usize,
    },
    PurgeOld {
        heap: usize,
    },
    /// As a signal handler that interrupted the lock's holder.
    AllocInterrupted {
        heap: usize,
        pages: u32,
    },
    FreeInterrupted {
        pick: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let pages = || prop_oneof![4 => 1..4u32, 4 => 1..20u32, 1 => 1..150u32];
    let pick = || any::<usize>();
    prop_oneof![
        6 => (0..2usize, pages(), any::<bool>())
            .prop_map(|(heap, pages, write)| Op::Alloc { heap, pages, write }),
        5 => pick().prop_map(|pick| Op::Free { pick }),
        1 => (pick(), pages()).prop_map(|(pick, by)| Op::Shrink { pick, by }),
        2 => (pick(), pages()).prop_map(|(pick, by)| Op::Extend { pick, by }),
        1 => (0..2usize, 0..40usize).prop_map(|(heap, keep)| Op::Purge { heap, keep }),
        1 => (0..2usize).prop_map(|heap| Op::PurgeOld { heap }),
        1 => (0..2usize, pages()).prop_map(|(heap, pages)| Op::AllocInterrupted { heap, pages }),
        1 => pick().prop_map(|pick| Op::FreeInterrupted { pick }),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Untaken,
    Busy,
    Free(RunKind),
}

#[derive(Debug, Clone, Copy)]
struct Run {
    heap: usize,
    page: u32,
    pages: u32,
    written: bool,
}

struct Model {
    region: Region,
    heaps: [PageHeap; 2],
    bind: Option<BindMode>,
    /// What each page is, and whose.
    pages: Vec<(Page, usize)>,
    runs: Vec<Run>,
    stamp: u32,
}

impl Model {
    fn new(two_nodes: bool) -> Self {
        let region = Region::reserve_at_most(256 << 20, 2, 1).unwrap();
        Self {
            pages: vec![(Page::Untaken, 0); region.bytes() / PAGE],
            region,
            heaps: [PageHeap::new(), PageHeap::new()],
            bind: two_nodes.then_some(BindMode::Preferred),
            runs: Vec::new(),
            stamp: 0,
        }
    }

    fn home(&self, heap: usize) -> (usize, &PageHeap, Home<'_>) {
        let heap = if self.bind.is_some() { heap } else { 0 };
        let (region, bind) = (&self.region, self.bind);
        let home = Home { region, node: heap, bind, holds_any_lock: || false };
        (heap, &self.heaps[heap], home)
    }

    fn word(&self, page: u32, last: bool) -> *mut u64 {
        let at = if last { PAGE - 8 } else { 0 };
        self.region.address(PageId(page)).wrapping_add(at).cast()
    }

    fn assert_zero(&self, page: u32, pages: u32) {
        for page in page..page + pages {
            for last in [false, true] {
                // SAFETY: the page was handed out, so it is committed.
                assert_eq!(unsafe { self.word(page, last).read() }, 0, "page {page} is clean");
            }
        }
    }

    fn write(&self, page: u32, pages: u32) {
        for page in page..page + pages {
            for last in [false, true] {
                // SAFETY: as above, and the run is ours.
                unsafe { self.word(page, last).write(u64::MAX) };
            }
        }
    }

    fn set(&mut self, page: u32, pages: u32, to: (Page, usize)) {
        self.pages[page as usize..(page + pages) as usize].fill(to);
    }

    /// The longest stretches of `kind` of `heap`.
    fn stretches(&self, heap: usize, kind: RunKind) -> Vec<(u32, u32)> {
        let mut found: Vec<(u32, u32)> = Vec::new();
        for (i, &page) in self.pages.iter().enumerate() {
            if page != (Page::Free(kind), heap) {
                continue;
            }
            match found.last_mut() {
                Some((page, pages)) if *page + *pages == i as u32 => *pages += 1,
                _ => found.push((i as u32, 1)),
            }
        }
        found
    }

    fn alloc(&mut self, heap: usize, pages: u32, write: bool, interrupted: bool) {
        let end = self.region.end().0;
        let (heap, page_heap, home) = self.home(heap);
        let fits = [RunKind::Dirty, RunKind::Clean].iter().any(|&kind| {
            let found = self.stretches(heap, kind);
            found.iter().any(|&(_, n)| n == pages || bin_of(n) > bin_of(pages))
        });
        let got = if interrupted {
            assert_eq!(page_heap.try_before_fork(), ForkHold::Taken);
            let got = page_heap.alloc(home, pages);
            page_heap.after_fork();
            got
        } else {
            page_heap.alloc(home, pages)
        };
        let Ok(run) = got else {
            let room = self.pages.len() as u32 - end;
            let roomy = pages.next_multiple_of(EXTENT_PAGES);
            assert!(!fits || interrupted, "there was a run");
            assert!(room < if self.bind.is_some() { roomy } else { pages }, "there was room");
            return;
        };
        let (page, zeroed) = (run.page.0, run.zeroed);
        let new_end = self.region.end().0;
        // A run in the request's own bin may lie deeper than is looked; only then is more taken.
        assert!(new_end == end || interrupted || !fits || bin_of(pages) >= 16 || pages > 8);
        let kind = if interrupted { RunKind::Dirty } else { RunKind::Clean };
        self.set(end, new_end - end, (Page::Free(kind), heap));
        let taken = &self.pages[page as usize..(page + pages) as usize];
        let kind = taken[0].0;
        assert!(taken.iter().all(|&p| p == (kind, heap)), "free pages of one kind: {taken:?}");
        assert_ne!(kind, Page::Busy);
        if zeroed {
            self.assert_zero(page, pages);
        }
        assert!(interrupted || zeroed == (kind == Page::Free(RunKind::Clean)));
        self.set(page, pages, (Page::Busy, heap));
        if write {
            self.write(page, pages);
        }
        self.runs.push(Run { heap, page, pages, written: write || !zeroed });
    }

    fn free(&mut self, run: Run, interrupted: bool) {
        let clean = !run.written && !interrupted;
        let kind = if clean { RunKind::Clean } else { RunKind::Dirty };
        let (_, page_heap, home) = self.home(run.heap);
        if interrupted {
            assert_eq!(page_heap.try_before_fork(), ForkHold::Taken);
            page_heap.free(home, PageId(run.page), run.pages, kind, self.stamp);
            page_heap.after_fork();
        } else {
            page_heap.free(home, PageId(run.page), run.pages, kind, self.stamp);
        }
        self.set(run.page, run.pages, (Page::Free(kind), run.heap));
    }

    fn extend(&mut self, i: usize, by: u32) {
        let run = self.runs[i];
        let after = run.page + run.pages;
        let (heap, page_heap, home) = self.home(run.heap);
        let free = |page: &&(Page, usize)| matches!(page.0, Page::Free(_)) && page.1 == heap;
        let follow: Vec<_> =
            self.pages[after as usize..].iter().take(by as usize).take_while(free).collect();
        let (have, end) = (follow.len() as u32, self.region.end().0);
        let grows = (by - have).next_multiple_of(EXTENT_PAGES);
        let room = self.pages.len() as u32 - end;
        let fits = have == by || (after + have == end && grows <= room);
        let clean = follow.iter().all(|page| page.0 == Page::Free(RunKind::Clean));
        let got = page_heap.extend(home, PageId(run.page), run.pages, run.pages + by);
        assert_eq!(got, fits.then_some(clean));
        let new_end = self.region.end().0;
        assert_eq!(new_end - end, if fits && have < by { grows } else { 0 });
        self.set(end, new_end - end, (Page::Free(RunKind::Clean), heap));
        if let Some(zeroed) = got {
            if zeroed {
                self.assert_zero(after, by);
            }
            self.set(after, by, (Page::Busy, run.heap));
            self.runs[i].pages += by;
            self.runs[i].written |= !zeroed;
        }
    }

    /// After a purge: which dirty stretches became clean is the heap's choice.
    fn learn_purged(&mut self, heap: usize) {
        let (heap, page_heap, home) = self.home(heap);
        let clean: Vec<_> = page_heap
            .inspect(home, |runs| {
                runs.of(RunKind::Clean).runs(&self.region).map(|(_, p, n)| (p.0, n)).collect()
            })
            .unwrap();
        for (page, pages) in clean {
            for page in page..page + pages {
                let state = &mut self.pages[page as usize];
                assert!(matches!(state.0, Page::Free(_)) && state.1 == heap, "{page}: {state:?}");
                *state = (Page::Free(RunKind::Clean), heap);
                self.assert_zero(page, 1);
            }
        }
    }

    fn apply(&mut self, op: &Op) {
        self.stamp += 1;
        let pick = |pick: usize| (!self.runs.is_empty()).then(|| pick % self.runs.len());
        match *op {
            Op::Alloc { heap, pages, write } => self.alloc(heap, pages, write, false),
            Op::AllocInterrupted { heap, pages } => self.alloc(heap, pages, true, true),
            Op::Free { pick: n } | Op::FreeInterrupted { pick: n } => {
                if let Some(i) = pick(n) {
                    let run = self.runs.swap_remove(i);
                    self.free(run, matches!(op, Op::FreeInterrupted { .. }));
                }
            }
            Op::Shrink { pick: n, by } => {
                if let Some(i) = pick(n).filter(|&i| self.runs[i].pages > by) {
                    let run = &mut self.runs[i];
                    run.pages -= by;
                    let tail = Run { page: run.page + run.pages, pages: by, ..*run };
                    let (page, pages) = (PageId(run.page), run.pages);
                    cidalloc::bins::mark_busy(&self.region, page, pages);
                    self.free(tail, false);
                }
            }
            Op::Extend { pick: n, by } => {
                if let Some(i) = pick(n) {
                    self.extend(i, by);
                }
            }
            Op::Purge { heap, keep } => {
                let (_, page_heap, home) = self.home(heap);
                page_heap.purge(home, 0, 0, keep);
                self.learn_purged(heap);
                let (heap, ..) = self.home(heap);
                let dirty: u32 = self.stretches(heap, RunKind::Dirty).iter().map(|r| r.1).sum();
                assert!(dirty as usize <= keep);
            }
            Op::PurgeOld { heap } => {
                let (_, page_heap, home) = self.home(heap);
                page_heap.purge(home, self.stamp, 0, usize::MAX);
                self.learn_purged(heap);
                let (heap, ..) = self.home(heap);
                assert_eq!(self.stretches(heap, RunKind::Dirty), [], "all stamps are older");
            }
        }
        self.compare();
    }

    fn compare(&self) {
        for heap in 0..if self.bind.is_some() { 2 } else { 1 } {
            let (_, page_heap, home) = self.home(heap);
            let of = |bins: &cidalloc::bins::Bins| {
                let mut runs: Vec<_> = bins
                    .runs(&self.region)
                    .inspect(|&(bin, _, pages)| assert_eq!(bin, bin_of(pages)))
                    .map(|(_, page, pages)| (page.0, pages))
                    .collect();
                runs.sort_unstable();
                assert_eq!(runs.iter().map(|r| r.1 as usize).sum::<usize>(), bins.pages());
                runs
            };
            let (dirty, clean) = page_heap
                .inspect(home, |runs| (of(runs.of(RunKind::Dirty)), of(runs.of(RunKind::Clean))))
                .unwrap();
            assert_eq!(dirty, self.stretches(heap, RunKind::Dirty), "dirty runs of {heap}");
            assert_eq!(clean, self.stretches(heap, RunKind::Clean), "clean runs of {heap}");
            let busy: u32 =
                self.runs.iter().filter(|run| run.heap == heap).map(|run| run.pages).sum();
            assert_eq!(page_heap.counters.busy_pages.load(Relaxed), busy as usize);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() })]

    #[test]
    fn free_runs_are_the_longest_stretches_of_a_model(
        two_nodes in any::<bool>(),
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut model = Model::new(two_nodes);
        for op in &ops {
            model.apply(op);
        }
    }
}

#[test]
fn what_was_cut_from_a_dirty_run_is_as_old_as_the_run() {
    let model = Model::new(false);
    let (_, page_heap, home) = model.home(0);
    let run = page_heap.alloc(home, 8).unwrap();
    page_heap.free(home, run.page, 8, RunKind::Dirty, 1000);
    let cut = page_heap.alloc(home, 3).unwrap();
    assert_eq!(cut.page, run.page);
    // Everything freed before 1000 is due; the rest of the run is not.
    assert_eq!(page_heap.purge(home, 1000, 0, usize::MAX), 0);
    assert_eq!(page_heap.purge(home, 1017, 16, usize::MAX), 5 * PAGE);
}

#[test]
fn what_is_locked_in_memory_stays_dirty_and_is_asked_for_again_a_decay_time_later() {
    let model = Model::new(false);
    let (_, page_heap, home) = model.home(0);
    let run = page_heap.alloc(home, 1).unwrap();
    let address = home.region.address(run.page).cast::<libc::c_void>();
    // SAFETY: a page of ours, committed.
    if unsafe { libc::mlock(address, PAGE) } != 0 {
        println!("skipped: this machine does not let us lock {PAGE} bytes in memory");
        return;
    }
    page_heap.free(home, run.page, 1, RunKind::Dirty, 1000);
    assert!(!page_heap.was_refused(1017));
    assert_eq!(page_heap.purge(home, 1017, 16, usize::MAX), 0);
    assert!(page_heap.was_refused(1017) && !page_heap.was_refused(1018));
    // SAFETY: as above.
    assert_eq!(unsafe { libc::munlock(address, PAGE) }, 0);
    assert_eq!(page_heap.purge(home, 1033, 16, usize::MAX), 0, "it counts as freed at 1017");
    assert_eq!(page_heap.purge(home, 1034, 16, usize::MAX), PAGE);
}

#[test]
fn pages_taken_by_many_threads_are_disjoint_zero_and_writable_to_the_last() {
    let region = Region::reserve_at_most(64 << 20, 1, 1).unwrap();
    let pages = (region.bytes() / PAGE) as u32;
    let taken: Vec<(u32, u32)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=8u32)
            .map(|seed| {
                let region = &region;
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    let mut n = seed;
                    while let Ok(page) = region.take_pages(n) {
                        for page in page.0..page.0 + n {
                            let p = region.address(PageId(page)).cast::<u64>();
                            // SAFETY: a fresh page, ours alone.
                            assert_eq!(unsafe { p.replace(u64::from(seed)) }, 0);
                        }
                        mine.push((page.0, n));
                        n = n % 7 + 1;
                    }
                    while let Ok(page) = region.take_pages(1) {
                        mine.push((page.0, 1));
                    }
                    mine
                })
            })
            .collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    let mut taken = taken;
    taken.sort_unstable();
    let mut next = EXTENT_PAGES;
    for (page, n) in taken {
        assert_eq!(page, next);
        next += n;
    }
    assert_eq!((next, region.end()), (pages, PageId(pages)));
    assert_eq!(region.take_pages(1), Err(OutOfMemory));
    assert_eq!(region.take_pages(u32::MAX), Err(OutOfMemory));
    // The first extent is never used.
    assert_eq!(region.committed_bytes(), region.bytes() - EXTENT_PAGES as usize * PAGE);
}

//! The free runs of one page heap: dirty and clean ones, each merged with its like.
//!
//! ```text
//!  pages   … D D D D│C C│B B B│C C C C C│D D …       D dirty, C clean, B busy
//!            └ run ┘ └run┘     └  run  ┘
//!  a run that is freed is merged with the run before and the run after it, where they are of
//!  its kind; kind and length stand in the descriptors of a run's first and last page
//! ```

use crate::bins::{Bins, mark_busy};
use crate::config::EXTENT_PAGES;
use crate::ids::PageId;
use crate::region::Region;
use crate::span::RunKind;
use numa_sys::policy::BindMode;
use rseq_sys::sync::Ordering::Relaxed;

/// Where a heap's pages come from and belong.
#[derive(Debug, Clone, Copy)]
pub struct Home<'a> {
    /// The region.
    pub region: &'a Region,
    /// The heap's node.
    pub node: usize,
    /// How its memory is bound; `None` on a machine of one node.
    pub bind: Option<BindMode>,
    /// Whether the calling thread holds the lock of any page heap (NEVER-WAIT-HOLDING).
    pub holds_any_lock: fn() -> bool,
}

impl Home<'_> {
    /// Whether `page` is handed out, and to this heap's node.
    fn owns(&self, page: PageId) -> bool {
        page < self.region.end() && (self.bind.is_none() || self.region.node_of(page) == self.node)
    }

    /// What `page` is to this heap: nothing where it is another's.
    #[must_use]
    pub fn kind_of(&self, page: PageId) -> RunKind {
        if self.owns(page) { self.region.span(page).run_kind() } else { RunKind::None }
    }
}

impl Home<'_> {
    /// The run at `page`, if it is a free one of this heap: its kind and length. For who holds
    /// the lock.
    fn free_run_at(&self, page: PageId) -> Option<(RunKind, u32)> {
        let kind = self.kind_of(page);
        matches!(kind, RunKind::Dirty | RunKind::Clean)
            .then(|| (kind, self.region.span(page).run_pages.load(Relaxed)))
    }

    /// Pages of the free runs that follow each other from `page` on, looked at until they are
    /// `enough`. For who holds the lock.
    #[must_use]
    pub fn free_pages_from(&self, page: PageId, enough: u32) -> u32 {
        let mut pages = 0;
        while pages < enough
            && let Some((_, length)) = self.free_run_at(page.plus(pages))
        {
            pages += length;
        }
        pages
    }
}

/// The free runs; the page heap's lock protects them.
#[derive(Debug)]
pub struct Runs {
    dirty: Bins,
    clean: Bins,
}

impl Runs {
    /// None. All zero, so that page heaps of absent nodes cost no file page.
    #[must_use]
    pub const fn new() -> Self {
        Self { dirty: Bins::new(), clean: Bins::new() }
    }

    /// The runs of `kind`, which is dirty or clean.
    #[must_use]
    pub fn of(&self, kind: RunKind) -> &Bins {
        debug_assert!(matches!(kind, RunKind::Dirty | RunKind::Clean));
        if kind == RunKind::Clean { &self.clean } else { &self.dirty }
    }

    /// As [`Self::of`], to change them.
    pub fn of_mut(&mut self, kind: RunKind) -> &mut Bins {
        debug_assert!(matches!(kind, RunKind::Dirty | RunKind::Clean));
        if kind == RunKind::Clean { &mut self.clean } else { &mut self.dirty }
    }

    /// Adds a run of `kind`, merged with the neighbours of that kind.
    pub fn insert_merged(&mut self, home: Home<'_>, kind: RunKind, page: PageId, pages: u32) {
        let region = home.region;
        let bins = self.of_mut(kind);
        let stamp = region.span(page).run_stamp.load(Relaxed);
        let (mut page, mut pages) = (page, pages);
        let before = PageId(page.0 - 1);
        if before.0 >= EXTENT_PAGES && home.kind_of(before) == kind {
            let length = region.span(before).run_pages.load(Relaxed);
            page = PageId(page.0 - length);
            bins.remove(region, page);
            pages += length;
        }
        let after = page.plus(pages);
        if home.kind_of(after) == kind {
            pages += bins.remove(region, after);
        }
        region.span(page).run_stamp.store(stamp, Relaxed);
        bins.insert(region, kind, page, pages);
    }

    /// Takes `pages` from `page` on, which are free runs; the rest of the last one goes back.
    /// Returns whether all of them read as zero.
    pub fn take_from(&mut self, home: Home<'_>, page: PageId, pages: u32) -> bool {
        let mut taken = 0;
        let mut zeroed = true;
        while taken < pages
            && let Some((kind, _)) = home.free_run_at(page.plus(taken))
        {
            let at = page.plus(taken);
            let length = self.of_mut(kind).remove(home.region, at);
            let part = length.min(pages - taken);
            self.split(home.region, kind, at, length, part);
            zeroed &= kind == RunKind::Clean;
            taken += part;
        }
        debug_assert_eq!(taken, pages);
        zeroed
    }

    /// Keeps `pages` of a run of `kind` and `length`, which is in no bin; the rest goes back.
    pub fn split(&mut self, region: &Region, kind: RunKind, page: PageId, length: u32, pages: u32) {
        if length > pages {
            let rest = page.plus(pages);
            let stamp = region.span(page).run_stamp.load(Relaxed);
            region.span(rest).run_stamp.store(stamp, Relaxed);
            // The rest cannot touch a run of its kind: the whole run did not.
            self.of_mut(kind).insert(region, kind, rest, length - pages);
        }
        mark_busy(region, page, pages);
    }
}

impl Default for Runs {
    fn default() -> Self {
        Self::new()
    }
}

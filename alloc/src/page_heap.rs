//! The free pages of one node: split, merged, reused by anything, purged after a while.
//!
//! ```text
//!   region ──take_pages──► clean ◄──────purge────── dirty ◄──── free
//!                            │   (reads as zero)      │   (stamped)
//!                            └────────► busy ◄────────┘
//!                         alloc: dirty first, since it is backed already
//! ```
//!
//! Neighbouring runs of one kind are one run: each run's first and last page carry its kind and
//! length. Runs of different kinds stay apart, so that clean pages are known to be zero.
//!
//! The lock is held for list work only, never across a system call that gives memory back.
//! Whoever interrupted its holder does without it (SELF-KNOWN): fresh pages for alloc, the
//! `deferred` list for free; the next holder empties that list.
#![allow(unsafe_code)]

use crate::bins::{Bins, mark_busy};
use crate::config::{EXTENT_PAGES, PAGE_SHIFT};
use crate::ids::PageId;
use crate::lock::{Guard, HeldByMe, Lock};
use crate::os::{self, OutOfMemory};
use crate::region::Region;
use crate::span::RunKind;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use numa_sys::policy::{self, BindMode};

/// A run that was handed out.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Its first page.
    pub page: PageId,
    /// Whether it reads as zero.
    pub zeroed: bool,
}

/// What a page heap counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Runs handed out.
    pub allocs: AtomicU64,
    /// Bytes purged since the start.
    pub purged_bytes: AtomicU64,
    /// Calls that purged them.
    pub purges: AtomicU64,
    /// Pages in use.
    pub busy_pages: AtomicUsize,
    /// Free pages that may be backed.
    pub dirty_pages: AtomicUsize,
    /// Ranges that the kernel refused to bind to the node.
    pub bind_refusals: AtomicU64,
}

/// The page heap of one node.
#[derive(Debug)]
pub struct PageHeap {
    lock: Lock,
    runs: UnsafeCell<Runs>,
    deferred: AtomicU32,
    /// What this heap counts.
    pub counters: Counters,
}

#[derive(Debug)]
struct Runs {
    dirty: Bins,
    clean: Bins,
}

// SAFETY: `runs` is reached only with the lock held.
unsafe impl Sync for PageHeap {}

/// Where a heap's pages come from and belong.
#[derive(Debug, Clone, Copy)]
pub struct Home<'a> {
    /// The region.
    pub region: &'a Region,
    /// The heap's node.
    pub node: usize,
    /// How its memory is bound; `None` on a machine of one node.
    pub bind: Option<BindMode>,
}

impl PageHeap {
    /// A heap without pages.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            lock: Lock::new(),
            runs: UnsafeCell::new(Runs {
                dirty: Bins::new(RunKind::Dirty),
                clean: Bins::new(RunKind::Clean),
            }),
            deferred: AtomicU32::new(0),
            counters: Counters {
                allocs: AtomicU64::new(0),
                purged_bytes: AtomicU64::new(0),
                purges: AtomicU64::new(0),
                busy_pages: AtomicUsize::new(0),
                dirty_pages: AtomicUsize::new(0),
                bind_refusals: AtomicU64::new(0),
            },
        }
    }

    /// Hands out `pages` pages.
    ///
    /// # Errors
    /// [`OutOfMemory`] when neither the free runs nor the region have them.
    pub fn alloc(&self, home: Home<'_>, pages: u32) -> Result<Run, OutOfMemory> {
        let run = match self.locked(home, |runs| self.alloc_locked(runs, home, pages)) {
            Ok(found) => found?,
            Err(HeldByMe) => {
                let (page, length) = self.fresh(home, pages)?;
                if length > pages {
                    self.defer(home.region, page.plus(pages), length - pages);
                }
                mark_busy(home.region, page, pages);
                Run { page, zeroed: true }
            }
        };
        self.counters.allocs.fetch_add(1, Ordering::Relaxed);
        self.counters.busy_pages.fetch_add(pages as usize, Ordering::Relaxed);
        Ok(run)
    }

    fn alloc_locked(
        &self,
        runs: &mut Runs,
        home: Home<'_>,
        pages: u32,
    ) -> Result<Run, OutOfMemory> {
        let region = home.region;
        if let Some((page, length)) = runs.dirty.take(region, pages) {
            self.split(region, &mut runs.dirty, page, length, pages);
            return Ok(Run { page, zeroed: false });
        }
        let (page, length) = match runs.clean.take(region, pages) {
            Some(run) => run,
            None => self.fresh(home, pages)?,
        };
        self.split(region, &mut runs.clean, page, length, pages);
        Ok(Run { page, zeroed: true })
    }

    /// Keeps `pages` of a run of `length`, which is in no bin, and returns the rest to `bins`.
    fn split(&self, region: &Region, bins: &mut Bins, page: PageId, length: u32, pages: u32) {
        if length > pages {
            let rest = page.plus(pages);
            let stamp = region.span(page).run_stamp.load(Ordering::Relaxed);
            region.span(rest).run_stamp.store(stamp, Ordering::Relaxed);
            // The rest cannot touch a run of its kind: the whole run did not.
            bins.insert(region, rest, length - pages);
        }
        mark_busy(region, page, pages);
    }

    /// Takes at least `pages` from the region and binds them to the node.
    fn fresh(&self, home: Home<'_>, pages: u32) -> Result<(PageId, u32), OutOfMemory> {
        let region = home.region;
        let roomy = pages.next_multiple_of(EXTENT_PAGES);
        let Some(mode) = home.bind else {
            if let Ok(page) = region.take_pages(roomy) {
                return Ok((page, roomy));
            }
            return Ok((region.take_pages(pages)?, pages));
        };
        let page = region.take_pages(roomy)?;
        region.set_node(page, roomy, home.node);
        let len = (roomy as usize) << PAGE_SHIFT;
        let address = region.address(page).cast();
        if policy::bind_range(address, len, home.node as u32, mode).is_err() {
            self.counters.bind_refusals.fetch_add(1, Ordering::Relaxed);
        }
        Ok((page, roomy))
    }

    /// Takes back a run, which reads as zero if `kind` is clean. Never waits: when the lock is
    /// held, the run is left for its holder.
    pub fn free(&self, home: Home<'_>, page: PageId, pages: u32, kind: RunKind, stamp: u32) {
        self.counters.busy_pages.fetch_sub(pages as usize, Ordering::Relaxed);
        home.region.span(page).run_stamp.store(stamp, Ordering::Relaxed);
        match self.lock.try_lock() {
            Some(guard) => self.with(&guard, home, |runs| {
                let bins = if kind == RunKind::Clean { &mut runs.clean } else { &mut runs.dirty };
                insert_merged(bins, home, page, pages);
            }),
            None => self.defer(home.region, page, pages),
        }
    }

    fn defer(&self, region: &Region, page: PageId, pages: u32) {
        mark_busy(region, page, pages);
        let span = region.span(page);
        let mut head = self.deferred.load(Ordering::Relaxed);
        loop {
            span.run_following.store(head, Ordering::Relaxed);
            match self.deferred.compare_exchange_weak(
                head,
                page.0,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(other) => head = other,
            }
        }
    }

    /// Runs `f` on the free runs, with the deferred ones among them.
    fn locked<T>(&self, home: Home<'_>, f: impl FnOnce(&mut Runs) -> T) -> Result<T, HeldByMe> {
        let guard = self.lock.lock()?;
        Ok(self.with(&guard, home, f))
    }

    fn with<T>(&self, _held: &Guard<'_>, home: Home<'_>, f: impl FnOnce(&mut Runs) -> T) -> T {
        // SAFETY: the guard proves that the lock is held, and no other reference is made from
        // within `f`.
        let runs = unsafe { &mut *self.runs.get() };
        // Taken whole, so that nobody can change what we walk.
        let mut next = match self.deferred.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.deferred.swap(0, Ordering::Acquire),
        };
        while next != 0 {
            let page = PageId(next);
            let span = home.region.span(page);
            next = span.run_following.load(Ordering::Relaxed);
            let pages = span.run_pages.load(Ordering::Relaxed);
            insert_merged(&mut runs.dirty, home, page, pages);
        }
        let result = f(runs);
        self.counters.dirty_pages.store(runs.dirty.pages(), Ordering::Relaxed);
        result
    }

    /// Purges dirty runs freed before `stamp` (wrapping), and the longest ones until no more
    /// than `keep_pages` are left. Returns the bytes given back.
    pub fn purge(&self, home: Home<'_>, stamp: u32, keep_pages: usize) -> usize {
        let due = self.locked(home, |runs| {
            runs.dirty.take_chain(home.region, keep_pages, |page| {
                let freed = home.region.span(page).run_stamp.load(Ordering::Relaxed);
                stamp.wrapping_sub(freed).cast_signed() > 0
            })
        });
        let mut bytes = 0;
        let mut next = due.unwrap_or(PageId::NONE);
        while next != PageId::NONE {
            let page = next;
            let span = home.region.span(page);
            // Before the run goes back to a list, which uses the same link.
            next = PageId(span.run_following.load(Ordering::Relaxed));
            let pages = span.run_pages.load(Ordering::Relaxed);
            let len = (pages as usize) << PAGE_SHIFT;
            // SAFETY: the run is in no bin, so it is ours until it goes back.
            let done = unsafe { os::purge(home.region.address(page), len) };
            if done {
                bytes += len;
                self.counters.purged_bytes.fetch_add(len as u64, Ordering::Relaxed);
                self.counters.purges.fetch_add(1, Ordering::Relaxed);
            }
            let back = self.locked(home, |runs| {
                let bins = if done { &mut runs.clean } else { &mut runs.dirty };
                insert_merged(bins, home, page, pages);
            });
            if back.is_err() {
                // We interrupted the lock's holder: its next one takes the run, as a dirty one.
                self.defer(home.region, page, pages);
            }
        }
        bytes
    }

    /// Extends a busy run of `pages` to `wanted` with the free run right after it, if there is
    /// one long enough. Returns whether the new pages read as zero.
    pub fn extend(&self, home: Home<'_>, page: PageId, pages: u32, wanted: u32) -> Option<bool> {
        let after = page.plus(pages);
        let found = self.locked(home, |runs| {
            if !is_ours(home, after) {
                return None;
            }
            let kind = home.region.span(after).run_kind();
            let bins = match kind {
                RunKind::Dirty => &mut runs.dirty,
                RunKind::Clean => &mut runs.clean,
                RunKind::None | RunKind::Busy => return None,
            };
            let more = wanted - pages;
            if home.region.span(after).run_pages.load(Ordering::Relaxed) < more {
                return None;
            }
            let length = bins.remove(home.region, after);
            self.split(home.region, bins, after, length, more);
            mark_busy(home.region, page, wanted);
            Some(kind == RunKind::Clean)
        });
        let zeroed = found.ok().flatten()?;
        self.counters.busy_pages.fetch_add((wanted - pages) as usize, Ordering::Relaxed);
        Some(zeroed)
    }

    /// Shows the free runs to `f`, dirty and clean ones, with the deferred ones among them.
    ///
    /// # Errors
    /// [`HeldByMe`] when the caller interrupted the lock's holder.
    pub fn inspect<T>(
        &self,
        home: Home<'_>,
        f: impl FnOnce(&Bins, &Bins) -> T,
    ) -> Result<T, HeldByMe> {
        self.locked(home, |runs| f(&runs.dirty, &runs.clean))
    }

    /// Free pages that read as zero.
    #[must_use]
    pub fn clean_pages(&self, home: Home<'_>) -> usize {
        self.locked(home, |runs| runs.clean.pages()).unwrap_or(0)
    }

    /// Takes the lock before `fork`. False where the forking thread interrupted itself while
    /// holding it: then parent and child both go on holding it.
    #[must_use]
    pub fn before_fork(&self) -> bool {
        self.lock.lock().map(core::mem::forget).is_ok()
    }
    /// Opens it again, in parent and child, if [`Self::before_fork`] took it.
    pub fn after_fork(&self) {
        self.lock.unlock_after_fork();
    }
}

impl Default for PageHeap {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether `page` is handed out, and to this heap's node.
fn is_ours(home: Home<'_>, page: PageId) -> bool {
    page < home.region.end() && (home.bind.is_none() || home.region.node_of(page) == home.node)
}

/// Adds a run to `bins`, merged with the neighbours of that kind.
fn insert_merged(bins: &mut Bins, home: Home<'_>, page: PageId, pages: u32) {
    let region = home.region;
    let kind = bins.kind();
    let stamp = region.span(page).run_stamp.load(Ordering::Relaxed);
    let (mut page, mut pages) = (page, pages);
    let before = PageId(page.0 - 1);
    if before.0 >= EXTENT_PAGES && is_ours(home, before) && region.span(before).run_kind() == kind {
        let length = region.span(before).run_pages.load(Ordering::Relaxed);
        page = PageId(page.0 - length);
        bins.remove(region, page);
        pages += length;
    }
    let after = page.plus(pages);
    if is_ours(home, after) && region.span(after).run_kind() == kind {
        pages += bins.remove(region, after);
    }
    region.span(page).run_stamp.store(stamp, Ordering::Relaxed);
    bins.insert(region, page, pages);
}

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

use crate::bins::mark_busy;
use crate::config::{EXTENT_PAGES, PAGE_SHIFT};
use crate::ids::PageId;
use crate::lock::{Guard, HeldByMe, Lock};
use crate::os::{self, OutOfMemory};
use crate::region::Region;
use crate::runs::{Home, Runs};
use crate::span::RunKind;
use core::cell::UnsafeCell;
use numa_sys::policy::{self, BindMode};
use rseq_sys::sync::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};

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
    /// Ranges that are bound to the node.
    pub binds: AtomicU64,
    /// Ranges that the kernel refused to bind to the node.
    pub bind_refusals: AtomicU64,
    /// The number of the last refusal's error.
    pub bind_error: AtomicI32,
}

/// The page heap of one node.
#[derive(Debug)]
pub struct PageHeap {
    lock: Lock,
    runs: UnsafeCell<Runs>,
    deferred: AtomicU32,
    /// Period in which the system last refused to take pages back; 0, which is before any.
    refused_at: AtomicU32,
    /// What this heap counts.
    pub counters: Counters,
}

/// What became of a page heap's lock before `fork`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForkHold {
    /// It is held for the fork now.
    Taken,
    /// The forking thread interrupted itself holding it: parent and child both go on with it.
    Mine,
    /// Another thread holds it.
    Busy,
}

// SAFETY: `runs` is reached only with the lock held.
unsafe impl Sync for PageHeap {}

impl PageHeap {
    /// A heap without pages.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            lock: Lock::new(),
            runs: UnsafeCell::new(Runs::new()),
            deferred: AtomicU32::new(0),
            refused_at: AtomicU32::new(0),
            counters: Counters {
                allocs: AtomicU64::new(0),
                purged_bytes: AtomicU64::new(0),
                purges: AtomicU64::new(0),
                busy_pages: AtomicUsize::new(0),
                dirty_pages: AtomicUsize::new(0),
                binds: AtomicU64::new(0),
                bind_refusals: AtomicU64::new(0),
                bind_error: AtomicI32::new(0),
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
        if let Some((page, length)) = runs.of_mut(RunKind::Dirty).take(region, pages) {
            runs.split(region, RunKind::Dirty, page, length, pages);
            return Ok(Run { page, zeroed: false });
        }
        let (page, length) = match runs.of_mut(RunKind::Clean).take(region, pages) {
            Some(run) => run,
            None => self.fresh(home, pages)?,
        };
        runs.split(region, RunKind::Clean, page, length, pages);
        Ok(Run { page, zeroed: true })
    }

    /// Takes at least `pages` from the region and binds them to the node.
    fn fresh(&self, home: Home<'_>, pages: u32) -> Result<(PageId, u32), OutOfMemory> {
        let roomy = pages.next_multiple_of(EXTENT_PAGES);
        // Nodes own whole extents; where there is one node, the region's last pages serve, too.
        let (page, length) = match home.region.take_pages(roomy) {
            Err(OutOfMemory) if home.bind.is_none() => (home.region.take_pages(pages)?, pages),
            taken => (taken?, roomy),
        };
        self.bind(home, page, length);
        Ok((page, length))
    }

    /// Takes the pages from `at` on, `pages` at least, if they are the region's next ones.
    fn fresh_at(&self, home: Home<'_>, at: PageId, pages: u32) -> Option<u32> {
        let roomy = pages.next_multiple_of(EXTENT_PAGES);
        let length = match home.region.take_pages_at(at, roomy) {
            Err(OutOfMemory) if home.bind.is_none() => {
                home.region.take_pages_at(at, pages).ok()?.ok().map(|()| pages)
            }
            taken => taken.ok()?.ok().map(|()| roomy),
        }?;
        self.bind(home, at, length);
        Some(length)
    }

    fn bind(&self, home: Home<'_>, page: PageId, pages: u32) {
        let Some(mode) = home.bind else { return };
        home.region.set_node(page, pages, home.node);
        self.bind_range(home.region.address(page), (pages as usize) << PAGE_SHIFT, home.node, mode);
    }

    /// Binds memory of this heap's `node`, before anything is written to it. What the kernel
    /// refuses is counted, and works, wherever it comes to lie.
    pub fn bind_range(&self, address: *mut u8, len: usize, node: usize, mode: BindMode) {
        match policy::bind_range(address.cast(), len, node as u32, mode) {
            Ok(()) => self.counters.binds.fetch_add(1, Ordering::Relaxed),
            Err(why) => {
                self.counters.bind_error.store(why.raw(), Ordering::Relaxed);
                self.counters.bind_refusals.fetch_add(1, Ordering::Relaxed)
            }
        };
    }

    /// Takes back a run, which reads as zero if `kind` is clean. Never waits: when the lock is
    /// held, the run is left for its holder.
    pub fn free(&self, home: Home<'_>, page: PageId, pages: u32, kind: RunKind, stamp: u32) {
        self.counters.busy_pages.fetch_sub(pages as usize, Ordering::Relaxed);
        home.region.span(page).run_stamp.store(stamp, Ordering::Relaxed);
        match self.lock.try_lock() {
            Some(guard) => self.with(&guard, home, |runs| {
                runs.insert_merged(home, kind, page, pages);
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
        let guard = self.lock.lock(home.holds_any_lock)?;
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
            runs.insert_merged(home, RunKind::Dirty, page, pages);
        }
        let result = f(runs);
        self.counters.dirty_pages.store(runs.of(RunKind::Dirty).pages(), Ordering::Relaxed);
        result
    }

    /// Purges dirty runs freed `age` periods before `now` or earlier, and the longest ones until
    /// no more than `keep_pages` are left. Returns the bytes given back.
    ///
    /// What the system refuses (memory locked by `mlockall`) is as if freed now.
    pub fn purge(&self, home: Home<'_>, now: u32, age: u32, keep_pages: usize) -> usize {
        let due = self.locked(home, |runs| {
            runs.of_mut(RunKind::Dirty).take_chain(home.region, keep_pages, |page| {
                let freed = home.region.span(page).run_stamp.load(Ordering::Relaxed);
                now.wrapping_sub(age).wrapping_sub(freed).cast_signed() > 0
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
            } else {
                span.run_stamp.store(now, Ordering::Relaxed);
                self.refused_at.store(now, Ordering::Relaxed);
            }
            let back = self.locked(home, |runs| {
                let kind = if done { RunKind::Clean } else { RunKind::Dirty };
                runs.insert_merged(home, kind, page, pages);
            });
            if back.is_err() {
                // We interrupted the lock's holder: its next one takes the run, as a dirty one.
                self.defer(home.region, page, pages);
            }
        }
        bytes
    }

    /// Whether the system refused to take pages back in the period `now`: then it is not asked
    /// again in it.
    #[must_use]
    pub fn was_refused(&self, now: u32) -> bool {
        self.refused_at.load(Ordering::Relaxed) == now
    }

    /// Extends a busy run of `pages` to `wanted` with what is free right after it, and with the
    /// region's next pages where it is the last run. Returns whether the new pages read as zero;
    /// `None` when there are not enough.
    pub fn extend(&self, home: Home<'_>, page: PageId, pages: u32, wanted: u32) -> Option<bool> {
        let (after, more) = (page.plus(pages), wanted - pages);
        let found = self.locked(home, |runs| {
            let free = home.free_pages_from(after, more);
            let end = after.plus(free);
            if free < more {
                // A growing vector at the end of the region is never copied.
                let length = (end == home.region.end()).then_some(more - free)?;
                let length = self.fresh_at(home, end, length)?;
                runs.insert_merged(home, RunKind::Clean, end, length);
            }
            let zeroed = runs.take_from(home, after, more);
            mark_busy(home.region, page, wanted);
            Some(zeroed)
        });
        let zeroed = found.ok().flatten()?;
        self.counters.busy_pages.fetch_add(more as usize, Ordering::Relaxed);
        Some(zeroed)
    }

    /// Shows the free runs to `f`, with the deferred ones among them.
    ///
    /// # Errors
    /// [`HeldByMe`] when the caller interrupted the lock's holder.
    pub fn inspect<T>(&self, home: Home<'_>, f: impl FnOnce(&Runs) -> T) -> Result<T, HeldByMe> {
        self.locked(home, |runs| f(runs))
    }

    /// Free pages that read as zero.
    #[must_use]
    pub fn clean_pages(&self, home: Home<'_>) -> usize {
        self.locked(home, |runs| runs.of(RunKind::Clean).pages()).unwrap_or(0)
    }

    /// Whether the calling thread holds this heap's lock.
    #[must_use]
    pub fn is_held_by_me(&self) -> bool {
        self.lock.is_mine()
    }

    /// Takes the lock before `fork`, if it is free.
    #[must_use]
    pub fn try_before_fork(&self) -> ForkHold {
        match self.lock.try_lock() {
            Some(guard) => {
                core::mem::forget(guard);
                ForkHold::Taken
            }
            None if self.lock.is_mine() => ForkHold::Mine,
            None => ForkHold::Busy,
        }
    }
    /// Returns when the lock was seen open, or at once where waiting for that might be for ever.
    pub fn await_open(&self, home: Home<'_>) {
        if self.lock.lock(home.holds_any_lock).is_err() {
            os::yield_now();
        }
    }
    /// Opens it again, in parent and child, where [`Self::try_before_fork`] took it.
    pub fn after_fork(&self) {
        self.lock.unlock_after_fork();
    }
}

impl Default for PageHeap {
    fn default() -> Self {
        Self::new()
    }
}

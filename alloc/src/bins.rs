//! Free page runs by length: a two-level segregated fit over the pages' own descriptors.
//!
//! ```text
//! bin    0   1 … 15    16 … 23        24 … 31      …
//! pages  –   1 … 15    16, 18, … 30   32, 36, … 60      8 steps per doubling
//!            └ exact ┘ └── from this length on ───────────────────────────────
//! full   a bit per bin that is not empty
//! heads  first run of each bin; runs are linked through `run_previous`, `run_following`
//! ```
//!
//! Any run in a bin above the request's own is long enough, so a fit is found by one search for
//! a set bit (Masmano et al., "TLSF", 2004). The request's own bin is looked through first, a
//! few runs deep, since the best fit is there when it exists.

use crate::ids::PageId;
use crate::region::Region;
use crate::span::RunKind;
use rseq_sys::sync::Ordering::Relaxed;

const EXACT: u32 = 16;
const STEPS_LOG2: u32 = 3;
/// Number of bins.
pub const BINS: usize = 16 + 28 * (1 << STEPS_LOG2);
const LOOK: usize = 8;

/// The free runs of one kind of one page heap; its lock protects them.
#[derive(Debug)]
pub struct Bins {
    full: [u64; BINS.div_ceil(64)],
    heads: [u32; BINS],
    pages: usize,
}

/// The bin in which runs of `pages` lie.
#[must_use]
pub const fn bin_of(pages: u32) -> usize {
    if pages < EXACT {
        return pages as usize;
    }
    let log = 31 - pages.leading_zeros();
    let step = (pages >> (log - STEPS_LOG2)) & ((1 << STEPS_LOG2) - 1);
    (EXACT + ((log - 4) << STEPS_LOG2) + step) as usize
}

impl Bins {
    /// No runs. All zero, so that the page heaps of absent nodes cost no file page.
    #[must_use]
    pub const fn new() -> Self {
        Self { full: [0; BINS.div_ceil(64)], heads: [0; BINS], pages: 0 }
    }

    /// Pages in all runs.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// Adds a run that does not touch another of its `kind`, which is that of these bins.
    pub fn insert(&mut self, region: &Region, kind: RunKind, page: PageId, pages: u32) {
        let bin = bin_of(pages);
        let first = region.span(page);
        first.set_run_kind(kind);
        first.run_pages.store(pages, Relaxed);
        let last = region.span(page.plus(pages - 1));
        last.set_run_kind(kind);
        last.run_pages.store(pages, Relaxed);
        let head = self.heads[bin];
        first.run_previous.store(0, Relaxed);
        first.run_following.store(head, Relaxed);
        if head != 0 {
            region.span(PageId(head)).run_previous.store(page.0, Relaxed);
        }
        self.heads[bin] = page.0;
        self.full[bin / 64] |= 1 << (bin % 64);
        self.pages += pages as usize;
    }

    /// Takes the run that begins at `page` out; it becomes busy. Returns its length.
    pub fn remove(&mut self, region: &Region, page: PageId) -> u32 {
        let first = region.span(page);
        let pages = first.run_pages.load(Relaxed);
        let bin = bin_of(pages);
        let (previous, following) =
            (first.run_previous.load(Relaxed), first.run_following.load(Relaxed));
        if previous == 0 {
            self.heads[bin] = following;
        } else {
            region.span(PageId(previous)).run_following.store(following, Relaxed);
        }
        if following != 0 {
            region.span(PageId(following)).run_previous.store(previous, Relaxed);
        }
        if self.heads[bin] == 0 {
            self.full[bin / 64] &= !(1 << (bin % 64));
        }
        self.pages -= pages as usize;
        mark_busy(region, page, pages);
        pages
    }

    /// Takes out a run of at least `pages`, the best of those looked at. Returns its length.
    pub fn take(&mut self, region: &Region, pages: u32) -> Option<(PageId, u32)> {
        let own = bin_of(pages);
        let mut best: Option<(PageId, u32)> = None;
        for (run, length) in self.in_bin(region, own).take(LOOK) {
            if length >= pages && best.is_none_or(|(_, shortest)| length < shortest) {
                best = Some((run, length));
            }
        }
        if best.is_none() {
            let bin = self.next_full(own + 1)?;
            best = Some((PageId(self.heads[bin]), 0));
        }
        let (page, _) = best?;
        let length = self.remove(region, page);
        Some((page, length))
    }

    /// The runs of `bin` with their lengths.
    fn in_bin<'a>(
        &self,
        region: &'a Region,
        bin: usize,
    ) -> impl Iterator<Item = (PageId, u32)> + use<'a> {
        let mut at = self.heads[bin];
        core::iter::from_fn(move || {
            if at == 0 {
                return None;
            }
            let span = region.span(PageId(at));
            let run = (PageId(at), span.run_pages.load(Relaxed));
            at = span.run_following.load(Relaxed);
            Some(run)
        })
    }

    /// All runs, each with the bin that it is in.
    pub fn runs<'a>(
        &'a self,
        region: &'a Region,
    ) -> impl Iterator<Item = (usize, PageId, u32)> + use<'a> {
        let in_bin = move |bin| self.in_bin(region, bin).map(move |(page, n)| (bin, page, n));
        (0..BINS).flat_map(in_bin)
    }

    /// Whether the bit of `bin` says what its list says.
    #[must_use]
    pub fn bit_is_right(&self, bin: usize) -> bool {
        (self.full[bin / 64] >> (bin % 64) & 1 == 1) == (self.heads[bin] != 0)
    }

    fn next_full(&self, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut bits = self.full.get(word)? & (u64::MAX << (from % 64));
        while bits == 0 {
            word += 1;
            bits = *self.full.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }

    /// Takes out, in one pass, all runs that are `due`, and the longest ones while more than
    /// `keep_pages` are left. They are busy then, and chained through `run_following`.
    pub fn take_chain(
        &mut self,
        region: &Region,
        keep_pages: usize,
        due: impl Fn(PageId) -> bool,
    ) -> PageId {
        let mut chain = PageId::NONE;
        for bin in (0..BINS).rev() {
            let mut at = PageId(self.heads[bin]);
            while at != PageId::NONE {
                let page = at;
                at = PageId(region.span(page).run_following.load(Relaxed));
                if self.pages > keep_pages || due(page) {
                    self.remove(region, page);
                    region.span(page).run_following.store(chain.0, Relaxed);
                    chain = page;
                }
            }
        }
        chain
    }
}

impl Default for Bins {
    fn default() -> Self {
        Self::new()
    }
}

/// Marks both ends of a run so that its neighbours do not merge with it.
pub fn mark_busy(region: &Region, page: PageId, pages: u32) {
    for end in [page, page.plus(pages - 1)] {
        let span = region.span(end);
        span.set_run_kind(RunKind::Busy);
        span.run_pages.store(pages, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_ascend_with_length_and_lengths_in_a_higher_bin_fit() {
        for pages in 1..200_000u32 {
            let bin = bin_of(pages);
            assert!(bin < BINS && bin_of(pages + 1) >= bin && bin_of(pages + 1) <= bin + 1);
        }
        assert!(bin_of(u32::MAX) < BINS);
    }
}

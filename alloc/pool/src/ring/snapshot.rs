//! Copies of what is in the rings, and the records in them in time order.
//!
//! ```text
//!  copied from a ring         …────────┬────────t1┬─────────t2┬──────t3┐    records, each with its trailer
//!  read backwards once            rec 1│     rec 2│      rec 3│        │    last; `begin` is where the
//!                                      │          │           │        │    oldest whole one begins
//!  trailers moved one back    …──────t1┬────────t2┬─────────t3┬────────┐    now before its record, to
//!                             begin ───┘                                    be read forwards
//! ```
//!
//! Nothing is allocated after [`Snapshot::new`].

use super::record::{Head, OVERHEAD, Trailer, between};
use super::{BEFORE, HEAD, Ring, SEEN, TAIL, WhenFull};
use crate::cids::Place;
use core::sync::atomic::{
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

/// Memory for what is in a ring's copies. See [`Ring::snapshot`].
#[derive(Debug)]
pub struct Snapshot {
    /// As many for each copy as a ring has. What was never in use takes no memory.
    words: Vec<u64>,
    spans: Vec<Span>,
    ring_words: usize,
    lost: u64,
}

/// The records of one copy.
#[derive(Debug, Clone, Copy)]
struct Span {
    place: Place,
    /// Where the oldest one begins in `words`, and its trailer.
    begin: usize,
    first: Trailer,
    /// The same of the next one to be looked at.
    next: usize,
    trailer: Trailer,
    /// Where the newest one ends.
    end: usize,
}

/// A record in a [`Snapshot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// At whose ring it was appended.
    pub place: Place,
    /// When, by the ring's clock.
    pub stamp: u64,
    /// Its number among the records of that place, modulo 2³².
    pub sequence: u32,
    /// What was appended.
    pub payload: &'a [u8],
}

impl Snapshot {
    /// Memory for snapshots of `ring`: address space for all copies that there may be.
    #[must_use]
    pub fn new(ring: &Ring) -> Self {
        let (copies, ring_words) = (ring.block.copies(), ring.words());
        Self {
            words: vec![0; copies * ring_words],
            spans: Vec::with_capacity(copies),
            ring_words,
            lost: 0,
        }
    }

    /// The records, the earliest one first. Those of one place are in order whatever the clock says.
    pub fn records(&mut self) -> Records<'_> {
        for span in &mut self.spans {
            (span.next, span.trailer) = (span.begin, span.first);
        }
        Records { words: &self.words, spans: &mut self.spans }
    }

    /// Records that were overwritten before a reader had them, as [`super::Reader::drain`] found.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    pub(super) fn fill(&mut self, ring: &Ring, taking: bool) {
        assert_eq!(self.ring_words, ring.words(), "the snapshot was made for another ring");
        assert!(self.words.len() >= ring.block.copies() * self.ring_words);
        self.spans.clear();
        self.lost = 0;
        for number in 0..ring.block.copies() {
            self.fill_from(ring, number, taking);
        }
    }

    /// Copies what is in copy `number`; and `taking`, has it taken out.
    fn fill_from(&mut self, ring: &Ring, number: usize, taking: bool) {
        let copy = ring.block.copy(number);
        let Some(head) = Head::of(copy[HEAD].load(Acquire)) else { return };
        let tail = copy[TAIL].load(Relaxed);
        let there = match ring.when_full {
            // None, where a reader has taken more meanwhile than there was at that head.
            WhenFull::DropNewest => head.unread(tail, ring.words()).unwrap_or(0),
            WhenFull::Overwrite => {
                let new = if taking { head.since(tail) } else { head.position() };
                usize::try_from(new).unwrap_or(usize::MAX).min(ring.words() - ring.record_words_max)
            }
        };
        let base = number * self.ring_words;
        let (end, first) = (base + there, head.position().wrapping_sub(there as u64));
        for (i, word) in self.words[base..end].iter_mut().enumerate() {
            let index = first.wrapping_add(i as u64) as usize & ring.mask;
            *word = copy[BEFORE + index].load(Relaxed);
        }
        // Pairs with what is stored at the copy: if a word that we loaded was overwritten, we see now
        // what allowed that.
        fence(Acquire);
        let overwritten = match ring.when_full {
            WhenFull::DropNewest => between(tail, copy[TAIL].load(Relaxed)),
            WhenFull::Overwrite => {
                let now = Head(copy[HEAD].load(Relaxed)).since(head.position());
                (now + there as u64).saturating_sub((ring.words() - ring.record_words_max) as u64)
            }
        };
        let begin = base + usize::try_from(overwritten).unwrap_or(usize::MAX).min(there);
        let newest = self.words[..end].last().map(|&word| Trailer(word));
        let oldest = self.turn_around(begin, end);
        if taking {
            // Release: sections that see it write over what was copied.
            copy[TAIL].store(head.position(), Release);
            if let (Some((_, oldest)), Some(newest)) = (oldest, newest) {
                let first = oldest.sequence().wrapping_add(u32::from(oldest.is_filler()));
                // What the reader has seen of this copy. Holes that it finds later begin there, too.
                let seen = copy[SEEN].load(Relaxed) as u32;
                self.lost += u64::from(first.wrapping_sub(seen));
                copy[SEEN].store(newest.sequence().wrapping_add(1).into(), Relaxed);
            }
        }
        if let Some((begin, first)) = oldest {
            let place = ring.block.place(number);
            self.spans.push(Span { place, begin, first, next: begin, trailer: first, end });
        }
    }

    /// Makes the records that end at `end` readable forwards, and finds the oldest whole one from
    /// `begin` on: where it begins, and its trailer.
    fn turn_around(&mut self, begin: usize, end: usize) -> Option<(usize, Trailer)> {
        let (mut at, mut oldest) = (end, None);
        while at > begin {
            let trailer = Trailer(self.words[at - 1]);
            let words = trailer.words();
            if words == 0 || words > at - begin {
                break;
            }
            if let Some((_, later)) = oldest.replace((at - words, trailer)) {
                self.words[at - 1] = later.0;
            }
            at -= words;
        }
        oldest
    }
}

/// The records of a [`Snapshot`], the earliest one first.
#[derive(Debug)]
pub struct Records<'a> {
    words: &'a [u64],
    spans: &'a mut [Span],
}

impl Span {
    /// Goes on to the next record, or to the end.
    fn advance(&mut self, words: &[u64]) {
        self.next += self.trailer.words();
        if self.next < self.end {
            self.trailer = Trailer(words[self.next - 1]);
        }
    }

    /// The stamp of the next record, if there is one.
    fn stamp(&mut self, words: &[u64]) -> Option<u64> {
        while self.next < self.end && self.trailer.is_filler() {
            self.advance(words);
        }
        (self.next < self.end).then(|| words[self.next + self.trailer.words() - OVERHEAD])
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let words = self.words;
        let mut earliest: Option<(u64, usize)> = None;
        for (i, span) in self.spans.iter_mut().enumerate() {
            if let Some(stamp) = span.stamp(words)
                && earliest.is_none_or(|(before, _)| stamp < before)
            {
                earliest = Some((stamp, i));
            }
        }
        let (stamp, i) = earliest?;
        let span = &mut self.spans[i];
        let payload = &bytemuck::cast_slice(&words[span.next..])[..span.trailer.bytes()];
        let (place, sequence) = (span.place, span.trailer.sequence());
        span.advance(words);
        Some(Record { place, stamp, sequence, payload })
    }
}

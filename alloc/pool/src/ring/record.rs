//! The words of a ring that are not payload.
//!
//! ```text
//!  head      63        44 43                            0
//!           ┌────────────┬───────────────────────────────┐
//!           │ ticket     │ position                      │
//!           └────────────┴───────────────────────────────┘
//!  trailer   63              32  31   30                0
//!           ┌──────────────────┬────┬────────────────────┐
//!           │ sequence         │ 0  │ bytes of payload   │   a record
//!           │ of the last one  │ 1  │ words              │   a filler: nothing, up to the end
//!           └──────────────────┴────┴────────────────────┘
//! ```

use crate::field::WORD;

const POSITION_BITS: u32 = 44;
const POSITION: u64 = (1 << POSITION_BITS) - 1;
const FILLER: u64 = 1 << 31;

/// Words of the longest record.
pub(super) const RECORD_WORDS_MAX: usize = 512;
/// Words of a record that are not payload: stamp and trailer.
pub(super) const OVERHEAD: usize = 2;

/// The head of a copy that has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head(pub(super) u64);

impl Head {
    pub(super) fn of(word: u64) -> Option<Self> {
        (word != 0).then_some(Self(word))
    }
    /// Of a copy without records, with the ticket `number` from 1 on; while there are any.
    pub(super) fn first(number: u64) -> Option<Self> {
        (number < 1 << (u64::BITS - POSITION_BITS)).then_some(Self(number << POSITION_BITS))
    }
    pub(super) fn position(self) -> u64 {
        self.0 & POSITION
    }
    /// After so many more words.
    pub(super) fn moved(self, words: usize) -> Self {
        let position = self.position().wrapping_add(words as u64) & POSITION;
        Self(self.0 & !POSITION | position)
    }
    /// Words since `position`.
    pub(super) fn since(self, position: u64) -> u64 {
        between(position, self.position())
    }
    /// Words of a ring of so many since `tail`; `None` where that is ahead: then the reader took what was
    /// appended after this head was loaded, and it is no more the copy's.
    pub(super) fn unread(self, tail: u64, words: usize) -> Option<usize> {
        usize::try_from(self.since(tail)).ok().filter(|&unread| unread <= words)
    }
}

/// Words from one position to a later one.
pub(super) fn between(first: u64, second: u64) -> u64 {
    second.wrapping_sub(first) & POSITION
}

/// The last word of a record, or of a filler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trailer(pub(super) u64);

impl Trailer {
    pub(super) fn record(bytes: usize, sequence: u32) -> Self {
        Self(u64::from(sequence) << 32 | bytes as u64)
    }
    /// `sequence` is that of the record before it.
    pub(super) fn filler(words: usize, sequence: u32) -> Self {
        Self(u64::from(sequence) << 32 | FILLER | words as u64)
    }
    pub(super) fn sequence(self) -> u32 {
        (self.0 >> 32) as u32
    }
    pub(super) fn is_filler(self) -> bool {
        self.0 & FILLER != 0
    }
    /// Bytes of a record's payload.
    pub(super) fn bytes(self) -> usize {
        (self.0 & (FILLER - 1)) as usize
    }
    /// Of the whole record, or filler.
    pub(super) fn words(self) -> usize {
        let low = self.bytes();
        if self.is_filler() { low } else { low.div_ceil(WORD) + OVERHEAD }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_wrap_without_touching_the_ticket() {
        let head = Head(3 << POSITION_BITS | (POSITION - 1));
        let moved = head.moved(5);
        assert_eq!((moved.0 >> POSITION_BITS, moved.position()), (3, 3));
        assert_eq!(moved.since(head.position()), 5);
        assert_eq!(between(head.position(), moved.position()), 5);
    }

    #[test]
    fn nothing_is_said_of_a_head_that_the_tail_has_passed() {
        let head = Head(3 << POSITION_BITS | 2);
        assert_eq!(head.unread(2, 16), Some(0));
        assert_eq!(head.unread(POSITION, 16), Some(3), "it wrapped");
        assert_eq!(head.unread(head.moved(1).position(), 16), None);
        assert_eq!(head.unread(head.moved(16).position(), 16), None);
    }

    #[test]
    fn there_are_as_many_tickets_as_bits_for_them_and_none_is_zero() {
        assert_ne!(Head::first(1).unwrap().0, 0);
        assert!(Head::first((1 << 20) - 1).is_some());
        assert!(Head::first(1 << 20).is_none());
    }

    #[test]
    fn trailers_tell_lengths() {
        assert_eq!(Trailer::record(0, 7).words(), 2);
        assert_eq!(Trailer::record(9, 7).words(), 4);
        assert_eq!(Trailer::record(9, u32::MAX).sequence(), u32::MAX);
        assert_eq!(Trailer::filler(1, u32::MAX).words(), 1);
        assert!(Trailer::filler(1, 0).is_filler() && !Trailer::record(1, 0).is_filler());
    }
}

//! Items by number, and some of the 32 that are one group.
//!
//! ```text
//!  item    31 … 5    4 … 0           word of a cid   63 … 32   31 … 0
//!          ───┬───   ──┬──                           ───┬───   ───┬──
//!           group     bit                             group     mask: a bit for each item
//! ```

/// Items of one group: those whose bit is set in `mask`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) number: u32,
    pub(crate) mask: u32,
}

impl Group {
    pub(crate) fn of(word: u64) -> Self {
        Self { number: (word >> 32) as u32, mask: word as u32 }
    }
    pub(crate) fn word(self) -> u64 {
        u64::from(self.number) << 32 | u64::from(self.mask)
    }
    pub(crate) fn one(item: Index) -> Self {
        Self { number: item.0 / GROUP as u32, mask: 1 << (item.0 % GROUP as u32) }
    }
    /// Up to `most` of them, and the others.
    pub(crate) fn split(self, most: u32) -> (Self, Self) {
        let mut rest = self.mask;
        for _ in 0..most {
            if rest == 0 {
                break;
            }
            rest &= rest - 1;
        }
        (Self { mask: self.mask & !rest, ..self }, Self { mask: rest, ..self })
    }
    /// Its bits in the word of 64 that it is half of.
    pub(crate) fn wide(self) -> u64 {
        u64::from(self.mask) << (GROUP as u32 * (self.number & 1))
    }
    /// The first of them, of which there is one.
    pub(crate) fn first(self) -> Index {
        Index(self.number * GROUP as u32 + self.mask.trailing_zeros())
    }
    pub(crate) fn iter(self) -> impl Iterator<Item = Index> {
        let mut mask = self.mask;
        core::iter::from_fn(move || {
            (mask != 0).then(|| {
                let bit = mask.trailing_zeros();
                mask &= mask - 1;
                Index(self.number * GROUP as u32 + bit)
            })
        })
    }
}

/// An item's number among all that the pool may have: that of its bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Index(pub(crate) u32);

/// Items per group.
pub(crate) const GROUP: usize = 32;

//! Objects in a hand: between a span and a shard, on a thread's stack.
//!
//! ```text
//!  slots  ·  ·  ·  ·  ·  p₃  p₂  p₁  p₀      filled from the right, in ascending order of
//!                        └ start             address, so that the shard's top is the lowest
//! ```

use crate::check::check;
use crate::config::HAND_MAX;

/// At most [`HAND_MAX`] objects of one class.
#[derive(Debug)]
pub struct Batch {
    slots: [usize; HAND_MAX],
    start: usize,
}

impl Batch {
    /// An empty hand.
    #[inline]
    #[must_use]
    pub fn new() -> Self {
        Self { slots: [0; HAND_MAX], start: HAND_MAX }
    }
    /// Number of objects.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        HAND_MAX - self.start
    }
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The objects, the last added first.
    #[must_use]
    pub fn as_slice(&self) -> &[usize] {
        &self.slots[self.start..]
    }
    /// The objects, to be put into another order.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [usize] {
        &mut self.slots[self.start..]
    }

    /// Adds the objects of one bitmap word: bit `i` is the object at `base + i * size`.
    #[inline]
    pub fn add_word(&mut self, mut bits: u64, base: usize, size: usize) {
        let count = bits.count_ones() as usize;
        check(count <= self.start, "a hand holds more objects than were asked for");
        let room = self.start - count;
        let into = &mut self.slots[room..self.start];
        self.start = room;
        if bits == u64::MAX {
            // Whole words are what fresh spans and large frees give: no search for bits.
            for (i, slot) in into.iter_mut().rev().enumerate() {
                *slot = base + i * size;
            }
            return;
        }
        for slot in into.iter_mut().rev() {
            *slot = base + bits.trailing_zeros() as usize * size;
            bits &= bits - 1;
        }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

/// The lowest `n` set bits of `bits`.
#[inline]
#[must_use]
pub fn lowest_bits(bits: u64, n: usize) -> u64 {
    if bits.count_ones() as usize <= n {
        return bits;
    }
    let mut rest = bits;
    for _ in 0..n {
        rest &= rest - 1;
    }
    bits & !rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_ascending_addresses_from_the_right() {
        let mut batch = Batch::new();
        batch.add_word(0b1010_0001, 1 << 20, 48);
        batch.add_word(0b11, 2 << 20, 16);
        assert_eq!(batch.len(), 5);
        let slots = batch.as_slice();
        assert_eq!(slots[2..], [(1 << 20) + 7 * 48, (1 << 20) + 5 * 48, 1 << 20]);
        assert_eq!(slots[..2], [(2 << 20) + 16, 2 << 20]);

        let mut whole = Batch::new();
        whole.add_word(u64::MAX, 2 << 20, 16);
        assert_eq!(whole.len(), 64);
        assert!(whole.as_slice().windows(2).all(|w| w[0] == w[1] + 16));
        assert_eq!(whole.as_slice()[63], 2 << 20);
    }

    #[test]
    fn lowest_bits_are_the_lowest_and_as_many_as_asked() {
        assert_eq!(lowest_bits(0b1011_0100, 2), 0b1_0100);
        assert_eq!(lowest_bits(0b1011_0100, 9), 0b1011_0100);
        assert_eq!(lowest_bits(u64::MAX, 63), u64::MAX >> 1);
        assert_eq!(lowest_bits(7, 0), 0);
    }
}

//! Sets of node or CPU numbers of a fixed size, laid out as the kernel's own bitmaps.
//!
//! ```text
//!   word 0                     word 1
//!   [63 …………………… 2 1 0]   [127 ………………………… 64]   … WORDS words of `unsigned long`
//!                    └ id 0
//!   NodeMask: 1024 bits, 128 bytes        CpuMask: 8192 bits, 1 KiB
//! ```
//!
//! `MAX_NUMNODES` is at most 1024 and `NR_CPUS` at most 8192 on every architecture of Linux, so
//! what a kernel can name fits; what does not fit is an error and is never dropped.

use crate::cpulist::{self, ParseError};
use core::fmt;

const WORD_BITS: usize = usize::BITS as usize;

/// A set of numbers from 0 to [`Bits::CAPACITY`] - 1.
///
/// ```
/// use numa_sys::NodeMask;
/// let mask = NodeMask::from_list(b"0-2,7\n")?;
/// assert!(mask.contains(7) && !mask.contains(3));
/// assert_eq!((mask.count(), mask.highest()), (4, Some(7)));
/// assert_eq!(mask.to_string(), "0-2,7");
/// # Ok::<(), numa_sys::cpulist::ParseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Bits<const WORDS: usize> {
    words: [usize; WORDS],
}

/// A set of NUMA nodes: up to 1024, the kernel's upper bound.
pub type NodeMask = Bits<{ 1024 / WORD_BITS }>;

/// A set of CPUs: up to 8192, the kernel's upper bound. It takes 1 KiB.
pub type CpuMask = Bits<{ 8192 / WORD_BITS }>;

const _: () = assert!(size_of::<NodeMask>() == 128 && size_of::<CpuMask>() == 1024);

/// The number does not fit into the set; holds the set's capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapacityError {
    /// The number that was to be put in.
    pub id: u32,
    /// The least number that does not fit.
    pub capacity: u32,
}

impl fmt::Display for CapacityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "number {} does not fit: this set holds 0 to {}", self.id, self.capacity - 1)
    }
}

impl core::error::Error for CapacityError {}

impl<const WORDS: usize> Bits<WORDS> {
    /// The least number that does not fit.
    pub const CAPACITY: u32 = WORDS as u32 * usize::BITS;

    /// The empty set.
    pub const EMPTY: Self = Bits { words: [0; WORDS] };

    /// The set of one number.
    ///
    /// # Errors
    ///
    /// The number does not fit.
    pub const fn single(id: u32) -> Result<Self, CapacityError> {
        let mut mask = Self::EMPTY;
        match mask.insert(id) {
            Ok(_) => Ok(mask),
            Err(error) => Err(error),
        }
    }

    /// The set that a kernel list such as `0-3,8` names.
    ///
    /// # Errors
    ///
    /// The text is no such list, or names a number that does not fit.
    pub fn from_list(text: &[u8]) -> Result<Self, ParseError> {
        let mut mask = Self::EMPTY;
        for region in cpulist::regions(text) {
            let (region, position) = region?;
            if region.last() >= Self::CAPACITY {
                return Err(ParseError::too_large(position));
            }
            for id in region.ids() {
                // Fits: no number of a region is above its last.
                let _ = mask.insert(id);
            }
        }
        Ok(mask)
    }

    /// Puts a number in; says whether it is new.
    ///
    /// # Errors
    ///
    /// The number does not fit.
    pub const fn insert(&mut self, id: u32) -> Result<bool, CapacityError> {
        if id >= Self::CAPACITY {
            return Err(CapacityError { id, capacity: Self::CAPACITY });
        }
        let (word, bit) = (id as usize / WORD_BITS, 1 << (id as usize % WORD_BITS));
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        Ok(new)
    }

    /// Takes a number out; says whether it was there.
    pub const fn remove(&mut self, id: u32) -> bool {
        let there = self.contains(id);
        if there {
            self.words[id as usize / WORD_BITS] &= !(1 << (id as usize % WORD_BITS));
        }
        there
    }

    /// Whether the number is in the set. One that does not fit is not.
    pub const fn contains(&self, id: u32) -> bool {
        id < Self::CAPACITY
            && self.words[id as usize / WORD_BITS] >> (id as usize % WORD_BITS) & 1 == 1
    }

    /// How many numbers are in the set.
    pub fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// The lowest number in the set.
    pub fn lowest(&self) -> Option<u32> {
        self.iter().next()
    }

    /// The highest number in the set.
    pub fn highest(&self) -> Option<u32> {
        let word = self.words.iter().rposition(|&word| word != 0)?;
        Some((word * WORD_BITS) as u32 + self.words[word].ilog2())
    }

    /// The numbers that are in both sets.
    pub fn and(&self, other: &Self) -> Self {
        let mut both = *self;
        for (word, other) in both.words.iter_mut().zip(other.words) {
            *word &= other;
        }
        both
    }

    /// The numbers in the set, ascending.
    pub fn iter(&self) -> Iter<'_, WORDS> {
        Iter { mask: self, word: 0, left: self.words.first().copied().unwrap_or(0) }
    }

    /// The words as the kernel reads them.
    pub const fn words(&self) -> &[usize; WORDS] {
        &self.words
    }

    pub(crate) const fn words_mut(&mut self) -> &mut [usize; WORDS] {
        &mut self.words
    }
}

impl<const WORDS: usize> Default for Bits<WORDS> {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// The numbers of a set, ascending.
#[derive(Clone, Debug)]
pub struct Iter<'a, const WORDS: usize> {
    mask: &'a Bits<WORDS>,
    word: usize,
    left: usize,
}

impl<const WORDS: usize> Iterator for Iter<'_, WORDS> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        while self.left == 0 {
            self.word += 1;
            self.left = *self.mask.words.get(self.word)?;
        }
        let bit = self.left.trailing_zeros();
        self.left &= self.left - 1;
        Some((self.word * WORD_BITS) as u32 + bit)
    }
}

impl<'a, const WORDS: usize> IntoIterator for &'a Bits<WORDS> {
    type Item = u32;
    type IntoIter = Iter<'a, WORDS>;

    fn into_iter(self) -> Iter<'a, WORDS> {
        self.iter()
    }
}

/// As the kernel prints it: `0-3,8`, without a newline; the empty set is the empty text.
impl<const WORDS: usize> fmt::Display for Bits<WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ids = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = ids.next() {
            let mut last = first;
            while let Some(next) = ids.next_if_eq(&(last + 1)) {
                last = next;
            }
            if first == last {
                write!(f, "{separator}{first}")?;
            } else {
                write!(f, "{separator}{first}-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

impl<const WORDS: usize> fmt::Debug for Bits<WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

#[cfg(test)]
#[path = "mask_tests.rs"]
mod tests;

//! The parts of the hardened mode, as the option `hardened` names them.
//!
//! ```text
//!  0            none                       state       one bit per block: live or not
//!  1, all       all of them                guard       pages without access around spans
//!  state,zero   these                      canary      a mark behind each block
//!                                          zero        blocks cleared when freed
//!                                          random      which free block comes next
//!                                          quarantine  freed blocks wait
//! ```

use core::fmt;

/// A set of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts(u8);

const NAMES: [(&str, Parts); 6] = [
    ("state", Parts::STATE),
    ("guard", Parts::GUARD),
    ("canary", Parts::CANARY),
    ("zero", Parts::ZERO),
    ("random", Parts::RANDOM),
    ("quarantine", Parts::QUARANTINE),
];

impl Parts {
    /// Not hardened.
    pub const NONE: Self = Self(0);
    /// A bit for each block that says whether it is live, asked at each free.
    pub const STATE: Self = Self(1);
    /// Pages without access behind spans and large blocks.
    pub const GUARD: Self = Self(1 << 1);
    /// A mark behind each block that an overflow breaks.
    pub const CANARY: Self = Self(1 << 2);
    /// Blocks are cleared when they are freed, and looked at when they are handed out.
    pub const ZERO: Self = Self(1 << 3);
    /// Which free block comes next, and where spans lie, cannot be foretold.
    pub const RANDOM: Self = Self(1 << 4);
    /// Freed blocks wait before they are handed out again.
    pub const QUARANTINE: Self = Self(1 << 5);
    /// The parts by which freed blocks are kept for a while.
    pub const WAITS: Self = Self(Self::RANDOM.0 | Self::QUARANTINE.0);
    /// All parts.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);

    /// The set as a number, for a word that threads share.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }
    /// The set of a number from [`Self::bits`].
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }
    /// Whether one of `parts` at least is among these.
    #[inline(always)]
    #[must_use]
    pub const fn has(self, parts: Self) -> bool {
        self.0 & parts.0 != 0
    }
    /// These without `parts`.
    #[must_use]
    pub const fn without(self, parts: Self) -> Self {
        Self(self.0 & !parts.0)
    }

    /// Reads an option's value: `0`, `1`, `all`, or names with commas between them.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"0" => return Some(Self::NONE),
            b"1" | b"all" => return Some(Self::ALL),
            _ => {}
        }
        text.split(|&b| b == b',').try_fold(Self::NONE, |all, name| {
            let (_, part) = NAMES.iter().find(|(known, _)| known.as_bytes() == name)?;
            Some(Self(all.0 | part.0))
        })
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "";
        for (name, part) in NAMES {
            if self.has(part) {
                write!(f, "{before}{name}")?;
                before = ", ";
            }
        }
        if *self == Self::NONE { f.write_str("off") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn names_make_sets_and_sets_say_their_names() {
        assert_eq!(Parts::parse(b"0"), Some(Parts::NONE));
        assert_eq!(Parts::parse(b"1"), Some(Parts::ALL));
        assert_eq!(Parts::parse(b"all"), Some(Parts::ALL));
        let two = Parts::parse(b"zero,state").unwrap();
        assert!(two.has(Parts::STATE) && two.has(Parts::ZERO) && !two.has(Parts::GUARD));
        assert_eq!(two.to_string(), "state, zero");
        assert_eq!(two.without(Parts::ZERO), Parts::STATE);
        assert_eq!(Parts::from_bits(two.bits()), two);
        assert_eq!(Parts::NONE.to_string(), "off");
        assert_eq!(Parts::ALL.to_string(), "state, guard, canary, zero, random, quarantine");
        for bad in [&b""[..], b"2", b"state,", b"States", b"all,zero"] {
            assert_eq!(Parts::parse(bad), None);
        }
    }
}

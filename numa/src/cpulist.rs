//! The kernel's list format, as in `/sys/devices/system/cpu/possible`: a pure parser.
//!
//! ```text
//!   0-3,8,10-11\n          list   = [ region { "," region } ] [ "\n" ]
//!   0-10:2/4               region = first [ "-" last [ ":" used "/" group ] ]
//!   ▓▓░░▓▓░░▓▓░            of every group of 4 numbers the first 2
//! ```
//!
//! Source of the format: `Documentation/admin-guide/kernel-parameters.rst` ("cpu lists") and
//! `bitmap_parselist` in `lib/bitmap-str.c`. As there, `used` may be 0 (no number at all) and a
//! region need not come after the one before it. What the kernel reads but never prints (spaces,
//! empty regions, `N`, `all`) is refused, so that a damaged file is seen.

use crate::parse::number;
use core::fmt;

pub use crate::parse::{ParseError, ParseErrorKind};

/// What a list is made of: the numbers from `first` to `last`, or some of each group of them.
///
/// ```
/// use numa_sys::cpulist::Region;
/// let region = Region::strided(0, 10, 2, 4).unwrap();
/// assert!(region.ids().eq([0, 1, 4, 5, 8, 9]));
/// assert_eq!(region.to_string(), "0-10:2/4");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    first: u32,
    last: u32,
    used: u32,
    group: u32,
}

impl Region {
    /// All numbers from `first` to `last`, both included; `None` if they are reversed.
    pub const fn new(first: u32, last: u32) -> Option<Region> {
        Region::strided(first, last, 1, 1)
    }

    /// Of every `group` numbers from `first` on the first `used`, none beyond `last`.
    /// `None` if `first` is above `last`, `group` is 0, or `used` is above `group`.
    pub const fn strided(first: u32, last: u32, used: u32, group: u32) -> Option<Region> {
        if first > last || group == 0 || used > group {
            return None;
        }
        Some(Region { first, last, used, group })
    }

    /// The lower bound as written.
    pub const fn first(self) -> u32 {
        self.first
    }

    /// The upper bound as written; with a stride it need not be one of the numbers.
    pub const fn last(self) -> u32 {
        self.last
    }

    /// The highest number named; `None` if a stride of 0 leaves none.
    pub fn highest(self) -> Option<u32> {
        let span = self.last - self.first;
        let last_used = self.used.checked_sub(1)?;
        Some(self.last - span % self.group + (span % self.group).min(last_used))
    }

    /// Whether the number is one of those named.
    pub const fn contains(self, id: u32) -> bool {
        self.first <= id && id <= self.last && (id - self.first) % self.group < self.used
    }

    /// The numbers named, ascending.
    pub const fn ids(self) -> Ids {
        Ids { region: self, next: self.first as u64 }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Region { first, last, used, group } = *self;
        match (first == last, used == group) {
            (true, true) => write!(f, "{first}"),
            (false, true) => write!(f, "{first}-{last}"),
            (_, false) => write!(f, "{first}-{last}:{used}/{group}"),
        }
    }
}

/// The numbers of a [`Region`], ascending.
#[derive(Clone, Debug)]
pub struct Ids {
    region: Region,
    next: u64, // one above u32::MAX is a state it can reach
}

impl Iterator for Ids {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let Region { first, last, used, group } = self.region;
        let in_group = (self.next - u64::from(first)) % u64::from(group);
        if in_group >= u64::from(used) {
            self.next += u64::from(group) - in_group;
        }
        if used == 0 {
            return None;
        }
        let id = u32::try_from(self.next).ok().filter(|&id| id <= last)?;
        self.next += 1;
        Some(id)
    }
}

/// The regions of a list with the position of each, or the first error, after which it ends.
///
/// ```
/// use numa_sys::cpulist::{Region, regions};
/// let found: Result<Vec<_>, _> = regions(b"0-3,8\n").collect();
/// assert_eq!(found?, [(Region::new(0, 3).unwrap(), 0), (Region::new(8, 8).unwrap(), 4)]);
/// let error = regions(b"0-3,x").find_map(Result::err).unwrap();
/// assert_eq!(error.position, 4);
/// # Ok::<(), numa_sys::cpulist::ParseError>(())
/// ```
pub const fn regions(text: &[u8]) -> Regions<'_> {
    Regions { rest: Some(text), offset: 0, pieces: Pieces::new() }
}

/// See [`regions`].
#[derive(Clone, Debug)]
pub struct Regions<'a> {
    rest: Option<&'a [u8]>,
    offset: usize,
    pieces: Pieces,
}

impl Iterator for Regions<'_> {
    type Item = Result<(Region, usize), ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(text) = self.rest {
            let offset = self.offset;
            let len = text.iter().position(|&byte| byte == b',');
            let piece = &text[..len.unwrap_or(text.len())];
            self.rest = len.map(|len| &text[len + 1..]);
            self.offset += piece.len() + 1;
            match self.pieces.next(piece, offset) {
                Ok(None) => {}
                Ok(Some(region)) => return Some(Ok((region, offset))),
                Err(error) => {
                    self.rest = None;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// Longest region taken, in bytes; four numbers of ten digits and three signs are 43.
pub(crate) const REGION_MAX: usize = crate::file::TOKEN_MAX - 1;

/// What has to be remembered between two pieces of a list, so that a text in one slice and a
/// file read bit by bit are held to the same rules.
#[derive(Clone, Debug)]
pub(crate) struct Pieces {
    first: bool,
    /// The list is over; if more follows, this is what was wrong.
    over: Option<ParseError>,
}

impl Pieces {
    pub(crate) const fn new() -> Pieces {
        Pieces { first: true, over: None }
    }

    /// Takes the piece between two commas that begins at `offset`.
    pub(crate) fn next(
        &mut self,
        piece: &[u8],
        offset: usize,
    ) -> Result<Option<Region>, ParseError> {
        if let Some(error) = self.over {
            return Err(error);
        }
        if piece.len() > REGION_MAX {
            return Err(ParseError::new(ParseErrorKind::TooLong, offset));
        }
        let first = core::mem::replace(&mut self.first, false);
        let text = piece.strip_suffix(b"\n").unwrap_or(piece);
        if text.len() < piece.len() {
            let newline = offset + text.len();
            self.over = Some(ParseError::new(ParseErrorKind::UnexpectedByte, newline));
        }
        if first && text.is_empty() {
            let missing = ParseError::new(ParseErrorKind::ExpectedNumber, offset);
            self.over = self.over.or(Some(missing));
            return Ok(None);
        }
        region(text)
            .map(Some)
            .map_err(|error| ParseError { position: offset + error.position, ..error })
    }
}

fn region(text: &[u8]) -> Result<Region, ParseError> {
    let (first, at) = number(text, 0)?;
    if at == text.len() {
        return Ok(Region { first, last: first, used: 1, group: 1 });
    }
    let (last, at) = number(text, expect(text, at, b'-')?)?;
    let (used, group, at) = if at == text.len() {
        (1, 1, at)
    } else {
        let (used, at) = number(text, expect(text, at, b':')?)?;
        let (group, at) = number(text, expect(text, at, b'/')?)?;
        (used, group, at)
    };
    if at != text.len() {
        return Err(ParseError::new(ParseErrorKind::UnexpectedByte, at));
    }
    if first > last {
        return Err(ParseError::new(ParseErrorKind::Reversed, 0));
    }
    Region::strided(first, last, used, group).ok_or(ParseError::new(ParseErrorKind::BadStride, 0))
}

fn expect(text: &[u8], at: usize, byte: u8) -> Result<usize, ParseError> {
    if text.get(at) == Some(&byte) {
        Ok(at + 1)
    } else {
        Err(ParseError::new(ParseErrorKind::UnexpectedByte, at))
    }
}

#[cfg(test)]
#[path = "cpulist_tests.rs"]
mod tests;

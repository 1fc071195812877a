//! Numbers in texts of the kernel, and where such a text is wrong.
//!
//! ```text
//!   0 - 3 , x          ParseError { kind: ExpectedNumber, position: 4 }
//!   0 1 2 3 4
//! ```

use core::fmt;

/// What is wrong with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// A number should begin here.
    ExpectedNumber,
    /// This byte cannot stand here.
    UnexpectedByte,
    /// The number that begins here is above `u32::MAX`, or above what the caller's set holds.
    TooLarge,
    /// The region that begins here has its bounds the wrong way round.
    Reversed,
    /// The region that begins here has a group of 0, or uses more than its group.
    BadStride,
    /// What begins here is longer than any region that the kernel prints.
    TooLong,
    /// The text ended without the line that was looked for.
    Missing,
}

/// Where and why a text of the kernel could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// At which byte of the text, counted from 0.
    pub position: usize,
}

impl ParseError {
    pub(crate) const fn new(kind: ParseErrorKind, position: usize) -> ParseError {
        ParseError { kind, position }
    }

    pub(crate) const fn too_large(position: usize) -> ParseError {
        ParseError::new(ParseErrorKind::TooLarge, position)
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ParseErrorKind::ExpectedNumber => "a number is missing",
            ParseErrorKind::UnexpectedByte => "unexpected byte",
            ParseErrorKind::TooLarge => "number too large",
            ParseErrorKind::Reversed => "first number above the last",
            ParseErrorKind::BadStride => {
                "stride is not used/group with used <= group and group > 0"
            }
            ParseErrorKind::TooLong => "region too long",
            ParseErrorKind::Missing => "text ends before the line looked for",
        };
        write!(
            f,
            "{what} at byte {}: not what Linux prints, check what is mounted there",
            self.position
        )
    }
}

impl core::error::Error for ParseError {}

/// The decimal number at `at`, and where it ends.
pub(crate) fn number(text: &[u8], at: usize) -> Result<(u32, usize), ParseError> {
    let digits = text[at..].iter().take_while(|byte| byte.is_ascii_digit());
    let mut value = 0u32;
    let mut end = at;
    for digit in digits {
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(u32::from(digit - b'0')))
            .ok_or(ParseError::too_large(at))?;
        end += 1;
    }
    if end == at {
        return Err(ParseError::new(ParseErrorKind::ExpectedNumber, at));
    }
    Ok((value, end))
}

/// The number that the text is, and nothing else; `offset` is where the text begins.
pub(crate) fn whole_number(text: &[u8], offset: usize) -> Result<u32, ParseError> {
    match number(text, 0) {
        Ok((value, end)) if end == text.len() => Ok(value),
        Ok((_, end)) => Err(ParseError::new(ParseErrorKind::UnexpectedByte, offset + end)),
        Err(error) => Err(ParseError::new(error.kind, offset + error.position)),
    }
}

/// KiB in decimal, as bytes; 64 bits, since 4 TiB of a node do not fit into 32 bits of KiB.
pub(crate) fn decimal_kib(text: &[u8], offset: usize) -> Result<u64, ParseError> {
    core::str::from_utf8(text)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse::<u64>().ok())
        .and_then(|kib| kib.checked_mul(1024))
        .ok_or(ParseError::new(ParseErrorKind::UnexpectedByte, offset))
}

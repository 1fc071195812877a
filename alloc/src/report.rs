//! Text for a file descriptor, without allocation: whole lines, aligned, in humane units.
//!
//! ```text
//!  key ·······  value, or number right-aligned  remark
//!  ├── 16 ───┤  ├── 10 ──┤
//! ```
//!
//! Lines are gathered in a buffer that is mapped for the purpose, so that a report of usual
//! length is one `write` and two processes that append to one file do not mix their lines. When
//! the system has no memory for it, a small one on the stack does.
#![allow(unsafe_code)]

use crate::os;
use core::fmt::{self, Display, Write};

const MAPPED_BYTES: usize = 256 << 10;

/// Calls `f` with a writer of whole lines to `fd`.
pub(crate) fn with_out(fd: i32, f: impl FnOnce(&mut Out<'_>)) {
    let Ok(memory) = os::reserve(MAPPED_BYTES) else {
        return Out::run(fd, &mut [0; 512], f);
    };
    // SAFETY: the reservation just made.
    if unsafe { os::commit(memory.as_ptr(), MAPPED_BYTES) }.is_ok() {
        // SAFETY: committed, zeroed, and known to nobody else.
        let buffer = unsafe { core::slice::from_raw_parts_mut(memory.as_ptr(), MAPPED_BYTES) };
        Out::run(fd, buffer, f);
    } else {
        Out::run(fd, &mut [0; 512], f);
    }
    // SAFETY: nothing borrows from it any more.
    unsafe { os::release(memory.as_ptr(), MAPPED_BYTES) };
}

/// A buffer before a descriptor.
pub(crate) struct Out<'a> {
    fd: i32,
    buffer: &'a mut [u8],
    len: usize,
    /// Length of the whole lines in the buffer.
    lines: usize,
}

impl<'a> Out<'a> {
    #[cold]
    fn run(fd: i32, buffer: &'a mut [u8], f: impl FnOnce(&mut Self)) {
        let mut out = Self { fd, buffer, len: 0, lines: 0 };
        f(&mut out);
        os::write_all(out.fd, &out.buffer[..out.len]);
    }

    /// A line of text; without a key, that of a table.
    pub(crate) fn line(&mut self, args: fmt::Arguments<'_>) {
        // Writing to a descriptor has nobody to complain to.
        let _ = writeln!(self, "{args}");
    }
    /// A line that says a fact in words.
    pub(crate) fn fact(&mut self, key: &str, args: fmt::Arguments<'_>) {
        self.line(format_args!("{key:<16}{args}"));
    }
    /// A line that says a number, and a remark.
    pub(crate) fn number(&mut self, key: &str, value: impl Display, remark: fmt::Arguments<'_>) {
        self.line(format_args!("{key:<16}{value:>10}  {remark}"));
    }
}

impl Write for Out<'_> {
    fn write_str(&mut self, mut s: &str) -> fmt::Result {
        while !s.is_empty() {
            if self.len == self.buffer.len() {
                // A line longer than the buffer is the one case of a part of a line.
                let whole = if self.lines == 0 { self.len } else { self.lines };
                os::write_all(self.fd, &self.buffer[..whole]);
                self.buffer.copy_within(whole..self.len, 0);
                self.len -= whole;
                self.lines = 0;
            }
            let mut n = s.len().min(self.buffer.len() - self.len);
            while !s.is_char_boundary(n) {
                n -= 1;
            }
            if n == 0 {
                return Err(fmt::Error);
            }
            let (now, later) = s.split_at(n);
            self.buffer[self.len..self.len + n].copy_from_slice(now.as_bytes());
            self.len += n;
            if now.ends_with('\n') {
                self.lines = self.len;
            }
            s = later;
        }
        Ok(())
    }
}

/// A short text on the stack: a value before it is padded.
struct Short {
    bytes: [u8; 32],
    len: usize,
}

impl Short {
    fn pad(f: &mut fmt::Formatter<'_>, args: fmt::Arguments<'_>) -> fmt::Result {
        let mut short = Self { bytes: [0; 32], len: 0 };
        short.write_fmt(args)?;
        f.pad(core::str::from_utf8(&short.bytes[..short.len]).unwrap_or("?"))
    }
}

impl Write for Short {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let end = self.len + s.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// A number of bytes: exact below 1 KiB, to a tenth of its unit above.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes(pub(crate) usize);

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.into_iter().find(|&(shift, _)| self.0 >> shift != 0) {
            None => Short::pad(f, format_args!("{} B", self.0)),
            Some((shift, unit)) => {
                let whole = self.0 >> shift;
                let tenth = ((self.0 >> (shift - 10)) & 1023) * 10 / 1024;
                Short::pad(f, format_args!("{whole}.{tenth} {unit}"))
            }
        }
    }
}

/// What part of all was a hit, in tenths of a percent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// Those that hit.
    pub(crate) hits: u64,
    /// Those that did not.
    pub(crate) misses: u64,
}

impl Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Small enough for the arithmetic below; of numbers this large a part does.
        let shift = if (self.hits | self.misses) >> 53 == 0 { 0 } else { 11 };
        let (hits, misses) = (self.hits >> shift, self.misses >> shift);
        if hits + misses == 0 {
            return f.pad("-");
        }
        let tenths = hits * 1000 / (hits + misses);
        Short::pad(f, format_args!("{}.{} %", tenths / 10, tenths % 10))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;
    use std::string::{String, ToString};

    #[test]
    fn bytes_are_exact_below_a_unit_and_cut_to_tenths_above() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (5 << 30, "5.0 GiB"),
            (usize::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
        assert_eq!(format!("{:>10}|", Bytes(2048)), "   2.0 KiB|");
    }

    #[test]
    fn rates_need_an_event_and_do_not_round_up_to_all() {
        assert_eq!(Rate { hits: 0, misses: 0 }.to_string(), "-");
        assert_eq!(Rate { hits: 99_999, misses: 1 }.to_string(), "99.9 %");
        assert_eq!(Rate { hits: 7, misses: 0 }.to_string(), "100.0 %");
        assert_eq!(Rate { hits: u64::MAX, misses: u64::MAX }.to_string(), "50.0 %");
    }

    /// What arrives in a pipe when `f` writes through a buffer of `size` bytes, read by read.
    fn written(size: usize, f: impl FnOnce(&mut Out<'_>)) -> String {
        use std::io::Read as _;
        use std::os::fd::AsRawFd as _;
        let (mut from, to) = std::io::pipe().unwrap();
        let mut buffer = std::vec![0; size];
        Out::run(to.as_raw_fd(), &mut buffer, f);
        drop(to);
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn what_is_longer_than_the_buffer_arrives_whole() {
        let text = written(16, |out| {
            out.line(format_args!("short"));
            out.line(format_args!("a line that is much longer than that: {}", "ä".repeat(20)));
            out.number("key", 7, format_args!("remark"));
        });
        let long = format!("a line that is much longer than that: {}", "ä".repeat(20));
        assert_eq!(text, format!("short\n{long}\nkey                      7  remark\n"));
    }
}

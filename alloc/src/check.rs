//! What is said, and how the process ends, when the heap or its user is wrong.
//!
//! One line on file descriptor 2, put together in a buffer on the stack (nothing here
//! allocates), then `abort`.

use core::fmt::{self, Write};

/// A line that is written with one system call.
#[derive(Debug)]
pub struct Line {
    bytes: [u8; 240],
    len: usize,
}

impl Line {
    /// An empty line.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; 240], len: 0 }
    }
    /// Writes the line to `fd`. What does not fit was cut off; errors have nobody to go to.
    pub fn write_to(&self, fd: i32) {
        crate::os::write_all(fd, &self.bytes[..self.len]);
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let room = self.bytes.len() - self.len;
        let n = s.len().min(room);
        self.bytes[self.len..self.len + n].copy_from_slice(&s.as_bytes()[..n]);
        self.len += n;
        Ok(())
    }
}

/// Says `args` on one line of standard error, with the library's name before it.
#[cold]
pub fn say(args: fmt::Arguments<'_>) {
    let mut line = Line::new();
    let _ = writeln!(line, "cidalloc: {args}");
    line.write_to(2);
}

/// Says why and aborts.
#[cold]
#[inline(never)]
pub fn die(args: fmt::Arguments<'_>) -> ! {
    say(args);
    crate::os::abort()
}

/// Ways of misusing the allocator that it sees, with the words in which it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misuse {
    /// A pointer outside of all live blocks.
    Foreign,
    /// A pointer into a block, not to its beginning.
    Interior,
    /// A block that is free already.
    DoubleFree,
    /// A block that is free, to be resized or asked for its size.
    UseOfFree,
    /// A free block that somebody wrote to.
    WriteAfterFree,
}

/// Ends the process for a misuse of `address`.
#[cold]
#[inline(never)]
pub fn misuse(what: Misuse, address: usize) -> ! {
    let words = match what {
        Misuse::Foreign => "free of a pointer that is not ours",
        Misuse::Interior => "free of an interior pointer",
        Misuse::DoubleFree => "double free",
        Misuse::UseOfFree => "use of a free block",
        Misuse::WriteAfterFree => "write after free",
    };
    die(format_args!("{words}: {address:#x}"))
}

/// Guards memory, always on: aborts with `what` unless `holds`.
#[inline(always)]
pub fn check(holds: bool, what: &str) {
    if !holds {
        core::hint::cold_path();
        die(format_args!("heap invariant broken: {what}"));
    }
}

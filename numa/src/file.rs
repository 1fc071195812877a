//! Small files, read piece by piece, and their paths, all on the stack.
//!
//! ```text
//!   Path   [ root / name 0 … ]  256 bytes
//!   File::for_each_token:   [ carry | read(2) … | read(2) … ]  512 bytes
//!                             └ a token shorter than that, or the head of a longer one
//! ```
//!
//! # Safety
//!
//! `unsafe` here is the system calls on paths and descriptors; the kernel checks what it is
//! given and writes only into buffers borrowed here.

#![allow(unsafe_code)]

use crate::sys::{Errno, syscall};
use core::ffi::CStr;
use core::fmt::{self, Write};
use core::ops::ControlFlow;

/// Whether `path` exists (symbolic links followed).
pub(crate) fn exists(path: &CStr) -> Result<(), Errno> {
    let args = [at_cwd(), path.as_ptr().expose_provenance(), libc::F_OK as usize, 0, 0, 0];
    // SAFETY: the kernel reads a string that `CStr` ends with NUL.
    unsafe { syscall(libc::SYS_faccessat, args) }.map(drop)
}

fn at_cwd() -> usize {
    // The kernel reads an int from this register: sign extension is what C does as well.
    (libc::AT_FDCWD as isize).cast_unsigned()
}

/// A file open for reading; closed on drop.
pub(crate) struct File {
    fd: usize,
}

/// A piece of a file between two delimiters.
pub(crate) struct Token<'a> {
    /// Its bytes without the delimiter.
    pub(crate) bytes: &'a [u8],
    /// Where it begins in the file.
    pub(crate) offset: usize,
}

/// Tokens shorter than this come whole, of others only the first so many bytes. A reader of
/// lines that begin with a name can ignore that; one of numbers must refuse this length.
pub(crate) const TOKEN_MAX: usize = 512;

impl File {
    pub(crate) fn open(path: &CStr) -> Result<File, Errno> {
        let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
        let args = [at_cwd(), path.as_ptr().expose_provenance(), flags, 0, 0, 0];
        loop {
            // SAFETY: the kernel reads a string that `CStr` ends with NUL.
            match unsafe { syscall(libc::SYS_openat, args) } {
                Err(Errno::EINTR) => {}
                Ok(fd) => return Ok(File { fd }),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Reads on; 0 is the end of the file.
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Errno> {
        loop {
            let args = [self.fd, buf.as_mut_ptr().expose_provenance(), buf.len(), 0, 0, 0];
            // SAFETY: the kernel writes at most `buf.len()` bytes of an exclusive slice.
            match unsafe { syscall(libc::SYS_read, args) } {
                Err(Errno::EINTR) => {}
                other => return other,
            }
        }
    }

    /// Calls `each` with every piece of the rest of the file between bytes for which `ends`
    /// holds, empty pieces included, until the file ends or `each` breaks.
    pub(crate) fn for_each_token<B>(
        mut self,
        ends: impl Fn(u8) -> bool,
        mut each: impl FnMut(Token<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Errno> {
        let mut buf = [0u8; TOKEN_MAX];
        let mut filled = 0; // bytes of `buf` that hold unread input
        let mut offset = 0; // of buf[0] in the file
        let mut skipping = false; // inside the tail of a token whose head was delivered
        loop {
            let got = self.read(&mut buf[filled..])?;
            let input = &buf[..filled + got];
            let mut start = 0;
            while let Some(len) = input[start..].iter().position(|&byte| ends(byte)) {
                let bytes = &input[start..start + len];
                if !core::mem::take(&mut skipping) {
                    let token = Token { bytes, offset: offset + start };
                    if let ControlFlow::Break(value) = each(token) {
                        return Ok(Some(value));
                    }
                }
                start += len + 1;
            }
            let rest = &input[start..];
            let end = got == 0;
            if (end || rest.len() == TOKEN_MAX) && !skipping {
                let token = Token { bytes: rest, offset: offset + start };
                if let ControlFlow::Break(value) = each(token) {
                    return Ok(Some(value));
                }
                skipping = true;
            }
            if end {
                return Ok(None);
            }
            let used = if skipping { input.len() } else { start };
            filled = input.len() - used;
            buf.copy_within(used..used + filled, 0);
            offset += used;
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Never repeated on EINTR: Linux has released the descriptor by then (close(2)).
        // SAFETY: the descriptor is this value's own and is not used after drop.
        let _ = unsafe { syscall(libc::SYS_close, [self.fd, 0, 0, 0, 0, 0]) };
    }
}

/// A path on the stack, ended with NUL.
pub(crate) struct Path {
    bytes: [u8; 256],
    len: usize,
}

impl Path {
    pub(crate) fn new(root: &CStr, name: fmt::Arguments<'_>) -> Result<Path, Errno> {
        let mut path = Path { bytes: [0; 256], len: 0 };
        path.push(root.to_bytes())?;
        path.push(b"/")?;
        path.write_fmt(name).map_err(|fmt::Error| Errno::ENAMETOOLONG)?;
        Ok(path)
    }

    fn push(&mut self, text: &[u8]) -> Result<(), Errno> {
        let end = self.len + text.len();
        // `<` and not `<=`: one byte stays for the NUL.
        let free = if end < self.bytes.len() { &mut self.bytes[self.len..end] } else { &mut [] };
        if free.len() != text.len() {
            return Err(Errno::ENAMETOOLONG);
        }
        free.copy_from_slice(text);
        self.len = end;
        Ok(())
    }

    pub(crate) fn as_cstr(&self) -> &CStr {
        // SAFETY: the buffer began as zeros and `push` leaves the last one, so there is a NUL.
        unsafe { CStr::from_ptr(self.bytes.as_ptr().cast()) }
    }
}

impl Write for Path {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;

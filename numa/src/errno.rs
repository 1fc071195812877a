//! [`Errno`]: why the kernel refused, as a value.
//!
//! ```text
//!   kernel: -EINVAL ─► C: -1, errno = 22 ─► here: Err(Errno::EINVAL), errno as it was
//! ```

use core::fmt;

/// An error number of the kernel, as a value; the C library's `errno` is never changed.
///
/// ```
/// use numa_sys::Errno;
/// assert_eq!(Errno::ENOENT.to_string(), "ENOENT: no such file, or page not populated");
/// assert_eq!(Errno::from_raw(2), Errno::ENOENT);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Errno(i32);

macro_rules! errnos {
    ($($name:ident: $text:literal,)*) => {
        impl Errno {
            $(#[doc = $text] pub const $name: Errno = Errno(libc::$name);)*

            const fn name_and_text(self) -> Option<(&'static str, &'static str)> {
                match self.0 {
                    $(libc::$name => Some((stringify!($name), $text)),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EPERM: "not permitted (missing capability, or a system call filter)",
    ENOENT: "no such file, or page not populated",
    ESRCH: "no such process",
    EINTR: "interrupted by a signal",
    EIO: "existing pages do not follow the policy and could not be moved",
    E2BIG: "more data than the caller gave room for",
    EBADF: "bad file descriptor",
    EAGAIN: "resource is short for now, try again",
    ENOMEM: "not enough memory on the nodes allowed",
    EACCES: "access denied, or node not allowed by the cpuset",
    EFAULT: "address not mapped, or a zero page",
    EBUSY: "page is busy and cannot be moved now",
    ENODEV: "node is not online or has no memory",
    ENOTDIR: "a part of the path is not a folder",
    EISDIR: "is a folder",
    EINVAL: "invalid argument (address alignment, mode, or a node that cannot be used)",
    ENFILE: "too many open files in the system",
    EMFILE: "too many open files in this process",
    ERANGE: "number out of range",
    ENAMETOOLONG: "path too long",
    ENOSYS: "the kernel does not have this system call",
}

impl Errno {
    /// The error with this number, which is positive as in C's `errno`.
    pub const fn from_raw(number: i32) -> Errno {
        Errno(number)
    }

    /// The number, positive as in C's `errno`.
    pub const fn raw(self) -> i32 {
        self.0
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name_and_text() {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name_and_text() {
            Some((name, text)) => write!(f, "{name}: {text}"),
            None => write!(f, "system error {}", self.0),
        }
    }
}

impl core::error::Error for Errno {}

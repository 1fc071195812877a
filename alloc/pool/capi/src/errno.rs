//! How C is told what went wrong: a value that says that something did, and `errno`.
//!
//! ```text
//!   Ok(value)     value, and errno as it was before, whatever the system said meanwhile
//!   Err(errno)    -1 or null, and that errno
//! ```

use cidalloc::os::{ErrnoGuard, set_errno};
use cidpool::{AllocateError, BuildError, FreeError};
use core::ffi::c_int;
use core::ptr::null_mut;

/// The number of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) c_int);

pub(crate) type Result<T> = core::result::Result<T, Errno>;

pub(crate) const INVALID: Errno = Errno(libc::EINVAL);
pub(crate) const NO_MEMORY: Errno = Errno(libc::ENOMEM);

impl From<BuildError> for Errno {
    fn from(why: BuildError) -> Self {
        match why {
            BuildError::Refused(error) => Self(error.raw_os_error().unwrap_or(libc::ENOMEM)),
            _ => INVALID,
        }
    }
}

impl From<AllocateError> for Errno {
    fn from(why: AllocateError) -> Self {
        match why {
            AllocateError::TooLong { .. } => INVALID,
            AllocateError::NotInChild => Self(libc::EPERM),
            // The system's number, say EAGAIN for locked memory, would not tell more: there is
            // none.
            _ => NO_MEMORY,
        }
    }
}

impl From<FreeError> for Errno {
    fn from(why: FreeError) -> Self {
        Self(match why {
            FreeError::Foreign => libc::EFAULT,
            FreeError::Interior => libc::EINVAL,
            FreeError::DoubleFree => libc::EALREADY,
            FreeError::NotInChild => libc::EPERM,
        })
    }
}

/// What a C function returns for what `f` says: that, or `failure` and `errno`.
#[inline]
pub(crate) fn answer<T>(failure: T, f: impl FnOnce() -> Result<T>) -> T {
    let guard = ErrnoGuard::new();
    let result = f();
    drop(guard);
    result.unwrap_or_else(|why| {
        set_errno(why.0);
        failure
    })
}

/// As [`answer`], for pointers.
#[inline]
pub(crate) fn pointer<T>(f: impl FnOnce() -> Result<*mut T>) -> *mut T {
    answer(null_mut(), f)
}

/// As [`answer`], for what succeeds with 0.
#[inline]
pub(crate) fn status(f: impl FnOnce() -> Result<()>) -> c_int {
    answer(-1, || f().map(|()| 0))
}

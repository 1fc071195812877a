//! No thread is cancelled in the library.
//!
//! `pthread_cancel` unwinds a thread from the next function of libc that POSIX calls a cancellation point:
//! `open`, `read`, `close` of files. It would leave pools as they are at that instant, and C's caller
//! has `extern "C"` functions on its stack, through which nothing unwinds: the process would end.
#![allow(unsafe_code)]

use core::ffi::c_int;
use core::marker::PhantomData;

// Of every libc on Linux; the crate of that name does not declare it.
unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}

/// `PTHREAD_CANCEL_DISABLE`.
const DISABLED: c_int = 1;

/// The calling thread is not cancelled until this is dropped: then as it was before.
#[derive(Debug)]
#[must_use]
pub(crate) struct Uncancelled {
    before: c_int,
    /// The thread's: it is not sent to another one.
    thread: PhantomData<*mut ()>,
}

impl Uncancelled {
    pub(crate) fn new() -> Self {
        let mut before = DISABLED;
        // SAFETY: writes one number.
        unsafe { pthread_setcancelstate(DISABLED, &raw mut before) };
        Self { before, thread: PhantomData }
    }
}

impl Drop for Uncancelled {
    fn drop(&mut self) {
        let mut before = DISABLED;
        // SAFETY: as above.
        unsafe { pthread_setcancelstate(self.before, &raw mut before) };
    }
}

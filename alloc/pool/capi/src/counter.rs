//! Counters that many threads add to.
//!
//! ```text
//!   one thread adds    one atomic          sum        shared + all copies, while others may add
//!   a second one       a copy per cid      sum_exact  the same at one instant: stops them first
//! ```

#![allow(unsafe_code)]

use crate::errno::{Errno, INVALID, NO_MEMORY, Result, answer, pointer, status};
use cidpool::Counter;
use core::ffi::c_int;

/// A counter.
pub struct CounterHandle(Counter);

/// # Safety
/// `counter` is null or a counter that is not destroyed.
unsafe fn of<'a>(counter: *const CounterHandle) -> Result<&'a Counter> {
    // SAFETY: by the caller's promise.
    unsafe { counter.as_ref() }.map(|handle| &handle.0).ok_or(INVALID)
}

/// Makes a counter at 0.
///
/// Returns it; the caller destroys it by `cidpool_counter_destroy`.
///
/// MT-safe. Not for signal handlers.
#[unsafe(no_mangle)]
pub extern "C" fn cidpool_counter_create() -> *mut CounterHandle {
    pointer(|| Ok(Box::into_raw(Box::new(CounterHandle(Counter::new())))))
}

/// Destroys `counter`. Null is no counter, and fine.
///
/// MT-safe for different counters. Not for signal handlers.
///
/// # Safety
/// `counter` is null or of `cidpool_counter_create`, not destroyed yet, and nobody uses it any
/// more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_counter_destroy(counter: *mut CounterHandle) {
    answer((), || {
        if !counter.is_null() {
            // SAFETY: by the caller's promise.
            drop(unsafe { Box::from_raw(counter) });
        }
        Ok(())
    });
}

/// Adds `count`, modulo 2^64: a negative number by its two's complement. Never fails, never waits.
/// `errno` stays as it was.
///
/// MT-safe. For signal handlers, but for the second thread's first add, which may allocate:
/// `cidpool_counter_spread` does that ahead.
///
/// # Safety
/// `counter` is of `cidpool_counter_create`, and not destroyed yet. Null ends the process: to look
/// would take as long as the add.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_counter_add(counter: *mut CounterHandle, count: u64) {
    // No guard of `errno`: an add that may change it has its own.
    // SAFETY: by the caller's promise.
    unsafe { (*counter).0.add(count) };
}

/// Gives `counter` its copies now, rather than when a second thread adds to it.
///
/// Returns 0, or -1 and `errno`:
/// - `EINVAL`: `counter` is null;
/// - `ENOMEM`: there is no memory, or no address space. Adding works all the same.
///
/// MT-safe. Not for signal handlers.
///
/// # Safety
/// `counter` is null or of `cidpool_counter_create`, and not destroyed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_counter_spread(counter: *mut CounterHandle) -> c_int {
    // SAFETY: by the caller's promise.
    status(|| unsafe { of(counter) }?.spread().map_err(|_| NO_MEMORY))
}

/// The value: every add that happened before this call is in it, none that began after its end is;
/// of those that were under way meanwhile any may be.
///
/// Returns it; 0 for null.
///
/// MT-safe. Not for signal handlers.
///
/// # Safety
/// As for `cidpool_counter_spread`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_counter_sum(counter: *const CounterHandle) -> u64 {
    // SAFETY: by the caller's promise.
    answer(0, || Ok(unsafe { of(counter) }?.sum()))
}

/// Writes the value at one instant of the call to `sum`. Interrupts all CPUs on which the process
/// runs.
///
/// Returns 0, or -1 and `errno`:
/// - `EINVAL`: `counter` or `sum` is null;
/// - `EAGAIN`: the fence that this takes cannot be made: the kernel refuses it, or this is a signal
///   handler above an add.
///
/// MT-safe. Not for signal handlers.
///
/// # Safety
/// As for `cidpool_counter_spread`; `sum` is null, or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_counter_sum_exact(
    counter: *const CounterHandle,
    sum: *mut u64,
) -> c_int {
    status(|| {
        // SAFETY: by the caller's promise.
        let counter = unsafe { of(counter) }?;
        if sum.is_null() {
            return Err(INVALID);
        }
        let exact = counter.sum_exact().map_err(|_| Errno(libc::EAGAIN))?;
        // SAFETY: by the caller's promise.
        unsafe { sum.write(exact) };
        Ok(())
    })
}

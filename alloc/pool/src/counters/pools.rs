//! The pools that counters are in: one for each power of two of bytes, made when it is needed, for ever.
//!
//! ```text
//!   POOLS   8    16    32   …   65536 bytes        each: 64 KiB per copy, so all have the shift 16
//!         null   │    null
//!                └─► Pool
//! ```
//!
//! No lock: of two threads that make the same pool one drops its own. A child of `fork` finds each made or not.

use super::SHIFT;
use crate::builder::BuildError;
use crate::pool::{AllocateError, Pool};
use core::ptr::null_mut;
use rseq_sys::sync::{
    AtomicPtr,
    Ordering::{AcqRel, Acquire},
};

const POOLS_MAX: usize = (SHIFT - 2) as usize;
static POOLS: [AtomicPtr<Pool>; POOLS_MAX] = [const { AtomicPtr::new(null_mut()) }; POOLS_MAX];

const fn length<const N: usize>() -> usize {
    (N * size_of::<u64>()).next_power_of_two()
}
const fn entry<const N: usize>() -> &'static AtomicPtr<Pool> {
    &POOLS[(length::<N>().ilog2() - size_of::<u64>().ilog2()) as usize]
}

/// The pool of groups of `N`, if it was made.
#[allow(unsafe_code)]
pub(super) fn made<const N: usize>() -> Option<&'static Pool> {
    // SAFETY: null, or a box that was given up for ever.
    unsafe { entry::<N>().load(Acquire).as_ref() }
}

/// The pool of groups of `N`.
#[allow(unsafe_code)]
pub(super) fn of<const N: usize>() -> Result<&'static Pool, AllocateError> {
    if let Some(pool) = made::<N>() {
        return Ok(pool);
    }
    let pool = Pool::builder(length::<N>()).name("counters").stride(1 << SHIFT).build();
    let pool = Box::into_raw(Box::new(pool.map_err(refused)?));
    match entry::<N>().compare_exchange(null_mut(), pool, AcqRel, Acquire) {
        // SAFETY: given up for ever.
        Ok(_) => Ok(unsafe { &*pool }),
        Err(theirs) => {
            // SAFETY: made above, and seen by nobody.
            drop(unsafe { Box::from_raw(pool) });
            // SAFETY: not null, and given up for ever.
            Ok(unsafe { &*theirs })
        }
    }
}

/// Nothing is wrong with what was asked for, so it is the system that refuses.
fn refused(error: BuildError) -> AllocateError {
    let errno = match error {
        BuildError::Refused(error) => error.raw_os_error(),
        _ => None,
    };
    AllocateError::Refused { errno: errno.unwrap_or(libc::ENOMEM) }
}

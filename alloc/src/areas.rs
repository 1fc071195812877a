//! Areas of our own, where libc registers none: from a thread's first slow operation to its end.
//!
//! ```text
//!         a detached thread ends                                        its area
//!  glibc  exit(2), and the kernel clears its tid ► stack used again     may stay registered
//!  musl   munmap of its own stack ─────► exit(2)                        is given back before
//!                                  └ preempted: the kernel writes the ids of a registered
//!                                    area, which is gone, and kills the process
//! ```
#![allow(unsafe_code)]

use crate::os;
use core::ffi::c_void;
use core::ptr::without_provenance;
use rseq_sys::registration::{self, Owner, Registration};
use rseq_sys::sync::{AtomicU32, Ordering::Relaxed};

/// Whether threads of this libc unmap their own stack, and with it the area.
const UNMAPPED_IN_USE: bool = cfg!(target_env = "musl");
/// The round of destructors that is our last one; no later one, since a thread whose first operation
/// is in a destructor has no more of musl's four.
const ROUNDS: usize = 2;

/// The thread-specific key by which the end of a thread is known, plus 1.
static KEY: AtomicU32 = AtomicU32::new(0);

/// As [`registration::detect`], which may register the calling thread.
#[must_use]
pub fn detect(feature_size: u32) -> Registration {
    let found = registration::detect(feature_size);
    if found.owner != Owner::Own || (has_key() && watch(&found)) {
        return found;
    }
    Registration { owner: Owner::Nobody, has_mm_cid: false, ..found }
}

/// Registers the calling thread's own area, unless it is at its end.
pub fn register(registration: &Registration) -> bool {
    registration.owner == Owner::Own
        && registration::register_thread(registration.offset)
        && watch(registration)
}

fn has_key() -> bool {
    if !UNMAPPED_IN_USE || KEY.load(Relaxed) != 0 {
        return true;
    }
    let mut key = 0;
    // SAFETY: the destructor is a function of this library, which is never unloaded.
    let made = unsafe { libc::pthread_key_create(&raw mut key, Some(on_thread_end)) } == 0;
    if made {
        KEY.store(key + 1, Relaxed);
    }
    made
}

/// Sees to it that the thread's area, just registered, is given back in time; or does so now.
fn watch(registration: &Registration) -> bool {
    let is_watched = !UNMAPPED_IN_USE || announce(1);
    if !is_watched {
        registration::unregister_thread(registration.offset);
    }
    is_watched
}

/// Has [`on_thread_end`] called in the next round of destructors, the `round`th.
fn announce(round: usize) -> bool {
    // SAFETY: our own key; the value is a number that is only handed back to us.
    unsafe { libc::pthread_setspecific(KEY.load(Relaxed) - 1, without_provenance(round)) == 0 }
}

/// The end of a thread. What other destructors free in the first round still goes to its shard.
extern "C" fn on_thread_end(round: *mut c_void) {
    if round.addr() < ROUNDS && announce(round.addr() + 1) {
        return;
    }
    // A handler may find the area either registered or given up.
    let _signals = os::SignalsBlocked::new();
    registration::unregister_thread(registration::own_offset());
}

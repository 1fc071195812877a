//! Who makes a range of a pool just now, while the lock is open.
//!
//! ```text
//!  lock ─► nobody: mine ─► open ─► map, fill (the initialiser) ─► lock ─► nobody, notify ─► install
//!            somebody: wait until notified, and look again
//! ```
//!
//! One at a time: a second range would be there before anybody wants it. A child of `fork` does not
//! have its parent's threads: what one of them had begun was another generation's.

use crate::fork::{self, Locked};
use crate::robust;
use rseq_sys::area::thread_pointer;
use rseq_sys::sync::{AtomicU32, AtomicUsize, Ordering::Relaxed};

/// Of one pool. Changed under the lock.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    /// The generation of who makes a range, and one; or 0.
    generation: AtomicU32,
    /// Thread pointer of who it is.
    thread: AtomicUsize,
}

impl Growth {
    /// Whether a thread is at it. Ends the process if it is the caller.
    pub(crate) fn is_under_way(&self, _: &Locked) -> bool {
        if self.generation.load(Relaxed) != fork::generation() + 1 {
            return false;
        }
        if self.thread.load(Relaxed) == thread_pointer() {
            robust::die(format_args!("the initialiser of a range wants another range of its pool"));
        }
        true
    }

    /// Calls `make` with the lock open and signals blocked: a handler of this thread that wants a
    /// range would wait for what it interrupted.
    pub(crate) fn run<R>(&self, locked: &mut Locked, make: impl FnOnce() -> R) -> R {
        self.thread.store(thread_pointer(), Relaxed);
        self.generation.store(fork::generation() + 1, Relaxed);
        let end = End { growth: self, locked };
        end.locked.open_during(make)
    }
}

/// Ends growth, also when an initialiser panics.
struct End<'a> {
    growth: &'a Growth,
    locked: &'a mut Locked,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.growth.generation.store(0, Relaxed);
        self.locked.notify();
    }
}

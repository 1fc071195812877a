//! For schedulers of their own: a cid goes from one worker to the next without being given back.
//!
//! ```text
//!  worker A                       worker B
//!  park() ─► Parked ── sent ────► resume()          HELD(A) ─► PARKED ─► HELD(B)
//!  sleeps                         allocates: hits, since the shard came along
//! ```
//!
//! An M:N runtime runs many workers (threads, of which it lets one run at a time) on a few servers
//! (CPUs). When one worker switches directly to the next on its server, the next one should go on
//! with the shard that is warm there. The kernel's cids do so by themselves: there is nothing to
//! park then, and [`park`] says so. Emulated cids are leases of threads, so the runtime says it.
//!
//! A [`Parked`] lease is a value: it cannot be resumed twice, nor be resumed and dropped.
//!
//! ```compile_fail
//! # use cidalloc::handover;
//! if let Some(parked) = handover::park() {
//!     let _ = parked.resume();
//!     let _ = parked.resume(); // error: use of moved value
//! }
//! ```
//! ```compile_fail
//! # use cidalloc::handover;
//! let twice = handover::park().map(|parked| (parked.clone(), parked)); // error: no `clone`
//! ```
//!
//! While it is parked nobody runs on it, so a thread that finds no free cid may take it over:
//! then resuming it fails, and the worker acquires a cid at its next allocation as any thread
//! does. A worker that waited for too long and runs without one does the same; if a lease reaches
//! it later, its own goes back.
//!
//! All functions are thread-safe. They are not for signal handlers.

use crate::heap::{self, Heap, Source};
use crate::leases::{self, Parking};
use crate::shard::Shard;
use core::mem::ManuallyDrop;

/// A lease without a thread. It goes back when dropped.
#[derive(Debug)]
#[must_use = "the cid is given back when this is dropped"]
pub struct Parked(Parking);

/// The lease was taken over by a thread that found no free cid; or the calling thread is at its
/// end, where it needs none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenOver;

fn leasing() -> Option<&'static Heap> {
    heap::started().filter(|heap| heap.source == Source::Emulated)
}

/// Takes the calling thread's lease from it. `None` when it has none: cids are the kernel's, it
/// has not allocated yet, or somebody took the cid over.
pub fn park() -> Option<Parked> {
    leasing().and_then(|_| leases::park()).map(Parked)
}

impl Parked {
    /// The cid.
    #[must_use]
    pub fn cid(&self) -> u32 {
        self.0.cid
    }

    /// Makes this the calling thread's lease. If it has one, that one goes back.
    ///
    /// # Errors
    /// [`TakenOver`]; the thread then has no lease, and acquires one when it allocates.
    pub fn resume(self) -> Result<(), TakenOver> {
        let parked = ManuallyDrop::new(self);
        if !leases::resume(&parked.0) {
            leases::discard(&parked.0);
            return Err(TakenOver);
        }
        if let Some(heap) = leasing() {
            // Leads the lease to its shard on this node, which the first allocation would do.
            let _ = Shard::current(heap);
        }
        Ok(())
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        leases::discard(&self.0);
    }
}

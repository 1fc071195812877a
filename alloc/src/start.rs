//! The heap for entry points: started at the first call, with what the options ask for at the
//! end of the process, and what `fork` needs.
//!
//! ```text
//!  malloc, free … ──► heap() ─ started ──────────────────────► heap
//!                        │ not yet
//!                        └► heap::get ► once: atfork, atexit(report) ─► heap
//! ```
//!
//! [`crate::heap`] knows nothing of forks and statistics; what must be known of all stands here.

use crate::fork;
use crate::heap::{self, Heap};
use crate::os::{self, OutOfMemory};
use crate::stats;
use rseq_sys::sync::{AtomicBool, Ordering::Relaxed};

static PREPARED: AtomicBool = AtomicBool::new(false);

/// The heap, started if need be.
///
/// # Errors
/// [`OutOfMemory`] when it cannot be started now; a later call tries again.
#[inline]
pub fn heap() -> Result<&'static Heap, OutOfMemory> {
    match heap::started() {
        Some(heap) => Ok(heap),
        None => first(),
    }
}

#[cold]
fn first() -> Result<&'static Heap, OutOfMemory> {
    let heap = heap::get()?;
    // Set first: what registers may allocate, and comes by here again.
    if !PREPARED.swap(true, Relaxed) {
        // Libc's registers have locks that no handler may find held.
        let _signals = os::SignalsBlocked::new();
        fork::register();
        if heap.options.stats {
            stats::report_at_exit(&heap.options);
        }
    }
    Ok(heap)
}

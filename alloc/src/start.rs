//! The heap for entry points: started at the first call, with what the options ask for at the
//! end of the process.
//!
//! ```text
//!  malloc, free … ──► heap() ─ started ──────────────────────► heap
//!                        │ not yet
//!                        └► heap::get ► once: atexit(report) ─► heap
//! ```
//!
//! [`crate::heap`] knows nothing of statistics; what must be known of both stands here.

use crate::heap::{self, Heap};
use crate::os::OutOfMemory;
use crate::stats;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

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
    // Set first: atexit itself may allocate, and comes by here again.
    if heap.options.stats && !PREPARED.swap(true, Relaxed) {
        stats::report_at_exit(&heap.options);
    }
    Ok(heap)
}

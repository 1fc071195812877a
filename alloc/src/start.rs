//! The heap for entry points: started at the first call, with what the options ask for at the
//! end of the process, and what `fork` needs.
//!
//! ```text
//!  malloc, free … ──► heap() ─ started ──────────────────────► heap
//!                        │ not yet
//!                        └► heap::get ► once: atfork, atexit(report) ─► heap
//! ```
//!
//! A face may define `cidalloc_before_start`, which is then called before there is a heap: the C
//! functions look there whether the process is theirs to serve.
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

/// Calls `cidalloc_before_start`, where the program has it.
#[allow(unsafe_code)]
fn before_start() {
    let hook: *const ();
    // SAFETY: loads the GOT entry of a weak symbol: its address, or null.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!(".weak cidalloc_before_start",
             "mov {}, qword ptr [rip + cidalloc_before_start@GOTPCREL]",
             out(reg) hook, options(nostack, pure, readonly, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!(".weak cidalloc_before_start",
             "adrp {0}, :got:cidalloc_before_start",
             "ldr {0}, [{0}, :got_lo12:cidalloc_before_start]",
             out(reg) hook, options(nostack, pure, readonly, preserves_flags));
    }
    if !hook.is_null() {
        // SAFETY: what has this name is a function of a face of this crate, of this type.
        let hook: extern "C" fn() = unsafe { core::mem::transmute(hook) };
        hook();
    }
}

#[cold]
fn first() -> Result<&'static Heap, OutOfMemory> {
    before_start();
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

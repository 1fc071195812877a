//! Volatile reads of the calling thread's own area.
//!
//! What is read here is a hint: the thread may be preempted right after, and the ids then
//! belong to somebody else. Whoever acts on an id does so inside a section (see [`crate::cs`]).
#![allow(unsafe_code)]

use crate::abi::Rseq;

/// The thread pointer: unique per thread, and the origin of all offsets to areas.
#[inline(always)]
#[must_use]
pub fn thread_pointer() -> usize {
    let tp: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the x86-64 TLS ABI keeps the thread pointer's own address at fs:0.
    unsafe {
        core::arch::asm!("mov {}, fs:0", out(reg) tp, options(nostack, readonly, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: reading the user thread pointer register has no effect but its value.
    unsafe {
        core::arch::asm!("mrs {}, tpidr_el0", out(reg) tp, options(nostack, nomem, preserves_flags));
    }
    tp
}

#[inline(always)]
fn area(offset: isize) -> *const Rseq {
    core::ptr::with_exposed_provenance(thread_pointer().wrapping_add_signed(offset))
}

macro_rules! field {
    ($(#[$doc:meta])* $name:ident: $type:ty) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// `offset` is the one of a [`crate::registration::Registration`] of this process.
        #[inline(always)]
        #[must_use]
        pub unsafe fn $name(offset: isize) -> $type {
            // SAFETY: the caller's offset leads to this thread's area, which lives as long as
            // the thread; the kernel writes it concurrently, hence volatile.
            unsafe { (&raw const (*area(offset)).$name).read_volatile() }
        }
    };
}

field!(
    /// CPU of this thread, negative while it is not registered.
    cpu_id: i32
);
field!(
    /// NUMA node of this thread's CPU.
    node_id: u32
);
field!(
    /// Concurrency id of this thread.
    mm_cid: u32
);

/// The pair of ids at `offset` from the thread pointer, read as one.
///
/// # Safety
/// `offset` is the area's plus that of the first field of a pair of ids in [`Rseq`].
#[inline(always)]
#[must_use]
pub unsafe fn ids_at(offset: isize) -> (u32, u32) {
    let pair: *const [u32; 2] =
        core::ptr::with_exposed_provenance(thread_pointer().wrapping_add_signed(offset));
    // SAFETY: by the caller's promise two fields of this thread's live area.
    let [first, second] = unsafe { pair.read_volatile() };
    (first, second)
}

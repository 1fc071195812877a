//! Reports and controls: what glibc tells of its heap, told of ours.
//!
//! ```text
//!            mallinfo2                    here                       malloc_info
//!  arena   ┬ uordblks                     live bytes of classes
//!          └ fordblks ┬ fsmblks, smblks   cached in shards           fast
//!                     ├ ordblks           free in spans: objects     rest
//!                     └ keepcost          free pages, backed         rest
//!  hblkhd, hblks                          large objects              mmap
//!  usmblks                                0, as in glibc
//! ```
//!
//! Free pages that are not backed cost nothing and count nowhere. The numbers are a walk over
//! the heap, approximate while other threads allocate.

use cidalloc::os::{ErrnoGuard, set_errno};
use cidalloc::placement::{Errno, NodePages, Placement};
use cidalloc::stats::{self, Snapshot};
use cidalloc::{heap, maintenance};

/// `struct mallinfo` (of `int`) and `struct mallinfo2` (of `size_t`).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Mallinfo<T> {
    arena: T,
    ordblks: T,
    smblks: T,
    hblks: T,
    hblkhd: T,
    usmblks: T,
    fsmblks: T,
    uordblks: T,
    fordblks: T,
    keepcost: T,
}

impl Mallinfo<usize> {
    /// Not inlined: one walk is enough of it in the file.
    #[cold]
    #[inline(never)]
    pub(crate) fn now() -> Self {
        let _errno = ErrnoGuard::new();
        heap::started().map_or_else(Self::default, |heap| Self::of(&Snapshot::take(heap)))
    }

    fn of(now: &Snapshot) -> Self {
        let fordblks = now.cached_bytes + now.free_in_spans_bytes + now.dirty_bytes;
        Self {
            arena: now.live_bytes + fordblks,
            ordblks: now.classes.iter().map(|class| class.free).sum(),
            smblks: now.classes.iter().map(|class| class.cached).sum(),
            hblks: now.large_objects,
            hblkhd: now.large_bytes,
            usmblks: 0,
            fsmblks: now.cached_bytes,
            uordblks: now.live_bytes,
            fordblks,
            keepcost: now.dirty_bytes,
        }
    }

    /// Numbers above those of `int` wrap, as glibc's do.
    pub(crate) fn wrapped(self) -> Mallinfo<i32> {
        Mallinfo {
            arena: self.arena as i32,
            ordblks: self.ordblks as i32,
            smblks: self.smblks as i32,
            hblks: self.hblks as i32,
            hblkhd: self.hblkhd as i32,
            usmblks: self.usmblks as i32,
            fsmblks: self.fsmblks as i32,
            uordblks: self.uordblks as i32,
            fordblks: self.fordblks as i32,
            keepcost: self.keepcost as i32,
        }
    }
}

/// The heap in numbers; all 0 while nothing was allocated.
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo2() -> Mallinfo<usize> {
    Mallinfo::now()
}

/// [`mallinfo2`](mallinfo2()) in numbers that wrap at 2³².
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo() -> Mallinfo<i32> {
    Mallinfo::now().wrapped()
}

/// Writes the library's statistics to standard error.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_stats() {
    stats::write_report(2);
}

/// Gives all free memory back to the system: 1 if there was any. `_pad` bytes to keep are not
/// kept: what is free lies in pages here and there, not at the end of a heap.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_trim(_pad: usize) -> i32 {
    let _errno = ErrnoGuard::new();
    heap::started().map_or(0, |heap| i32::from(maintenance::trim(heap) > 0))
}

/// Asks the kernel where each resident page of the heap is. Fills `pages` for the first `len`
/// nodes; returns how many nodes there are, or -1 and `errno` where the kernel does not say, or
/// nothing was allocated yet (`EAGAIN`). For tests: it asks for every page.
///
/// ```c
/// struct cidalloc_node_pages { size_t asked, resident, elsewhere; };
/// int cidalloc_placement(struct cidalloc_node_pages *pages, size_t len);
/// ```
///
/// # Safety
/// `pages` has room for `len` nodes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidalloc_placement(pages: *mut NodePages, len: usize) -> i32 {
    let asked = heap::started().ok_or(Errno::EAGAIN).and_then(Placement::ask);
    match asked {
        Ok(placement) => {
            for (i, node) in placement.nodes().iter().take(len).enumerate() {
                // SAFETY: by the caller's promise.
                unsafe { pages.add(i).write(*node) };
            }
            placement.nodes().len() as i32
        }
        Err(why) => {
            set_errno(why.raw());
            -1
        }
    }
}

/// The parameters of `mallopt`, as `malloc.h` numbers them.
mod parameter {
    pub(super) const MXFAST: i32 = 1;
    pub(super) const KEEP: i32 = 4;
    pub(super) const TRIM_THRESHOLD: i32 = -1;
    pub(super) const ARENA_MAX: i32 = -8;
    pub(super) const PERTURB: i32 = -6;
}

/// 1 for every parameter that glibc knows, though none has a meaning here (the library's own
/// options are in the environment); 0 for others, and for `M_PERTURB` with a value: who wants
/// blocks filled to find mistakes must learn that they are not.
#[unsafe(no_mangle)]
pub extern "C" fn mallopt(parameter: i32, value: i32) -> i32 {
    set(parameter, value)
}

pub(crate) fn set(parameter: i32, value: i32) -> i32 {
    match parameter {
        parameter::PERTURB => i32::from(value == 0),
        parameter::MXFAST..=parameter::KEEP => 1,
        parameter::ARENA_MAX..=parameter::TRIM_THRESHOLD => 1,
        _ => 0,
    }
}

//! Attributes: what is to be said of a pool before there is one.
//!
//! ```text
//!   cidpool_attr_create ─► attr ─► cidpool_attr_set_… ─► cidpool_create(name, item_len, attr) …
//!                            └───────────────────────────► cidpool_attr_destroy
//! ```
//!
//! A pool keeps nothing of its attributes: they may be used for more pools, changed, and destroyed.

#![allow(unsafe_code)]

use crate::errno::{INVALID, Result, answer, pointer, status};
use crate::places;
use cidpool::{BindMode, Builder, Fork, Numa, Populate, RANGES_MAX, RangeImage, STRIDE};
use core::ffi::{c_int, c_ulong, c_void};
use core::sync::atomic::{AtomicBool, Ordering::Release};
use std::sync::Arc;

/// Copies begin as the range's image, of which a page is copied when a cid first writes to it: the
/// default, as in librseq. A range takes one mapping for each copy.
pub const CIDPOOL_POPULATE_COW_INIT: c_int = 0;
/// Copies begin as zero, in one mapping for each range. The default of global pools.
pub const CIDPOOL_POPULATE_COW_ZERO: c_int = 1;

/// A child of `fork` has the pool as it was, as its own. The default.
pub const CIDPOOL_FORK_COPIED: c_int = 0;
/// A child has the same items, whose copies are as they were at first.
pub const CIDPOOL_FORK_WIPED: c_int = 1;
/// A child has no items: allocating fails with `EPERM`, and touching an item ends it.
pub const CIDPOOL_FORK_UNUSABLE: c_int = 2;

/// Copies are bound to their nodes as cidalloc's heap is: `CIDALLOC_NUMA`. The default.
pub const CIDPOOL_NUMA_AS_HEAP: c_int = 0;
/// Copies are not bound: each page is on the node that first touches it.
pub const CIDPOOL_NUMA_NONE: c_int = 1;
/// A copy is on its node, or, when that has no memory, on another one.
pub const CIDPOOL_NUMA_PREFERRED: c_int = 2;
/// A copy is on its node, or the process is out of memory.
pub const CIDPOOL_NUMA_BIND: c_int = 3;

/// What `cidpool_attr_set_init` is given.
type InitFunction =
    unsafe extern "C" fn(data: *mut c_void, addr: *mut c_void, len: usize, cpu: c_int) -> c_int;

#[derive(Clone, Copy)]
struct Init {
    function: InitFunction,
    data: *mut c_void,
}

// SAFETY: `cidpool_attr_set_init` has its caller promise that any thread may call it.
unsafe impl Send for Init {}
// SAFETY: as above, of different pools several at a time.
unsafe impl Sync for Init {}

impl Init {
    /// Whether it filled the image.
    fn fill(&self, range: &mut RangeImage<'_>) -> bool {
        let bytes = range.bytes();
        // SAFETY: the caller of `cidpool_attr_set_init` gave the function for this.
        unsafe { (self.function)(self.data, bytes.as_mut_ptr().cast(), bytes.len(), -1) == 0 }
    }
}

/// What a pool is to be like.
pub struct Attr {
    stride: usize,
    ranges_max: usize,
    populate: Option<Populate>,
    init: Option<Init>,
    robust: bool,
    fork: Fork,
    numa: Numa,
    is_global: bool,
}

impl Attr {
    pub(crate) fn new() -> Self {
        Self {
            stride: STRIDE,
            ranges_max: RANGES_MAX,
            populate: None,
            init: None,
            robust: false,
            fork: Fork::Copied,
            numa: Numa::AsHeap,
            is_global: false,
        }
    }

    /// A pool that is as these attributes say, and whether its initialiser ever failed.
    pub(crate) fn apply(&self, mut builder: Builder) -> (Builder, Arc<AtomicBool>) {
        let has_image = !self.is_global || self.init.is_some();
        let default = if has_image { Populate::Image } else { Populate::Zero };
        builder = builder
            .stride(self.stride)
            .ranges_max(self.ranges_max)
            .populate(self.populate.unwrap_or(default))
            .robust(self.robust)
            .fork(self.fork)
            .numa(self.numa);
        if self.is_global {
            builder = builder.global();
        }
        let has_failed = Arc::new(AtomicBool::new(false));
        if let Some(init) = self.init {
            let failed = Arc::clone(&has_failed);
            builder = builder.initialise(move |range| {
                if !init.fill(range) {
                    failed.store(true, Release);
                }
            });
        }
        (builder, has_failed)
    }
}

/// # Safety
/// Null, or attributes of `cidpool_attr_create`, which nobody else uses now.
unsafe fn change(attr: *mut Attr, change: impl FnOnce(&mut Attr) -> Result<()>) -> c_int {
    // SAFETY: by the caller's promise.
    status(|| change(unsafe { attr.as_mut() }.ok_or(INVALID)?))
}

/// Makes attributes: of a pool of 64 KiB per copy, one copy per cid, copy on write from an image
/// that is zero, not robust.
///
/// Returns them; the caller destroys them by `cidpool_attr_destroy`.
///
/// MT-safe. Not for signal handlers.
#[unsafe(no_mangle)]
pub extern "C" fn cidpool_attr_create() -> *mut Attr {
    pointer(|| Ok(Box::into_raw(Box::new(Attr::new()))))
}

/// Destroys `attr`; pools that were made with it stay. Null is no attributes, and fine.
///
/// MT-safe for different attributes. Not for signal handlers.
///
/// # Safety
/// `attr` is of `cidpool_attr_create`, and not destroyed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_attr_destroy(attr: *mut Attr) {
    answer((), || {
        if !attr.is_null() {
            // SAFETY: by the caller's promise.
            drop(unsafe { Box::from_raw(attr) });
        }
        Ok(())
    });
}

/// One copy per cid, `stride` bytes apart: 0 for the default of 64 KiB. `max_nr_cpus` is 0, or the
/// number that `cidpool_max_nr_copies` returns: the pool is for all cids that there can be, always.
///
/// Returns 0, or -1 and `errno`:
/// - `EINVAL`: `attr` is null, `max_nr_cpus` is another number, or `stride` is not a power of two
///   (its size is looked at by `cidpool_create`);
/// - `ENOMEM`: the number of cids is not known, for the library cannot start now.
///
/// MT-safe for different attributes. Not for signal handlers.
///
/// # Safety
/// As for `cidpool_attr_destroy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_attr_set_percpu(
    attr: *mut Attr,
    stride: usize,
    max_nr_cpus: c_int,
) -> c_int {
    let set = |attr: &mut Attr| {
        let stride = checked_stride(stride)?;
        if max_nr_cpus != 0 && usize::try_from(max_nr_cpus) != Ok(places::of_process()?.copies()) {
            return Err(INVALID);
        }
        (attr.stride, attr.is_global) = (stride, false);
        Ok(())
    };
    // SAFETY: by the caller's promise.
    unsafe { change(attr, set) }
}

/// One copy for all: what is not per cid, from the same interface. `stride` is the length of a
/// range, 0 for the default of 64 KiB.
///
/// Returns 0, or -1 and `errno`:
/// - `EINVAL`: `attr` is null, or `stride` is not a power of two.
///
/// MT-safe for different attributes. Not for signal handlers.
///
/// # Safety
/// As for `cidpool_attr_destroy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_attr_set_global(attr: *mut Attr, stride: usize) -> c_int {
    let set = |attr: &mut Attr| {
        (attr.stride, attr.is_global) = (checked_stride(stride)?, true);
        Ok(())
    };
    // SAFETY: by the caller's promise.
    unsafe { change(attr, set) }
}

fn checked_stride(stride: usize) -> Result<usize> {
    match stride {
        0 => Ok(STRIDE),
        stride if stride.is_power_of_two() => Ok(stride),
        _ => Err(INVALID),
    }
}

/// The most ranges of the pool at a time: 4096 if not set.
///
/// Returns 0, or -1 and `errno`:
/// - `EINVAL`: `attr` is null, or `max_nr_ranges` is 0.
///
/// MT-safe for different attributes. Not for signal handlers.
///
/// # Safety
/// As for `cidpool_attr_destroy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_attr_set_max_nr_ranges(
    attr: *mut Attr,
    max_nr_ranges: c_ulong,
) -> c_int {
    let set = |attr: &mut Attr| {
        if max_nr_ranges == 0 {
            return Err(INVALID);
        }
        attr.ranges_max = usize::try_from(max_nr_ranges).map_err(|_| INVALID)?;
        Ok(())
    };
    // SAFETY: by the caller's promise.
    unsafe { change(attr, set) }
}

/// What copies hold at first: `CIDPOOL_POPULATE_COW_INIT` or `CIDPOOL_POPULATE_COW_ZERO`.
///
/// Returns 0, or -1 and `errno`:
/// - `EINVAL`: `attr` is null, or `policy` is neither.
///
/// MT-safe for different attributes. Not for signal handlers.
///
/// # Safety
/// As for `cidpool_attr_destroy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_attr_set_populate_policy(attr: *mut Attr, policy: c_int) -> c_int {
    let set = |attr: &mut Attr| {
        attr.populate = Some(match policy {
            CIDPOOL_POPULATE_COW_INIT => Populate::Image,
            CIDPOOL_POPULATE_COW_ZERO => Populate::Zero,
            _ => return Err(INVALID),
        });
        Ok(())
    };
    // SAFETY: by the caller's promise.
    unsafe { change(attr, set) }
}

/// What fills the image of each new range: `len` bytes at `addr`, which are zero before; null for
/// nothing. `cpu` is always -1: there is one image for all copies. Any value but 0 says that it
/// could not; then the pool has no more items from then on (`ENOMEM`). It is called
/// with signals blocked, by whichever thread needs the range, and for different pools by several
/// threads at once: it must allow that. It must not allocate from this pool, nor from one whose own
/// function comes back to this one, nor fork. With
/// `CIDPOOL_POPULATE_COW_ZERO` there is no image, and `cidpool_create` fails.
///
/// Returns 0, or -1 and `errno`:
/// - `EINVAL`: `attr` is null.
///
/// MT-safe for different attributes. Not for signal handlers.
///
/// # Safety
/// As for `cidpool_attr_destroy`. Any thread may call `init_func` with `init_priv`, as long as
/// there is a pool with these attributes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_attr_set_init(
    attr: *mut Attr,
    init_func: Option<
        unsafe extern "C" fn(data: *mut c_void, addr: *mut c_void, len: usize, cpu: c_int) -> c_int,
    >,
    init_priv: *mut c_void,
) -> c_int {
    let set = |attr: &mut Attr| {
        attr.init = init_func.map(|function| Init { function, data: init_priv });
        Ok(())
    };
    // SAFETY: by the caller's promise.
    unsafe { change(attr, set) }
}

/// The pool looks for misuse at every call: double free, writes after free, leaks when it is
/// destroyed. Each ends the process with one line on standard error.
///
/// Returns 0, or -1 and `errno`:
/// - `EINVAL`: `attr` is null.
///
/// MT-safe for different attributes. Not for signal handlers.
///
/// # Safety
/// As for `cidpool_attr_destroy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_attr_set_robust(attr: *mut Attr) -> c_int {
    let set = |attr: &mut Attr| {
        attr.robust = true;
        Ok(())
    };
    // SAFETY: by the caller's promise.
    unsafe { change(attr, set) }
}

/// What a child of `fork` finds: `CIDPOOL_FORK_COPIED`, `CIDPOOL_FORK_WIPED` or
/// `CIDPOOL_FORK_UNUSABLE`.
///
/// Returns 0, or -1 and `errno`:
/// - `EINVAL`: `attr` is null, or `policy` is none of them.
///
/// MT-safe for different attributes. Not for signal handlers.
///
/// # Safety
/// As for `cidpool_attr_destroy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_attr_set_fork(attr: *mut Attr, policy: c_int) -> c_int {
    let set = |attr: &mut Attr| {
        attr.fork = match policy {
            CIDPOOL_FORK_COPIED => Fork::Copied,
            CIDPOOL_FORK_WIPED => Fork::Wiped,
            CIDPOOL_FORK_UNUSABLE => Fork::Unusable,
            _ => return Err(INVALID),
        };
        Ok(())
    };
    // SAFETY: by the caller's promise.
    unsafe { change(attr, set) }
}

/// How firmly copies are tied to their nodes: `CIDPOOL_NUMA_AS_HEAP`, `CIDPOOL_NUMA_NONE`,
/// `CIDPOOL_NUMA_PREFERRED` or `CIDPOOL_NUMA_BIND`. It is done before anything of a range is
/// written: there is nothing to move later.
///
/// Returns 0, or -1 and `errno`:
/// - `EINVAL`: `attr` is null, or `policy` is none of them.
///
/// MT-safe for different attributes. Not for signal handlers.
///
/// # Safety
/// As for `cidpool_attr_destroy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_attr_set_numa(attr: *mut Attr, policy: c_int) -> c_int {
    let set = |attr: &mut Attr| {
        attr.numa = match policy {
            CIDPOOL_NUMA_AS_HEAP => Numa::AsHeap,
            CIDPOOL_NUMA_NONE => Numa::Bound(BindMode::None),
            CIDPOOL_NUMA_PREFERRED => Numa::Bound(BindMode::Preferred),
            CIDPOOL_NUMA_BIND => Numa::Bound(BindMode::Bind),
            _ => return Err(INVALID),
        };
        Ok(())
    };
    // SAFETY: by the caller's promise.
    unsafe { change(attr, set) }
}

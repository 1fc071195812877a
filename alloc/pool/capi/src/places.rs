//! Copies by number, and the places that they are of.
//!
//! ```text
//!   copy       0         1         …  cids - 1    cids      …
//!   node, cid  0, 0      0, 1         0, last     1, 0          copy = node × cids + cid
//!   address    p         p + stride …
//! ```
//!
//! What librseq calls a CPU of a per-CPU pool is a copy here: its functions that take a `cpu` take
//! the number of a copy.

#![allow(unsafe_code)]

use crate::errno::{Errno, INVALID, NO_MEMORY, Result, answer, pointer, status};
use crate::pool::Handle;
use cidalloc::percid::{self, Cids};
use cidpool::{Item, Place, Source};
use core::ffi::{c_int, c_void};
use core::ptr::NonNull;

/// The cids of the process, by which copies are numbered.
pub(crate) struct Process(pub(crate) &'static Cids);

/// The process's cids, which start the library if need be.
pub(crate) fn of_process() -> Result<Process> {
    percid::get().map(Process).map_err(|_| NO_MEMORY)
}

impl Process {
    pub(crate) fn copies(&self) -> usize {
        self.0.nodes * self.0.cids
    }
    fn place(&self, copy: usize) -> Option<Place> {
        let place = Place { node: copy / self.0.cids, cid: copy % self.0.cids };
        (copy < self.copies()).then_some(place)
    }
    /// Why a thread has no cid: it may have one later, or never.
    pub(crate) fn no_cid(&self) -> Errno {
        Errno(if self.0.source == Source::None { libc::EOPNOTSUPP } else { libc::EAGAIN })
    }
}

/// How many copies an item of a pool per cid has: those of all cids that there can be, on all
/// nodes. Constant.
///
/// Returns the number, or -1 and `errno`:
/// - `ENOMEM`: it is not known, for the library cannot start now.
///
/// MT-safe. For signal handlers, but for the process's first call of the library.
#[unsafe(no_mangle)]
pub extern "C" fn cidpool_max_nr_copies() -> c_int {
    answer(-1, || Ok(of_process()?.copies() as c_int))
}

/// How many copies an item of `pool` has: as `cidpool_max_nr_copies`, or 1.
///
/// Returns the number, or -1 and `errno`:
/// - `EINVAL`: `pool` is null.
///
/// MT-safe. For signal handlers.
///
/// # Safety
/// `pool` is null or of `cidpool_create`, and not destroyed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_get_max_nr_cpus(pool: *const Handle) -> c_int {
    // SAFETY: by the caller's promise.
    answer(-1, || Ok(unsafe { Handle::of(pool) }?.copies() as c_int))
}

/// Prepares the calling thread for the operations on the current copy. They do this by themselves
/// if need be: this is to learn whether they can be had at all. Where cids are emulated a thread
/// may still have none for the moment, while all others have one: then the operations say so.
///
/// Returns 0, or -1 and `errno`:
/// - `EOPNOTSUPP`: the process has no cids, and will have none;
/// - `EAGAIN`: the system refuses the thread's registration;
/// - `ENOMEM`: the library cannot start now.
///
/// MT-safe. For signal handlers, but for the process's first call of the library.
#[unsafe(no_mangle)]
pub extern "C" fn cidpool_register_current_thread() -> c_int {
    status(|| {
        let process = of_process()?;
        let has_cid = percid::settle();
        if has_cid || process.0.source == Source::Emulated { Ok(()) } else { Err(process.no_cid()) }
    })
}

/// The copy that is the calling thread's now. It may be another one at once: operations find it by
/// themselves, and whoever takes a copy from here must make do with it being somebody else's. In a
/// signal handler above an operation it is there, also where operations would say `EAGAIN`.
///
/// Returns the number, or -1 and `errno`:
/// - `EAGAIN`: the thread has no cid now: others have all of them, or it is at its end;
/// - `EOPNOTSUPP`, `ENOMEM`: as `cidpool_register_current_thread`.
///
/// MT-safe. For signal handlers, but for the process's first call of the library.
#[unsafe(no_mangle)]
pub extern "C" fn cidpool_current_copy() -> c_int {
    answer(-1, || {
        let process = of_process()?;
        let here = percid::here().or_else(|| if percid::settle() { percid::here() } else { None });
        here.map(|copy| copy as c_int).ok_or_else(|| process.no_cid())
    })
}

/// Writes to `node` and `cid` (each may be null) whose the copy is that has number `copy`.
///
/// Returns 0, or -1 and `errno`:
/// - `EINVAL`: there is no such copy;
/// - `ENOMEM`: the library cannot start now.
///
/// MT-safe. For signal handlers, but for the process's first call of the library.
///
/// # Safety
/// `node` and `cid` are null, or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_place_of(copy: c_int, node: *mut c_int, cid: *mut c_int) -> c_int {
    status(|| {
        let copy = usize::try_from(copy).map_err(|_| INVALID)?;
        let place = of_process()?.place(copy).ok_or(INVALID)?;
        for (to, number) in [(node, place.node), (cid, place.cid)] {
            if !to.is_null() {
                // SAFETY: by the caller's promise.
                unsafe { to.write(number as c_int) };
            }
        }
        Ok(())
    })
}

/// The copy of the item at `ptr` that belongs to `cid` on `node`; in a global pool the only one.
/// Two nodes' copies of a cid are two: a cid that turns up on another node is at another copy
/// there.
///
/// Returns its address, or null and `errno`:
/// - `EINVAL`: `pool` or `ptr` is null, or there can be no such place.
///
/// MT-safe. For signal handlers.
///
/// # Safety
/// `pool` is null or of `cidpool_create`, and not destroyed yet; `ptr` is an allocated item of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_percpu_ptr_at(
    pool: *const Handle,
    ptr: *mut c_void,
    node: c_int,
    cid: c_int,
) -> *mut c_void {
    pointer(|| {
        // SAFETY: by the caller's promise.
        let (handle, item) = unsafe { handle_and_item(pool, ptr) }?;
        let number = |n: c_int| usize::try_from(n).map_err(|_| INVALID);
        let place = Place { node: number(node)?, cid: number(cid)? };
        let Process(cids) = of_process()?;
        if place.node >= cids.nodes || place.cid >= cids.cids {
            return Err(INVALID);
        }
        Ok(handle.pool.copy(item, place).as_ptr().cast())
    })
}

/// Is told of one copy: its address, and whose it is. Any value but 0 ends the iteration.
pub type EachFunction = Option<
    unsafe extern "C" fn(data: *mut c_void, copy: *mut c_void, node: c_int, cid: c_int) -> c_int,
>;

/// Calls `each` with every copy of the item at `ptr`, in the order of their numbers: copies that no
/// cid wrote to hold what copies hold at first, and to read them costs no memory. As long as this
/// goes on no memory of any pool is unmapped, so that other threads may free the item, and destroy
/// the pool. What others do to the copies meanwhile is seen word by word: read them as atomics.
///
/// Returns 0, or what `each` returned that was not 0, or -1 and `errno`:
/// - `EINVAL`: `pool`, `ptr` or `each` is null.
///
/// MT-safe. Not for signal handlers.
///
/// # Safety
/// As for `cidpool_percpu_ptr_at`, when it is called; `each` may be called so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cidpool_percpu_for_each(
    pool: *const Handle,
    ptr: *mut c_void,
    each: EachFunction,
    data: *mut c_void,
) -> c_int {
    answer(-1, || {
        // SAFETY: by the caller's promise.
        let (handle, item) = unsafe { handle_and_item(pool, ptr) }?;
        let each = each.ok_or(INVALID)?;
        for (place, copy) in handle.pool.copies(item) {
            let (node, cid) = (place.node as c_int, place.cid as c_int);
            // SAFETY: by the caller's promise.
            let said = unsafe { each(data, copy.as_ptr().cast(), node, cid) };
            if said != 0 {
                return Ok(said);
            }
        }
        Ok(0)
    })
}

/// # Safety
/// `pool` is null or a pool that is not destroyed.
unsafe fn handle_and_item<'a>(pool: *const Handle, ptr: *mut c_void) -> Result<(&'a Handle, Item)> {
    // SAFETY: by the caller's promise.
    let handle = unsafe { Handle::of(pool) }?;
    Ok((handle, Item::from_ptr(NonNull::new(ptr.cast()).ok_or(INVALID)?)))
}

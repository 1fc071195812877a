//! The process's cids for data other than the heap's: which copy of it is the calling thread's.
//!
//! ```text
//!   rows[node] = node × cids                  a copy's number   node × cids + cid, for ever
//!   rows[cpu]  = node of cpu × cids            where CPU numbers are the ids
//!
//!   an operation ── NoCid ──► settle() ── true ──► once more ── NoCid ──► without a copy
//!   who collects   stop what operations look at ──► fence() ──► none that saw it before is under way
//! ```
//!
//! The operations are [`rseq_sys::copies`]: sections where [`Cids::source`] is kernel or cpu, their
//! leased twins where it is emulated, and none at all otherwise. A thread's lease is the one that
//! the heap's operations are under: a thread has one cid, whatever it is used for.
#![allow(unsafe_code)]

use crate::areas;
use crate::heap::{Heap, Source};
use crate::nodes;
use crate::os::{self, OutOfMemory};
use crate::records::{self, ENDED, Record};
use crate::section;
use crate::shard::{self, Shard};
use crate::slots;
use crate::start;
use core::ptr::null_mut;
use numa_sys::policy::BindMode;
use rseq_sys::copies::Current;
use rseq_sys::lease::Lease;
use rseq_sys::sync::{
    AtomicPtr,
    Ordering::{AcqRel, Acquire, SeqCst},
    fence as atomic_fence,
};

/// The cids of the process. Constant.
#[derive(Debug)]
pub struct Cids {
    /// Where operations find their copy.
    pub current: Current,
    /// Nodes that copies may be on: the highest possible one and one.
    pub nodes: usize,
    /// Ids that a node may have: copy `n` is of node `n / cids` and cid `n % cids`.
    pub cids: usize,
    /// Where the ids come from.
    pub source: Source,
    /// Why from there.
    pub why: &'static str,
    /// How memory is bound to nodes, if it is.
    pub bind: Option<BindMode>,
}

static CIDS: AtomicPtr<Cids> = AtomicPtr::new(null_mut());

/// The cids of the process: with its heap, which is started if need be.
///
/// # Errors
/// [`OutOfMemory`] when the heap cannot be started now; a later call tries again.
#[inline]
pub fn get() -> Result<&'static Cids, OutOfMemory> {
    // SAFETY: null, or cids that are constant and stay where they are.
    match unsafe { CIDS.load(Acquire).as_ref() } {
        Some(cids) => Ok(cids),
        None => first(),
    }
}

/// Makes them, or finds that somebody else did meanwhile. Nobody waits for it: a handler, and the
/// child of a fork, may come by here while another thread is at it.
#[cold]
fn first() -> Result<&'static Cids, OutOfMemory> {
    let heap = start::heap()?;
    let by_cpu = heap.source == Source::Cpu;
    let rows = if by_cpu { heap.cids } else { heap.nodes };
    let bytes = size_of::<Cids>() + rows * size_of::<u32>();
    let memory = os::reserve(bytes)?.as_ptr();
    // SAFETY: ours alone, just reserved.
    if unsafe { os::commit(memory, bytes) }.is_err() {
        // SAFETY: nobody knows of it.
        unsafe { os::release(memory, bytes) };
        return Err(OutOfMemory);
    }
    let cids = memory.cast::<Cids>();
    let table = cids.wrapping_add(1).cast::<u32>();
    for row in 0..rows {
        let node = if by_cpu { nodes::of_cpu(row) } else { row };
        // SAFETY: the table behind the cids.
        unsafe { table.add(row).write((node * heap.cids) as u32) };
    }
    // SAFETY: just written, and constant from now on; if it is given back, so are these cids.
    let table = unsafe { core::slice::from_raw_parts(table, rows) };
    let made = Cids {
        current: Current::new(&heap.registration, by_cpu, table),
        nodes: heap.nodes,
        cids: heap.cids,
        source: heap.source,
        why: heap.why,
        bind: heap.bind(),
    };
    // SAFETY: the beginning of the mapping, which is aligned to a page.
    unsafe { cids.write(made) };
    let known = match CIDS.compare_exchange(null_mut(), cids, AcqRel, Acquire) {
        Ok(_) => cids,
        Err(known) => {
            // SAFETY: others' became known instead.
            unsafe { os::release(memory, bytes) };
            known
        }
    };
    // SAFETY: as in `get`.
    Ok(unsafe { &*known })
}

fn heap() -> Option<&'static Heap> {
    start::heap().ok()
}

/// What a thread does that got `NoCid`, before it tries once more: registers its area, or acquires
/// a lease. False when it has no cid now: libc's registration is missing, all cids are taken, it is
/// at its end, or in a handler above an operation.
#[must_use]
pub fn settle() -> bool {
    let Some(heap) = heap() else { return false };
    match heap.source {
        Source::Kernel | Source::Cpu => {
            section::shard_id(heap).is_some() || areas::register(&heap.registration)
        }
        Source::Emulated => {
            // Leads the lease to the shard of its cid: a lease on a cid without one is stopped.
            let _ = Shard::current(heap);
            let is_outside = Lease::current().is_some_and(|lease| !lease.is_inside());
            is_outside && section::shard_id(heap).is_some()
        }
        Source::None => false,
    }
}

/// After it no operation on a copy that began before the call is under way: what the caller wrote
/// before, later operations see. False when that cannot be known: the kernel refuses, the caller is
/// in a handler above an operation, or an operation did not end. It may be had the next time.
///
/// Costs a broadcast interrupt, and under leases a wait for threads that were preempted inside.
#[must_use]
pub fn fence() -> bool {
    fence_within(1000)
}

/// As [`fence`], for who would rather do without than wait for more than so many milliseconds for each
/// thread.
#[must_use]
pub fn fence_within(milliseconds: u32) -> bool {
    match heap().map(|heap| heap.source) {
        Some(Source::Kernel | Source::Cpu) => shard::fence(),
        Some(Source::Emulated) => fence_leases(milliseconds),
        Some(Source::None) => true,
        None => false,
    }
}

/// A barrier in all threads, and then each that was inside of an operation at that time has left it.
/// A thread that comes to its first record after the barrier begins its operations after it.
fn fence_leases(naps: u32) -> bool {
    if Lease::current().is_some_and(|lease| lease.is_inside() && !is_ended(lease)) {
        return false;
    }
    // For those that make their own barriers; see `Lease::enter`.
    atomic_fence(SeqCst);
    let by_kernel = slots::barrier_of_all();
    let mut is_known = true;
    for record in records::all().filter(|record| !record.owner().is_nobody()) {
        if !by_kernel && record.lease.is_asymmetric() {
            // Sends it to its slow path, from where on it makes its own barriers.
            record.lease.stop();
            is_known = false;
        }
        is_known = is_known && has_left(record, naps);
    }
    is_known
}

fn is_ended(lease: &Lease) -> bool {
    core::ptr::eq(lease, &raw const ENDED.lease)
}

/// Waits until the thread of `record` is outside of the operation that it is inside of now, if it is.
/// False when it takes more than so many naps of a millisecond.
fn has_left(record: &Record, naps: u32) -> bool {
    let (lease, owner) = (&record.lease, record.owner());
    let turn = lease.turn();
    for round in 0..=YIELDS + naps {
        if !lease.is_inside() || lease.turn() != turn {
            atomic_fence(Acquire);
            return true;
        }
        // A thread of high priority yields to nobody below it.
        if round < YIELDS {
            os::yield_now();
            continue;
        }
        // Of a thread that ended inside nothing comes any more.
        let process = os::process_id();
        if owner.process() == process && os::is_thread_gone(process, owner.thread()) {
            return true;
        }
        os::nap();
    }
    false
}

/// How often who waits yields before it naps.
const YIELDS: u32 = 64;

/// The copy of the calling thread now, if it has one. A hint, stale at once.
#[must_use]
pub fn here() -> Option<usize> {
    let (cids, heap) = (get().ok()?, heap()?);
    let id = section::shard_id(heap).filter(|_| !Lease::current().is_some_and(is_ended))?;
    // SAFETY: the table has a row for each node, or each CPU.
    let first = unsafe { cids.current.rows.add(id.row()).read() };
    Some(first as usize + id.column())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use rseq_sys::copies::{self, Outcome, leased};
    use rseq_sys::sync::{AtomicBool, AtomicU64, Ordering::Relaxed};
    use std::vec::Vec;

    const SHIFT: u32 = 12;

    /// Adds 1 to the thread's copy of `word`.
    fn add(cids: &Cids, word: *mut u64) -> bool {
        // SAFETY: the caller's word has a copy for each number.
        unsafe {
            match cids.source {
                Source::Kernel | Source::Cpu => copies::add(&cids.current, SHIFT, word, 1),
                Source::Emulated => Lease::current()
                    .is_some_and(|lease| leased::add(lease, &cids.current, SHIFT, word, 1)),
                Source::None => false,
            }
        }
    }

    fn copies_of_a_word(cids: &Cids) -> Vec<u64> {
        std::vec![0; (cids.nodes * cids.cids) << (SHIFT - 3)]
    }

    #[test]
    fn rows_lead_to_the_cids_of_a_node() {
        let cids = get().unwrap();
        let rows = if cids.source == Source::Cpu { cids.cids } else { cids.nodes };
        for row in 0..rows {
            // SAFETY: a row of the table.
            let first = unsafe { cids.current.rows.add(row).read() } as usize;
            let node = if cids.source == Source::Cpu { nodes::of_cpu(row) } else { row };
            assert_eq!((first / cids.cids, first % cids.cids), (node, 0));
            assert!(node < cids.nodes);
        }
        assert!(core::ptr::eq(cids, get().unwrap()));
    }

    #[test]
    fn a_thread_that_settled_has_a_copy_and_adds_are_at_copies_that_are_there() {
        let cids = get().unwrap();
        if cids.source == Source::None {
            assert!(!settle() && here().is_none() && fence());
            return;
        }
        let mut memory = copies_of_a_word(cids);
        let word = memory.as_mut_ptr().expose_provenance();
        let added = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let word = core::ptr::with_exposed_provenance_mut(word);
                    for _ in 0..10_000 {
                        if add(cids, word) || (settle() && add(cids, word)) {
                            added.fetch_add(1, Relaxed);
                        }
                        assert!(here().is_none_or(|number| number < cids.nodes * cids.cids));
                    }
                });
            }
        });
        let sum: u64 = memory.iter().sum();
        assert_eq!(sum, added.load(Relaxed));
        assert!(sum > 0, "no thread ever had a copy");
    }

    #[test]
    fn after_the_fence_no_add_is_under_way_that_had_not_seen_the_gate() {
        let cids = get().unwrap();
        let mut memory = copies_of_a_word(cids);
        // The gate is the word behind the sum, in each copy; open while it is 0.
        let word = memory.as_mut_ptr().expose_provenance();
        let done = AtomicBool::new(false);
        let step = |word: *mut u64| {
            let gate = word.wrapping_add(1);
            // SAFETY: as in `add`.
            unsafe {
                let now = |w| match cids.source {
                    Source::Emulated => Lease::current()
                        .map_or(Outcome::NoCid, |l| leased::load(l, &cids.current, SHIFT, w)),
                    _ => copies::load(&cids.current, SHIFT, w),
                };
                let Outcome::Done(e) = now(word) else { return settle() };
                let outcome = match (cids.source, Lease::current()) {
                    (Source::Emulated, Some(lease)) => leased::compare_two_store(
                        lease,
                        &cids.current,
                        SHIFT,
                        word,
                        e,
                        gate,
                        0,
                        e + 1,
                    ),
                    (Source::Emulated, None) => Outcome::NoCid,
                    _ => copies::compare_two_store(&cids.current, SHIFT, word, e, gate, 0, e + 1),
                };
                outcome != Outcome::NoCid
            }
        };
        if cids.source == Source::None {
            return;
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !done.load(Relaxed) {
                        step(core::ptr::with_exposed_provenance_mut(word));
                    }
                });
            }
            let at = |number: usize, i: usize| {
                let word: *mut u64 = core::ptr::with_exposed_provenance_mut(word);
                // SAFETY: a word of a copy.
                unsafe { AtomicU64::from_ptr(word.add((number << (SHIFT - 3)) + i)) }
            };
            let numbers = 0..cids.nodes * cids.cids;
            for round in 0..200 {
                numbers.clone().for_each(|n| at(n, 1).store(1, Relaxed));
                assert!(fence(), "round {round}");
                let sum = || numbers.clone().map(|n| at(n, 0).load(Relaxed)).sum::<u64>();
                let first = sum();
                std::thread::yield_now();
                assert_eq!(sum(), first, "an operation went on behind the fence, round {round}");
                numbers.clone().for_each(|n| at(n, 1).store(0, Relaxed));
                std::thread::yield_now();
            }
            done.store(true, Relaxed);
        });
    }

    #[test]
    fn a_handler_above_an_operation_is_told_that_nothing_is_known() {
        let cids = get().unwrap();
        if cids.source != Source::Emulated {
            return;
        }
        // While the holders of all cids are held up inside of operations, this thread has none.
        let inside = (0..1000).find_map(|_| {
            std::thread::yield_now();
            let lease = settle().then(Lease::current)??;
            // SAFETY: the thread's lease; nothing is written.
            unsafe { lease.on_copy(&cids.current, |_| (settle(), fence())) }
        });
        assert_eq!(inside, Some((false, false)));
        assert!(fence());
    }
}

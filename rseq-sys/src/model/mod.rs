//! What a model puts in the place of CPUs, kernel and clock: only under `--cfg cidalloc_model`.
//!
//! ```text
//!  crate::sync        each atomic operation                 point
//!  crate::cs          begin ► reads ► goes_on? ► reads ► goes_on? ► commit ► end
//!  crate::copies              no: what was done lies where nobody looks; begin again
//!  crate::area        the thread's own number, its ids      thread, place
//!  crate::lease       the thread's word for its lease       lease
//!  crate::membarrier  the two fences                        fence, barrier
//!  above              clock, CPUs, nodes, waiting           now_ms …
//! ```
//!
//! The model's tasks take turns on one thread of the system: all that distinguishes threads to the
//! allocator is asked from here. One world for the whole process.
#![allow(unsafe_code)]

pub mod area;
pub(crate) mod copies;
pub(crate) mod cs;
pub mod membarrier;

use crate::lease::Lease;
use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicPtr,
    Ordering::{Acquire, Release},
};

/// The surroundings of a model's tasks. Each question is asked by the task that runs.
pub trait World: Sync {
    /// Another task may go on here.
    fn point(&self);
    /// As [`Self::point`], before a relaxed load: of these there are many, and few that matter.
    fn glance(&self);
    /// The task waits for something that another has to do.
    fn wait(&self);
    /// Whether a weak exchange fails now, though it would succeed.
    fn fails_for_no_reason(&self) -> bool;
    /// What tells the task from others, as thread pointers do: a multiple of 64 other than 0.
    fn thread(&self) -> usize;
    /// Number of the task's thread, as the kernel's are.
    fn id(&self) -> i32;
    /// Whether there is no thread `id` any more.
    fn is_gone(&self, id: i32) -> bool;
    /// The task's word for its lease.
    fn lease(&self) -> &'static AtomicPtr<Lease>;

    /// The task's node and cid, if it has them: stale at once.
    fn place(&self) -> Option<(u32, u32)>;
    /// The task begins a section: on this node and cid, if it has them. Whoever was inside of one
    /// on the same was preempted there.
    fn begin(&self) -> Option<(u32, u32)>;
    /// A point inside of the section. False when it was aborted meanwhile.
    fn goes_on(&self) -> bool;
    /// The section ended, with or without a commit.
    fn end(&self);
    /// Aborts all sections that are under way; false where the kernel has no such fence.
    fn fence(&self) -> bool;
    /// A full barrier in all tasks; false where the kernel has none.
    fn barrier(&self) -> bool;

    /// The time.
    fn now_ms(&self) -> u64;
    /// The node on which the task runs, where its cid does not tell.
    fn node(&self) -> usize;
    /// Nodes that there may be.
    fn nodes(&self) -> u32;
    /// CPUs that there may be.
    fn cpus(&self) -> u32;
    /// CPUs that the task is allowed, from the first on.
    fn allowed(&self) -> u32;
}

static WORLD: AtomicPtr<&'static dyn World> = AtomicPtr::new(null_mut());

/// Makes `world` the one that is asked.
pub fn enter(world: &'static &'static dyn World) {
    WORLD.store(core::ptr::from_ref(world).cast_mut(), Release);
}

/// The world.
///
/// # Panics
/// Before [`enter`].
#[must_use]
pub fn world() -> &'static dyn World {
    // SAFETY: null, or a reference that lives for ever.
    *unsafe { WORLD.load(Acquire).as_ref() }.expect("a model enters its world first")
}

/// The task's word for its lease.
pub(crate) fn word() -> &'static AtomicPtr<Lease> {
    world().lease()
}

/// A model has several threads.
pub(crate) fn single_threaded() -> bool {
    false
}

//! The area of a model's task: its ids are the world's.
#![allow(unsafe_code)]

use crate::model::world;

/// What tells the task from others.
#[must_use]
pub fn thread_pointer() -> usize {
    world().thread()
}

/// The task's CPU, of which nobody asks more than whether it is one; negative without ids.
///
/// # Safety
/// None is needed.
#[must_use]
pub unsafe fn cpu_id(_offset: isize) -> i32 {
    world().place().map_or(-1, |_| 0)
}

/// The task's node.
///
/// # Safety
/// None is needed.
#[must_use]
pub unsafe fn node_id(_offset: isize) -> u32 {
    world().place().map_or(0, |(node, _)| node)
}

/// The task's node and cid.
///
/// # Safety
/// None is needed.
#[must_use]
pub unsafe fn ids_at(_offset: isize) -> (u32, u32) {
    world().place().unwrap_or((0, 0))
}

//! The end of a model's task.

use super::{FAREWELLS, mine, on_thread_end};
use crate::records::Record;

/// Does what libc does at the end of a thread: calls the destructor in each of its rounds.
pub fn end_of_thread() {
    for _ in 0..FAREWELLS {
        let Some(me) = mine().filter(|me| me.number() != 0) else { return };
        on_thread_end(core::ptr::from_ref::<Record>(me).cast_mut().cast());
    }
}

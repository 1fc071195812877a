//! The fences of remote operations, made by a model's world.

use crate::model::world;

/// Nothing is refused to register.
#[must_use]
pub fn register() -> bool {
    true
}

/// Aborts every section that began before the call.
#[must_use]
pub fn fence() -> bool {
    world().fence()
}

/// Nothing is refused to register.
#[must_use]
pub fn register_barrier() -> bool {
    true
}

/// A full barrier in all tasks.
#[must_use]
pub fn barrier() -> bool {
    world().barrier()
}

//! What a model's world says of the moment, in the place of `host.rs`.

use rseq_sys::model::world;
use rseq_sys::sync::AtomicU64;

/// Nodes that there may be.
#[must_use]
pub fn possible_nodes() -> Option<u32> {
    Some(world().nodes())
}

/// CPUs that there may be.
#[must_use]
pub fn possible_cpus() -> Option<u32> {
    Some(world().cpus())
}

/// Sets in `mask` a bit for each CPU that the task is allowed.
#[must_use]
pub fn allowed_cpus(mask: &mut [u64; 128]) -> bool {
    mask[0] = (1 << world().allowed()) - 1;
    true
}

/// The node of the CPU that the task runs on.
#[must_use]
pub fn current_node() -> usize {
    world().node()
}

/// Number of the task's thread.
#[must_use]
pub fn thread_id() -> i32 {
    world().id()
}

/// Whether there is no thread `thread`.
#[must_use]
pub fn is_thread_gone(_process: i32, thread: i32) -> bool {
    world().is_gone(thread)
}

/// The world's time.
#[must_use]
pub fn now_ms() -> u64 {
    world().now_ms()
}

/// Waits until somebody did something: the caller looks again.
pub fn futex_wait(_word: &AtomicU64, _expected: u32) {
    world().wait();
}

/// Who waits looks again by itself.
pub fn futex_wake(_word: &AtomicU64) {}

/// Signals do not come to tasks.
#[derive(Debug, Default)]
pub struct SignalsBlocked(());

impl SignalsBlocked {
    /// Nothing to block.
    #[must_use]
    pub fn new() -> Self {
        Self(())
    }
}

/// Lets another task run.
pub fn yield_now() {
    world().wait();
}

/// As [`yield_now`].
pub fn nap() {
    world().wait();
}

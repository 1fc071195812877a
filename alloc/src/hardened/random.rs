//! Numbers that cannot be foretold without the secret, for orders and positions.
//!
//! ```text
//!  COUNT ─ +1 by whoever asks ─► keyed by the secret ─► number
//! ```
//!
//! Not for cryptography: who sees many of a process's addresses may learn how it goes on. A child of
//! `fork` goes on with its parent's numbers.

use super::keyed;
use rseq_sys::sync::{AtomicUsize, Ordering::Relaxed};

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A number below `bound`, which is more than 0.
#[must_use]
pub fn below(bound: usize) -> usize {
    let number = keyed(COUNT.fetch_add(0x1_0000_0001, Relaxed));
    ((u128::from(number) * bound as u128) >> 64) as usize
}

/// Makes one of `objects` the first that cannot be foretold. The others follow as they did: they
/// are neighbours, and whoever uses them one after the other has them in its cache. The order in
/// which they come back is another one (see [`super::rings::mix`]).
pub fn rotate(objects: &mut [usize]) {
    if !objects.is_empty() {
        objects.rotate_left(below(objects.len()));
    }
}

//! Fast operations of one header, counted on without bounds, and never backwards.
//!
//! ```text
//!  header.ops   32 bits, by its sections ──see──► seen    64 bits: the same count, carried on
//!                                                   │ start_over: the header begins at 0 again
//!                                                   ▼
//!                                                 ended   counts of headers that were
//! ```
//!
//! A section that hits counts in the header's word, and who comes by on a slow path looks at it.
//! That one may have been held up since: what it read is behind what others noted, by as much as
//! its cid did meanwhile, and says nothing. Only one that was held up while the header began anew
//! may count what ended a second time.

use rseq_sys::sync::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// A look by as much behind what is noted is one that was held up: a second's fast operations.
/// The rest of the 32 bits may pass between two looks.
const HELD_UP: u32 = 1 << 28;

/// The count.
#[derive(Debug, Default)]
pub struct OpsCount {
    seen: AtomicU64,
    ended: AtomicU64,
}

impl OpsCount {
    /// Nothing so far. Zeroed memory is one, too.
    #[must_use]
    pub const fn new() -> Self {
        Self { seen: AtomicU64::new(0), ended: AtomicU64::new(0) }
    }

    /// Notes the header's count.
    pub fn see(&self, ops: u32) {
        let mut seen = self.seen.load(Relaxed);
        loop {
            let ahead = ops.wrapping_sub(seen as u32);
            if ahead == 0 || ahead > HELD_UP.wrapping_neg() {
                return;
            }
            let now = seen + u64::from(ahead);
            match self.seen.compare_exchange_weak(seen, now, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// The header's count begins at 0 again: `ops` was its last one. One thread at a time.
    pub fn start_over(&self, ops: u32) {
        self.see(ops);
        self.ended.fetch_add(self.seen.load(Relaxed), Relaxed);
        self.seen.store(0, Release);
    }

    /// What was noted so far. While the count starts over, some may be in it twice.
    #[must_use]
    pub fn get(&self) -> u64 {
        // In this order, so that none is missing.
        let seen = self.seen.load(Acquire);
        seen + self.ended.load(Relaxed)
    }
}

#[cfg(all(test, not(cidalloc_model)))]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn a_count_goes_on_beyond_the_header_s_32_bits() {
        let count = OpsCount::new();
        let mut all = 0_u64;
        for _ in 0..10 {
            all += u64::from(u32::MAX - HELD_UP);
            count.see(all as u32);
            assert_eq!(count.get(), all);
        }
    }

    #[test]
    fn a_look_that_was_held_up_says_nothing() {
        let count = OpsCount::new();
        let far = u32::MAX - HELD_UP;
        for now in [far, far.wrapping_add(2 * HELD_UP)] {
            count.see(now);
            let noted = count.get();
            for behind in [0, 1, 1000, HELD_UP - 1] {
                count.see(now.wrapping_sub(behind));
                assert_eq!(count.get(), noted, "{behind} behind");
            }
        }
    }

    #[test]
    fn what_ended_headers_counted_is_kept() {
        let count = OpsCount::new();
        count.see(70);
        count.start_over(100);
        assert_eq!(count.get(), 100);
        count.see(5);
        assert_eq!(count.get(), 105);
        count.start_over(5);
        count.start_over(0);
        assert_eq!(count.get(), 105);
    }

    #[test]
    fn looks_of_many_threads_never_take_it_back() {
        let (count, header) = (OpsCount::new(), rseq_sys::sync::AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut before = 0;
                    for _ in 0..20_000 {
                        let ops = header.fetch_add(7, Relaxed);
                        count.see(ops);
                        let now = count.get();
                        assert!(now >= before && now >= ops.into(), "{before} {ops} {now}");
                        before = now;
                    }
                });
            }
        });
        count.see(header.load(Relaxed));
        assert_eq!(count.get(), 4 * 20_000 * 7);
    }
}

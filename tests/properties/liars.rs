//! Faces that break one promise each: every one is caught, and what is left of the sequence is as
//! short as it can be. So the tests beside can fail, and say something when they do.

use crate::{config, play, turn};
use cidalloc_operations::{Direct, Face, Left, Request};
use cidalloc_tests::reliability;
use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

/// The heap of the crate, but for what the function does to requests and to what came of them.
struct Liar<F>(F);

impl<F: Fn(Request) -> usize + Sync> Face for Liar<F> {
    unsafe fn call(&self, request: Request) -> (usize, i32) {
        ((self.0)(request), 0)
    }
    fn usable(&self, address: usize) -> usize {
        Direct.usable(address)
    }
    fn says_why(&self) -> bool {
        false
    }
    fn audit(&self, held: &[usize]) -> Result<(), String> {
        Direct.audit(held)
    }
    fn left(&self) -> Result<Left, String> {
        Direct.left()
    }
}

fn honest(request: Request) -> usize {
    // SAFETY: what is asked for is asked by a sequence.
    unsafe { Direct.call(request) }.0
}

fn byte(address: usize) -> *mut u8 {
    with_exposed_provenance_mut(address)
}

/// The lie is seen, `why` is said, and no more than `lines` calls are left.
fn is_caught(name: &str, why: &str, lines: usize, lie: impl Fn(Request) -> usize + Sync) {
    let _turn = turn();
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let runner = TestRunner::new_with_rng(config(256), random);
    let (said, script) = play(runner, 40, &Liar(lie)).expect_err("a lie that nobody sees");
    println!("{name}: {said}\n{script}");
    assert!(said.contains(why), "{said}\n{script}");
    assert!(script.0.len() <= lines, "not as short as it can be:\n{script}");
    reliability::line(
        "properties",
        &format!("the test itself: {name}"),
        "an allocator that breaks this one promise",
        1,
        &format!("caught, and made {} calls short", script.0.len()),
    );
}

#[test]
fn block_that_is_handed_out_twice_is_seen() {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    is_caught("a block handed out twice", "overlaps", 2, |request| match request {
        Request::Malloc { size: 100..=600 } if LAST.load(Relaxed) != 0 => LAST.load(Relaxed),
        Request::Malloc { size: 100..=600 } => {
            LAST.store(honest(Request::Malloc { size: 600 }), Relaxed);
            LAST.load(Relaxed)
        }
        _ => honest(request),
    });
}

#[test]
fn memory_that_is_not_zero_is_seen() {
    is_caught("calloc that is not zero at its end", "not all zero", 1, |request| {
        let block = honest(request);
        if let Request::Calloc { count, size } = request
            && block != 0
            && count * size > 700
        {
            // SAFETY: the last byte of a new block.
            unsafe { byte(block + count * size - 1).write(1) };
        }
        block
    });
}

#[test]
fn byte_that_a_move_forgot_is_seen() {
    is_caught("realloc that forgets the last byte", "has changed", 2, |request| {
        let block = honest(request);
        if let Request::Realloc { old, size } = request
            && block != 0
            && size > 100
            && old.size > 100
            && block != old.address
        {
            // SAFETY: within the block that moved.
            unsafe { byte(block + size.min(old.size) - 1).write(0) };
        }
        block
    });
}

#[test]
fn address_that_is_not_aligned_is_seen() {
    is_caught("an aligned block that is not", "is not aligned to", 1, |request| match request {
        Request::Aligned { align: 64, .. } => honest(request).wrapping_add(16),
        _ => honest(request),
    });
}

#[test]
fn free_that_forgets_a_block_is_seen() {
    is_caught("a free that does nothing", "objects are in no place", 2, |request| match request {
        Request::FreeSized { old } if old.size > 300 => 0,
        _ => honest(request),
    });
}

#[test]
fn size_that_overflows_is_seen() {
    is_caught("calloc that multiplies carelessly", "not refused", 1, |request| match request {
        Request::Calloc { count, size } => {
            honest(Request::Calloc { count: 1, size: count.wrapping_mul(size) })
        }
        _ => honest(request),
    });
}

#[test]
fn process_that_is_killed_is_seen() {
    is_caught("a crash", "signal", 2, |request| {
        if let Request::ReallocArray { old, .. } = request {
            // SAFETY: none: this is the crash.
            unsafe { byte(old.size & 7).write_volatile(1) };
        }
        honest(request)
    });
}

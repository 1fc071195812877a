//! Each outcome of the operations under a lease, the same as those of the sections.
extern crate std;

use super::word::libc_single_threaded;
use super::*;
use crate::cs::{HEADERS, Header, INACTIVE, home_of_shard};
use core::sync::atomic::AtomicU64;
use std::vec::Vec;

const CLASS: usize = 7;
const BEGIN: usize = HEADERS + 1;
const CAPACITY: u16 = 64;
const INDEX: u32 = 5;

/// A lease on a shard with one class.
fn leased() -> (Lease, *mut u64) {
    let shard = std::vec![INACTIVE.0; 512].leak().as_mut_ptr();
    // SAFETY: a shard of 512 words that nobody else knows.
    unsafe {
        *shard.add(CLASS) = Header::empty(BEGIN as u16, CAPACITY).0;
        *shard.add(BEGIN - 1) = 1;
    }
    let lease = Lease {
        turn: AtomicU32::new(0),
        index: AtomicU32::new(0),
        base: AtomicPtr::new(core::ptr::null_mut()),
        asymmetric: AtomicBool::new(false),
    };
    lease.reset(true);
    lease.enter().unwrap().bind(INDEX, shard);
    (lease, shard)
}

#[test]
fn objects_come_back_last_in_first_out_and_are_counted() {
    let (lease, shard) = leased();
    // SAFETY: this test's own lease and shard.
    unsafe {
        assert!(lease.push(CLASS, 16) && lease.push(CLASS, 32));
        assert_eq!((lease.pop(CLASS), lease.pop(CLASS)), (32, 16));
        assert_eq!(lease.pop(CLASS) & 1, 1);
        assert_eq!(Header(*shard.add(CLASS)).ops(), 4);
        assert_eq!(lease.pop(CLASS + 1) & 1, 1, "a class without slots");
    }
}

#[test]
fn full_class_refuses_and_batches_move_what_fits() {
    let (lease, _) = leased();
    let many: Vec<usize> = (1..=100).map(|i| i * 16).collect();
    let mut out = [0usize; 100];
    // SAFETY: as above.
    unsafe {
        assert_eq!(lease.push_batch(CLASS, &many, 0), CAPACITY.into());
        assert!(!lease.push(CLASS, 16));
        assert_eq!(lease.pop_batch(CLASS, BEGIN, &mut out[..10]), 10);
        assert_eq!(out[..10], many[54..64]);
        assert!(lease.push(CLASS, 48));
        assert_eq!(lease.pop_batch(CLASS, BEGIN, &mut out), 55);
        assert_eq!((out[54], &out[..54]), (48, &many[..54]));
        assert_eq!(lease.pop_batch(CLASS, BEGIN, &mut out), 0);
    }
}

#[test]
fn objects_of_another_node_are_refused_as_by_a_full_class() {
    let (lease, shard) = leased();
    // SAFETY: as above.
    unsafe {
        *shard = home_of_shard(3).0;
        assert!(!lease.push_on_node(CLASS, 16, 4) && !lease.push_on_node(CLASS, 16, 0));
        assert_eq!(lease.push_batch(CLASS, &[16, 32], 0), 0);
        assert_eq!(lease.pop(CLASS) & 1, 1);
        assert!(lease.push_on_node(CLASS, 64, 3));
        assert_eq!(lease.push_batch(CLASS, &[16, 32], 3), 2);
        assert_eq!(Header(*shard.add(CLASS)).ops(), 1, "batches are not counted");
        assert_eq!([32, 16, 64].map(|_| lease.pop(CLASS)), [32, 16, 64]);
        for i in 0..usize::from(CAPACITY) {
            assert!(lease.push_on_node(CLASS, 16 * i, 3));
        }
        assert!(!lease.push_on_node(CLASS, 16, 3));
    }
}

#[test]
fn reshape_keeps_objects_and_refuses_a_stale_shape() {
    let (lease, _) = leased();
    let shape = |cur: usize, end: usize| (BEGIN + cur) as u32 | ((BEGIN + end) as u32) << 16;
    // SAFETY: as above, with shapes within the class's slots.
    unsafe {
        assert!(lease.push(CLASS, 16) && lease.push(CLASS, 32));
        assert!(!lease.reshape(CLASS, BEGIN, shape(1, 64), shape(1, 2)));
        assert!(lease.reshape(CLASS, BEGIN, shape(2, 64), shape(2, 2)));
        assert!(!lease.push(CLASS, 48));
        assert!(lease.reshape(CLASS, BEGIN, shape(2, 2), shape(2, 3)));
        assert!(lease.push(CLASS, 48));
        assert_eq!((lease.pop(CLASS), lease.pop(CLASS)), (48, 32));
        assert!(lease.reshape(CLASS + 1, 400, INACTIVE.shape(), 400 | 440 << 16));
        assert_eq!(lease.pop(CLASS + 1), 1, "the first shape brings its sentinel");
    }
}

#[test]
fn words_change_only_for_their_owner() {
    let (lease, _) = leased();
    let (word, owner) = (AtomicU64::new(0b1010), AtomicU32::new(INDEX + 1));
    // SAFETY: this test's own lease, shard and word.
    unsafe {
        assert_eq!(lease.take(&owner, &word, !0), None);
        assert_eq!(lease.put(&owner, &word, 1), None);
        owner.store(INDEX, Relaxed);
        assert_eq!(lease.take(&owner, &word, 0b0110), Some(0b0010));
        assert_eq!(lease.put(&owner, &word, 0b0101), Some(0b1000));
    }
    assert_eq!(word.into_inner(), 0b1101);
}

/// What operations on a lease without a shard, or in a handler above another operation, do.
fn assert_all_miss(lease: &Lease) {
    let (word, owner) = (AtomicU64::new(0b1010), AtomicU32::new(INDEX));
    let empty = Header::empty(BEGIN as u16, CAPACITY).shape();
    // SAFETY: nothing is touched.
    unsafe {
        assert_eq!(lease.pop(CLASS) & 1, 1);
        assert!(!lease.push(CLASS, 16));
        assert_eq!(lease.push_batch(CLASS, &[16], 0), 0);
        assert_eq!(lease.pop_batch(CLASS, BEGIN, &mut [0; 4]), 0);
        assert!(!lease.reshape(CLASS, BEGIN, empty, empty));
        assert!(!lease.reshape(CLASS + 1, BEGIN, INACTIVE.shape(), empty));
        assert_eq!(lease.take(&owner, &word, !0), None);
        assert_eq!(lease.put(&owner, &word, 1), None);
    }
    assert_eq!(word.into_inner(), 0b1010);
}

#[test]
fn stopped_lease_misses_every_operation() {
    let (lease, shard) = leased();
    // SAFETY: this test's own lease and shard.
    assert!(unsafe { lease.push(CLASS, 16) });
    lease.stop();
    assert_eq!(lease.shard_index(), None);
    assert_all_miss(&lease);
    lease.enter().unwrap().bind(INDEX, shard);
    assert_eq!(lease.shard_index(), Some(INDEX));
    // SAFETY: as above.
    assert_eq!(unsafe { lease.pop(CLASS) }, 16);
}

#[test]
fn handler_above_an_operation_misses_and_leaves_the_operation_as_it_was() {
    for asymmetric in [true, false] {
        let (lease, shard) = leased();
        lease.asymmetric.store(asymmetric, Relaxed);
        let before = lease.turn();
        let inside = lease.enter().unwrap();
        assert!(lease.is_inside() && lease.enter().is_none());
        assert_all_miss(&lease);
        assert!(lease.is_inside());
        drop(inside);
        assert!(!lease.is_inside() && lease.turn() == before + 2);
        // SAFETY: this test's own shard.
        assert_eq!(Header(unsafe { *shard.add(CLASS) }).current(), BEGIN as u16);
    }
}

#[test]
fn every_thread_has_a_word_of_its_own() {
    let (lease, _) = leased();
    let lease: &'static Lease = std::boxed::Box::leak(std::boxed::Box::new(lease));
    assert!(Lease::current().is_none());
    Lease::set_current(Some(lease));
    assert!(core::ptr::eq(Lease::current().unwrap(), lease));
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(Lease::current().is_none()));
    });
    Lease::set_current(None);
    assert!(Lease::current().is_none());
}

#[test]
fn libc_knows_that_a_test_has_several_threads() {
    if libc_single_threaded().is_null() {
        std::println!("skipped: this libc has no __libc_single_threaded");
        return;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(!single_threaded()));
    });
}

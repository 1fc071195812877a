//! The path of threads with emulated cids. The names are those of `whole`, which has the same
//! with sections, so that one line beside the other says what doing without rseq costs.

use cidalloc::cid_set::{CidSet, Policy};
use cidalloc::handover;
use divan::Bencher;
use std::thread;

use super::{has_leases, heap, orphans};

#[divan::bench(sample_size = super::LOOP, args = [16, 64, 1024, 16384], ignore = !has_leases())]
fn malloc_then_free(bencher: Bencher<'_, '_>, size: usize) {
    orphans::pair(bencher, size);
}

#[divan::bench(args = [100, 1000, 10_000], sample_size = 4, ignore = !has_leases())]
fn malloc_many_then_free_them(bencher: Bencher<'_, '_>, count: usize) {
    orphans::many(bencher, count);
}

#[divan::bench(sample_size = super::LOOP, threads = [1, 2, 8], ignore = !has_leases())]
fn malloc_then_free_64_in_threads(bencher: Bencher<'_, '_>) {
    bencher.bench(|| orphans::one_pair(64));
}

/// What a scheduler pays for a switch between two workers, but for the switch.
#[divan::bench(sample_size = super::LOOP, ignore = !has_leases())]
fn park_then_resume(bencher: Bencher<'_, '_>) {
    heap();
    orphans::one_pair(64);
    bencher.bench_local(|| {
        let lease = handover::park().expect("this thread has just allocated");
        assert!(lease.resume().is_ok(), "no other thread allocates");
    });
}

/// A thread's first allocation and its end: registration, a claim or a take-over, a removal.
#[divan::bench(args = [1, 4], sample_size = 4, ignore = !has_leases())]
fn short_threads_that_allocate_once(bencher: Bencher<'_, '_>, at_once: usize) {
    bencher.counter(divan::counter::ItemsCount::new(at_once)).bench_local(|| {
        let threads: Vec<_> =
            (0..at_once).map(|_| thread::spawn(|| orphans::one_pair(64))).collect();
        threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
    });
}

#[divan::bench(sample_size = super::LOOP, args = [2, 64, 1024], ignore = !has_leases())]
fn claim_then_release(bencher: Bencher<'_, '_>, cpus: usize) {
    let set = Box::new(CidSet::new());
    set.allow(cpus);
    (0..cpus).for_each(|_| set.add_user());
    // All but the last cid are taken.
    let taken = (1..cpus).map(|_| set.claim(Policy::Compact, None, None)).filter(Option::is_some);
    assert_eq!(taken.count(), cpus - 1);
    bencher.bench_local(|| {
        let claim = set.claim(Policy::Compact, None, None).expect("one is free");
        set.release(claim.cid);
    });
}

//! What a cache answers is what somebody inserted for that key, whole; or nothing.
#![allow(unsafe_code)]

#[path = "support/sources.rs"]
mod sources;
mod support;

use bytemuck::{Pod, Zeroable};
use cidpool::{Cache, NewError, Pool, Populate, Source};
use core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use sources::{interrupted, many_threads, source};
use std::sync::OnceLock;
use std::thread;
use support::Stop;

under_each_source!(
    an_answer_is_of_its_key_whoever_inserts_meanwhile,
    what_was_inserted_before_all_was_cleared_is_not_found,
    a_cache_of_a_thread_that_stays_hits,
);

/// A value of which each word follows from the key.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
struct Answer([u64; 7]);

impl Answer {
    fn to(key: u64) -> Self {
        Self([1, 2, 3, 4, 5, 6, 7].map(|i| key.wrapping_mul(i)))
    }
}

fn cache(slots: usize) -> Cache<u64, Answer> {
    let pool = Pool::builder(Cache::<u64, Answer>::item_len(slots)).name("cache").build().unwrap();
    let cache = Cache::new(&pool).unwrap();
    assert_eq!(cache.slots(), slots);
    cache
}

#[test]
#[ignore = "run under each source"]
fn an_answer_is_of_its_key_whoever_inserts_meanwhile() {
    static CACHE: OnceLock<Cache<u64, Answer>> = OnceLock::new();
    static HITS: AtomicU64 = AtomicU64::new(0);
    fn ask(key: u64) {
        let cache = CACHE.get().unwrap();
        if let Some(answer) = cache.get(key) {
            assert_eq!(answer, Answer::to(key));
            HITS.fetch_add(1, Relaxed);
        } else {
            cache.insert(key, Answer::to(key));
        }
    }
    CACHE.set(cache(3)).unwrap();
    let handler = || (0..4).for_each(ask);
    interrupted(many_threads(), handler, |number| {
        for i in 0..100_000u64 {
            ask(i.wrapping_mul(number as u64 | 1) % 8);
        }
    });
    assert!(HITS.load(Relaxed) > 0 || source() == Source::None);
}

#[test]
#[ignore = "run under each source"]
fn what_was_inserted_before_all_was_cleared_is_not_found() {
    let cache = {
        let pool = Pool::builder(4096).build().unwrap();
        Cache::<u64, u64>::new(&pool).unwrap()
    };
    let (now, cleared, running) = (AtomicU64::new(1), AtomicU64::new(0), AtomicBool::new(true));
    thread::scope(|scope| {
        for _ in 0..many_threads() {
            scope.spawn(|| {
                while running.load(Relaxed) {
                    let least = cleared.load(SeqCst);
                    let found = cache.get_or_insert_with(5, |_| now.load(SeqCst));
                    assert!(found >= least, "{found} of before {least}");
                }
            });
        }
        let _stop = Stop(&running);
        for _ in 0..20_000 {
            let least = now.fetch_add(1, SeqCst) + 1;
            cache.clear();
            cleared.store(least, SeqCst);
            assert!(cache.get(5).is_none_or(|found| found >= least));
        }
    });
}

#[test]
#[ignore = "run under each source"]
fn a_cache_of_a_thread_that_stays_hits() {
    let cache = cache(200);
    let mut made = 0;
    for i in 0..100_000 {
        let key = i % 20;
        let answer = cache.get_or_insert_with(key, |key| {
            made += 1;
            Answer::to(key)
        });
        assert_eq!(answer, Answer::to(key));
    }
    // Keys that share a slot take turns; and so do cids.
    assert!(made < 50_000 || source() == Source::None, "{made} were made");
}

#[test]
fn keys_and_values_of_any_length_are_told_apart() {
    let pool = Pool::builder(4096).build().unwrap();
    let cache = Cache::<[u8; 3], [u8; 5]>::new(&pool).unwrap();
    for i in 0..=255 {
        cache.insert([i, 0, 1], [i; 5]);
        assert_eq!(cache.get([i, 1, 0]), None);
        assert!(cache.get([i, 0, 1]).is_none_or(|value| value == [i; 5]));
    }
    let image = Pool::builder(4096).populate(Populate::Image).build().unwrap();
    assert_eq!(Cache::<u64, u64>::new(&image).unwrap_err(), NewError::Image);
}

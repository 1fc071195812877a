//! Each object is in one place: a hand, or the list, once.
#![allow(unsafe_code)]

#[path = "support/sources.rs"]
mod sources;
mod support;

use cidpool::{FreeList, NewError, Pool, Populate, Source};
use core::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{AcqRel, Relaxed},
};
use sources::{interrupted, many_threads, source};
use std::sync::OnceLock;
use std::thread;

under_each_source!(
    no_object_is_lost_or_given_twice,
    no_object_is_lost_by_handlers_that_take_and_give,
    the_list_keeps_no_more_than_its_bound,
    what_one_cid_gave_another_one_gets,
);

/// Objects that are there now.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// Something of which it is known whether somebody has it.
#[derive(Debug)]
struct Tracked {
    is_taken: AtomicBool,
    canary: usize,
}

impl Tracked {
    fn new() -> Self {
        ALIVE.fetch_add(1, Relaxed);
        Self { is_taken: AtomicBool::new(true), canary: 0x0b7ec7 }
    }
    fn taken(self: Box<Self>) -> Box<Self> {
        assert_eq!(self.canary, 0x0b7ec7);
        assert!(!self.is_taken.swap(true, AcqRel), "it was given twice");
        self
    }
    fn given(self: Box<Self>) -> Box<Self> {
        assert!(self.is_taken.swap(false, AcqRel), "it was here twice");
        self
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Relaxed);
    }
}

fn list(words: usize, batches: usize) -> FreeList<Tracked> {
    let pool = Pool::builder(words * 8).name("objects").build().unwrap();
    FreeList::new(&pool, batches).unwrap()
}

/// Takes some, keeps them for a while, and gives them back.
fn churn(list: &FreeList<Tracked>, rounds: usize, seed: usize) {
    let (mut hands, mut random) = (Vec::new(), seed as u64 | 1);
    for _ in 0..rounds {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if random >> 63 == 0 || hands.is_empty() {
            hands.push(list.pop().map_or_else(|| Box::new(Tracked::new()), Tracked::taken));
        } else {
            let object: Box<Tracked> = hands.swap_remove(random as usize / 2 % hands.len());
            // Refused, it is dropped.
            let _ = list.push(object.given());
        }
        if hands.len() == 40 {
            hands.drain(..).for_each(|object| drop(list.push(object.given())));
        }
    }
    hands.into_iter().for_each(|object| drop(list.push(object.given())));
}

#[test]
#[ignore = "run under each source"]
fn no_object_is_lost_or_given_twice() {
    for (words, batches) in [(2, 1), (8, 2), (64, 16), (33, 0)] {
        let mut list = list(words, batches);
        thread::scope(|scope| {
            for number in 0..many_threads() {
                let list = &list;
                scope.spawn(move || churn(list, 30_000, number));
            }
        });
        assert_eq!(list.len(), ALIVE.load(Relaxed), "nothing is in hands");
        let drained = list.drain();
        assert_eq!(drained.len(), ALIVE.load(Relaxed));
        drained.into_iter().for_each(|object| drop(object.taken()));
        assert_eq!((ALIVE.load(Relaxed), list.len()), (0, 0));
        churn(&list, 1000, 1);
        drop(list);
        assert_eq!(ALIVE.load(Relaxed), 0, "what was in it went with it");
    }
}

#[test]
#[ignore = "run under each source"]
fn no_object_is_lost_by_handlers_that_take_and_give() {
    static LIST: OnceLock<FreeList<Tracked>> = OnceLock::new();
    static HANDLED: AtomicUsize = AtomicUsize::new(0);
    let list = LIST.get_or_init(|| list(16, 64));
    // A handler neither allocates nor frees: what it takes it gives back, or leaves behind.
    let handler = || {
        let Some(list) = LIST.get() else { return };
        if let Some(object) = list.pop() {
            HANDLED.fetch_add(1, Relaxed);
            if let Err(object) = list.push(object.taken().given()) {
                core::mem::forget(object);
                ALIVE.fetch_sub(1, Relaxed);
            }
        }
    };
    interrupted(many_threads(), handler, |number| churn(list, 60_000, number));
    let mut found = 0;
    while let Some(object) = list.pop() {
        object.taken();
        found += 1;
    }
    if source() != Source::None {
        assert!(HANDLED.load(Relaxed) > 0, "no handler found an object");
    }
    // The others are on the stacks of cids that this thread does not have now.
    assert_eq!(list.len(), ALIVE.load(Relaxed));
    assert!(found > 0 || !list.is_empty());
}

#[test]
#[ignore = "run under each source"]
fn the_list_keeps_no_more_than_its_bound() {
    let (words, batches) = (5, 2);
    let list = list(words, batches);
    assert_eq!(list.capacity(), 4);
    let mut refused = 0;
    for _ in 0..10_000 {
        refused += usize::from(list.push(Box::new(Tracked::new()).given()).is_err());
    }
    assert_eq!(list.len() + refused, 10_000);
    let cids = cidalloc::percid::get().unwrap();
    let stacks =
        if source() == Source::None { 0 } else { list.capacity() * cids.nodes * cids.cids };
    assert!(list.len() <= stacks + batches * list.capacity().div_ceil(2));
    assert_eq!(list.len(), ALIVE.load(Relaxed));
}

#[test]
#[ignore = "run under each source"]
fn what_one_cid_gave_another_one_gets() {
    // As many as fill the depot, and then one stack.
    let list = list(9, 4);
    for _ in 0..24 {
        let _ = list.push(Box::new(Tracked::new()).given());
    }
    let here = list.len();
    let elsewhere = thread::scope(|scope| {
        let threads: Vec<_> = (0..many_threads())
            .map(|_| scope.spawn(|| core::iter::from_fn(|| list.pop()).map(Tracked::taken).count()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    assert_eq!(elsewhere + list.len(), here);
    assert!(elsewhere >= 8, "batches of the depot, at least");
}

/// Longer than what one section moves.
#[test]
fn long_batches_come_to_a_stack_in_parts() {
    let pool = Pool::builder(4096 * 8).build().unwrap();
    let mut list = FreeList::<u64>::new(&pool, 4).unwrap();
    let refused = (0..10_000).filter(|&i| list.push(Box::new(i)).is_err()).count();
    let mut found: Vec<u64> = core::iter::from_fn(|| list.pop()).map(|object| *object).collect();
    assert!(found.len() > 2048, "no more than one batch came");
    found.extend(list.drain().into_iter().map(|object| *object));
    assert_eq!(found.len() + refused, 10_000);
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len() + refused, 10_000, "one was there twice");
}

#[test]
fn a_pool_that_begins_as_an_image_is_for_no_list() {
    let pool = Pool::builder(64).populate(Populate::Image).build().unwrap();
    assert_eq!(FreeList::<u64>::new(&pool, 1).unwrap_err(), NewError::Image);
    let pool = Pool::builder(8).build().unwrap();
    let error = FreeList::<u64>::new(&pool, 1).unwrap_err();
    assert_eq!(error, NewError::TooShort { needed: 16, item_len: 8 });
}

#[test]
fn what_is_taken_goes_back_when_it_is_dropped() {
    let pool = Pool::builder(64).build().unwrap();
    let list = FreeList::<Vec<u8>>::new(&pool, 1).unwrap();
    list.take(Vec::new).extend_from_slice(b"kept");
    assert_eq!(list.len(), 1);
    let again = list.take(Vec::new);
    assert!(*again == b"kept" || !list.is_empty(), "it is here, or under the cid that we had");
}

#[test]
fn a_child_of_fork_has_a_list_of_its_own() {
    let list = list(16, 4);
    for _ in 0..30 {
        let _ = list.push(Box::new(Tracked::new()).given());
    }
    let before = list.len();
    support::in_child(|| {
        churn(&list, 1000, 7);
        let alive = ALIVE.load(Relaxed);
        list.len() == alive
    });
    assert_eq!((list.len(), ALIVE.load(Relaxed)), (before, before));
}

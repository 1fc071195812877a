//! Typed handles: each operation's outcomes, all ways to the copies, and that nothing is lost on any.
#![allow(unsafe_code)]

#[path = "support/sources.rs"]
mod sources;
mod support;

use bytemuck::{Pod, Zeroable};
use cidpool::{Compared, NewError, NoCid, PerCid, Place, Pool, Source, field};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use sources::{interrupted, many_threads, source};
use std::sync::OnceLock;
use std::thread;

under_each_source!(
    operations_do_what_they_say,
    additions_of_all_threads_and_handlers_are_in_the_sum,
    what_was_compared_was_stored_once,
    what_is_committed_is_whole,
);

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
struct Shop {
    hits: u64,
    money: i64,
    log: [u64; 6],
}

fn shop() -> PerCid<Shop> {
    let pool = Pool::builder(size_of::<Shop>()).name("shop").build().unwrap();
    PerCid::new(&pool).unwrap()
}

/// Does `operation` until the thread stays on one cid meanwhile, as `same` says.
fn settled<T>(mut operation: impl FnMut() -> Option<T>) -> T {
    core::iter::repeat_with(&mut operation)
        .take(10_000)
        .flatten()
        .next()
        .expect("it comes to an end")
}

#[test]
#[ignore = "run under each source"]
fn operations_do_what_they_say() {
    let (hits, money, log) = (field!(Shop, hits), field!(Shop, money), field!(Shop, log));
    if source() == Source::None {
        let shop = shop();
        assert_eq!(shop.word(hits).add(1), Err(NoCid));
        assert_eq!(shop.word(hits).load(), Err(NoCid));
        assert_eq!(shop.word(hits).compare_store(0, 1), Err(NoCid));
        assert_eq!(shop.word(hits).compare_two_store(0, log.index(0), 0, 1), Err(NoCid));
        assert_eq!(shop.word(hits).compare_store_store(0, 1, money, 5), Err(NoCid));
        assert_eq!(shop.word(hits).compare_copy_store(0, 1, log, 0, &[1]), Err(NoCid));
        assert_eq!(shop.sum(hits), 0);
        return;
    }
    // On whichever copy: each round is of a new item, and counts if one copy has all of it.
    settled(|| {
        let mut shop = shop();
        let word = shop.word(hits);
        assert_eq!(word.add(3), Ok(()));
        let loaded = word.load().unwrap();
        let differs = word.compare_store(7, 8).unwrap();
        let stored = word.compare_store(3, 4).unwrap();
        let second = word.compare_two_store(4, log.index(0), 1, 5).unwrap();
        let both = word.compare_two_store(4, log.index(0), 0, 5).unwrap();
        let pair = word.compare_store_store(5, 6, money, -9).unwrap();
        let copied = word.compare_copy_store(6, 7, log, 2, &[10, 11, 12]).unwrap();
        let refused = word.compare_copy_store(6, 8, log, 0, &[13]).unwrap();
        let money_now = shop.word(money).load().unwrap();
        let copies: Vec<_> =
            shop.quiescent().filter(|(_, copy)| *copy != &Shop::zeroed()).collect();
        let &[(place, &mut copy)] = &copies[..] else { return None };
        assert_eq!(loaded, 3);
        assert_eq!((differs, stored), (Compared::Differs(3), Compared::Stored));
        assert_eq!((second, both), (Compared::Differs(0), Compared::Stored));
        assert_eq!(
            (pair, copied, refused),
            (Compared::Stored, Compared::Stored, Compared::Differs(7))
        );
        assert_eq!(money_now, -9);
        assert_eq!(copy, Shop { hits: 7, money: -9, log: [0, 0, 10, 11, 12, 0] });
        assert_eq!(shop.read(place), Some(copy));
        assert_eq!((shop.sum(hits), shop.sum(money)), (7, -9));
        Some(())
    });
}

#[test]
#[ignore = "run under each source"]
fn additions_of_all_threads_and_handlers_are_in_the_sum() {
    static SHOP: OnceLock<PerCid<Shop>> = OnceLock::new();
    static ELSEWHERE: AtomicU64 = AtomicU64::new(0);
    static ADDED: AtomicU64 = AtomicU64::new(0);
    fn add() {
        if SHOP.get().unwrap().word(field!(Shop, log).index(5)).add(1) == Err(NoCid) {
            ELSEWHERE.fetch_add(1, Relaxed);
        }
        ADDED.fetch_add(1, Relaxed);
    }
    SHOP.set(shop()).unwrap();
    interrupted(many_threads(), add, |_| (0..100_000).for_each(|_| add()));
    let there = SHOP.get().unwrap().sum(field!(Shop, log).index(5));
    assert_eq!(there + ELSEWHERE.load(Relaxed), ADDED.load(Relaxed));
    assert!(there > 0 || source() == Source::None);
}

#[test]
#[ignore = "run under each source"]
fn what_was_compared_was_stored_once() {
    let (shop, stored) = (shop(), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..many_threads() {
            scope.spawn(|| {
                let hits = shop.word(field!(Shop, hits));
                for _ in 0..50_000 {
                    let Ok(found) = hits.load() else { continue };
                    if hits.compare_store(found, found + 1) == Ok(Compared::Stored) {
                        stored.fetch_add(1, Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(shop.sum(field!(Shop, hits)), stored.into_inner());
}

#[test]
#[should_panic(expected = "the other word is another one")]
fn a_word_is_not_stored_twice_in_one_operation() {
    let _ = shop().word(field!(Shop, hits)).compare_store_store(0, 1, field!(Shop, hits), 2);
}

#[test]
#[should_panic(expected = "the word is not among those written")]
fn a_word_is_not_copied_over_in_the_operation_that_compares_it() {
    let log = field!(Shop, log);
    let _ = shop().word(log.index(3)).compare_copy_store(0, 1, log, 2, &[1, 2]);
}

#[test]
fn words_beside_those_written_may_be_compared() {
    let log = field!(Shop, log);
    for compared in [1, 4] {
        let outcome = shop().word(log.index(compared)).compare_copy_store(0, 1, log, 2, &[1, 2]);
        assert_eq!(outcome, Ok(Compared::Stored));
    }
}

#[test]
#[should_panic(expected = "no more than 64 KiB")]
fn an_operation_is_short() {
    const WORDS: usize = 8192;
    let pool = Pool::builder((WORDS + 2) * 8).stride(128 << 10).build().unwrap();
    let long = PerCid::<[u64; WORDS + 2]>::new(&pool).unwrap();
    let all = field!([u64; WORDS + 2]);
    let word = long.word(all.index(0));
    assert_eq!(word.compare_copy_store(0, 1, all, 1, &[1; WORDS]), Ok(Compared::Stored));
    let _ = word.compare_copy_store(1, 2, all, 1, &[1; WORDS + 1]);
}

/// In each copy the log is that of the last commit, and the money that of all of them.
#[test]
#[ignore = "run under each source"]
fn what_is_committed_is_whole() {
    static SHOP: OnceLock<PerCid<Shop>> = OnceLock::new();
    fn commit() {
        let shop = SHOP.get().unwrap();
        let hits = shop.word(field!(Shop, hits));
        let Ok(found) = hits.load() else { return };
        let next = found + 2;
        let log: [u64; 6] = core::array::from_fn(|i| next * 10 + i as u64);
        let _ = hits.compare_copy_store(found, next, field!(Shop, log), 0, &log);
        let money = (next * 3).cast_signed();
        let _ = hits.compare_store_store(next, next, field!(Shop, money), money);
    }
    SHOP.set(shop()).unwrap();
    interrupted(many_threads(), commit, |_| (0..50_000).for_each(|_| commit()));
    let mut committed = 0;
    SHOP.get().unwrap().for_each(|place, words| {
        let copy = SHOP.get().unwrap().read(place).unwrap();
        assert_eq!(copy.hits, words[0].load(Relaxed));
        committed += copy.hits;
        if copy.hits > 0 {
            let log: [u64; 6] = core::array::from_fn(|i| copy.hits * 10 + i as u64);
            assert_eq!(copy.log, log, "of {place}");
            assert!(copy.money <= (copy.hits * 3).cast_signed());
        }
    });
    assert!(committed > 0 || source() == Source::None);
}

#[test]
fn every_copy_begins_as_the_value() {
    let pool = Pool::builder(64).build().unwrap();
    let value = Shop { hits: 1, money: -2, log: [3; 6] };
    let mut shop = PerCid::with_value(&pool, value).unwrap();
    assert!(shop.quiescent().all(|(_, copy)| *copy == value));
    assert!(shop.quiescent().count() >= 1);
    for (_, copy) in shop.quiescent() {
        copy.hits += 1;
    }
    assert!(shop.quiescent().all(|(place, copy)| copy.hits == 2 && place.cid < 8192));
}

#[test]
fn a_place_that_cannot_be_has_no_copy() {
    let shop = shop();
    let cids = cidalloc::percid::get().unwrap();
    assert_eq!(shop.read(Place { node: 0, cid: cids.cids }), None);
    assert_eq!(shop.read(Place { node: cids.nodes, cid: 0 }), None);
    assert_eq!(shop.read(Place { node: 0, cid: 0 }), Some(Shop::zeroed()));
}

#[test]
fn values_need_not_be_whole_words() {
    let pool = Pool::builder(11).build().unwrap();
    let mut small = PerCid::with_value(&pool, *b"hello world").unwrap();
    assert_eq!(small.read(Place { node: 0, cid: 0 }), Some(*b"hello world"));
    small.quiescent().for_each(|(_, copy)| copy.make_ascii_uppercase());
    assert_eq!(small.read(Place { node: 0, cid: 0 }), Some(*b"HELLO WORLD"));
}

#[repr(C, align(32))]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct Wide([u64; 4]);

#[test]
fn an_item_that_does_not_do_is_refused() {
    let pool = |len| Pool::builder(len).build().unwrap();
    let short = PerCid::<Shop>::new(&pool(56)).unwrap_err();
    assert_eq!(short, NewError::TooShort { needed: 64, item_len: 56 });
    let misaligned = PerCid::<Wide>::new(&pool(40)).unwrap_err();
    assert_eq!(misaligned, NewError::Misaligned { align: 32, item_len: 40 });
    assert!(PerCid::<Wide>::new(&pool(32)).is_ok());
    let global = Pool::builder(64).global().build().unwrap();
    assert_eq!(PerCid::<Shop>::new(&global).unwrap_err(), NewError::OneCopy);
}

#[test]
fn a_handle_gives_its_item_back_and_keeps_its_pool() {
    let pool = Pool::builder(64).build().unwrap();
    for _ in 0..100 {
        drop(PerCid::<Shop>::new(&pool).unwrap());
    }
    assert_eq!(pool.statistics().items, 0);
    let shop = PerCid::<Shop>::new(&pool).unwrap();
    drop(pool);
    assert_eq!(shop.pool().statistics().items, 1);
    assert_eq!(shop.sum(field!(Shop, hits)), 0);
}

#[test]
fn handles_go_where_their_values_may() {
    fn goes<T: Send + Sync>() {}
    goes::<PerCid<Shop>>();
    goes::<cidpool::Counter>();
    goes::<cidpool::Counters<3>>();
    goes::<cidpool::List<Vec<core::cell::Cell<u64>>>>();
    goes::<cidpool::FreeList<core::cell::Cell<u64>>>();
    goes::<cidpool::Ring>();
    goes::<cidpool::Cache<u64, Shop>>();
}

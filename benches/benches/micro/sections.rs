//! The critical sections, each on shards that no allocator knows.
//!
//! ```text
//!  table[id] ─► shard of id: one class, CAPACITY slots     for every id that may come up, since
//!                                                          the thread may move in mid-bench
//! ```
//!
//! A section is measured with its opposite, since alone it would soon find its class empty or
//! full; what it costs to find that is measured, too.

use core::cell::Cell;
use core::hint::black_box;

use cidalloc::heap::Source;
use divan::Bencher;
use rseq_sys::cs::{self, Anchor, CIDS_PER_NODE, HEADERS, Header, INACTIVE, MISS};

use super::{has_cids, heap};

const CLASS: usize = 7;
const BEGIN: u16 = HEADERS as u16 + 1;
const CAPACITY: u16 = 128;
const OBJECT: usize = 0x1000;

/// An anchor over shards of its own; they are never given back, as sections might look.
fn world(objects: u16) -> Anchor {
    let heap = heap();
    let ids: Vec<usize> = heap.ids().map(|id| id.0 as usize).collect();
    let rows = ids.iter().max().map_or(1, |last| last / CIDS_PER_NODE + 1);
    let table = vec![MISS.base(); rows * CIDS_PER_NODE].leak();
    for id in ids {
        let shard = vec![INACTIVE.0; BEGIN as usize + CAPACITY as usize].leak();
        let empty = Header::empty(BEGIN, CAPACITY);
        shard[CLASS] = empty.0 + u64::from(objects);
        shard[BEGIN as usize - 1] = 1;
        shard[BEGIN as usize..][..objects as usize].fill(OBJECT as u64);
        table[id] = shard.as_mut_ptr();
    }
    Anchor::new(&heap.registration, heap.source == Source::Cpu, table.as_ptr())
}

#[divan::bench(sample_size = super::LOOP, ignore = !has_cids())]
fn read_the_shard_index(bencher: Bencher<'_, '_>) {
    let anchor = world(0);
    // SAFETY: the offsets of this process's registration.
    bencher.bench_local(|| unsafe { black_box(&anchor).shard_index() });
}

#[divan::bench(sample_size = super::LOOP, ignore = !has_cids())]
fn pop_then_push(bencher: Bencher<'_, '_>) {
    let anchor = world(64);
    bencher.bench_local(|| {
        // SAFETY: the world's shards have this class.
        unsafe {
            let object = cs::pop(black_box(&anchor), CLASS);
            // A thread that moved in between finds other shards, with 64 objects or so as well.
            cs::push(&anchor, CLASS, black_box(object))
        }
    });
}

#[divan::bench(sample_size = super::LOOP, ignore = !has_cids())]
fn pop_from_an_empty_class(bencher: Bencher<'_, '_>) {
    let anchor = world(0);
    bencher.bench_local(|| {
        // SAFETY: as above.
        let miss = unsafe { cs::pop(black_box(&anchor), CLASS) };
        assert!(miss & 1 == 1);
    });
}

#[divan::bench(sample_size = super::LOOP, ignore = !has_cids())]
fn push_to_a_full_class(bencher: Bencher<'_, '_>) {
    let anchor = world(CAPACITY);
    bencher.bench_local(|| {
        // SAFETY: as above.
        let pushed = unsafe { cs::push(black_box(&anchor), CLASS, OBJECT) };
        assert!(!pushed);
    });
}

#[divan::bench(sample_size = super::LOOP, args = [1, 8, 32, 64], ignore = !has_cids())]
fn pop_batch_then_push_batch(bencher: Bencher<'_, '_>, count: usize) {
    let anchor = world(64);
    let mut hand = [0usize; 64];
    bencher.bench_local(|| {
        // SAFETY: as above; the hand is as long as told.
        unsafe {
            let popped =
                cs::pop_batch(black_box(&anchor), CLASS, BEGIN as usize, hand.as_mut_ptr(), count);
            cs::push_batch(&anchor, CLASS, black_box(hand.as_ptr()), popped, 0)
        }
    });
}

/// 64 single ones against a batch of 64: what the batch saves.
#[divan::bench(sample_size = super::LOOP, ignore = !has_cids())]
fn pop_64_then_push_64(bencher: Bencher<'_, '_>) {
    let anchor = world(64);
    let mut hand = [0usize; 64];
    bencher.bench_local(|| {
        // SAFETY: as above.
        unsafe {
            hand.iter_mut().for_each(|slot| *slot = cs::pop(black_box(&anchor), CLASS));
            // A sentinel of an empty class is odd, and must not go back as an object.
            hand.iter().filter(|slot| **slot & 1 == 0).all(|slot| cs::push(&anchor, CLASS, *slot))
        }
    });
}

#[divan::bench(sample_size = super::LOOP, ignore = !has_cids())]
fn reshape(bencher: Bencher<'_, '_>) {
    let anchor = world(0);
    let shapes = [0, 1].map(|less| Header::empty(BEGIN, CAPACITY - less).shape());
    let (mut from, done) = (0, Cell::new(0u64));
    bencher.bench_local(|| {
        let (old, new) = (shapes[from], shapes[1 - from]);
        // SAFETY: an empty class, whose end moves within its slots.
        let hit = unsafe { cs::reshape(black_box(&anchor), CLASS, BEGIN as usize, old, new) };
        // Refused only on a shard that has the other shape: after a move to another id.
        from = 1 - from;
        done.set(done.get() + u64::from(hit));
    });
    assert!(done.get() > 0, "no reshape ever found its shape");
}

/// An owner that is the calling thread's shard now; a hint, which the sections check.
fn owner(anchor: &Anchor) -> u32 {
    // SAFETY: the offsets of this process's registration.
    unsafe { anchor.shard_index() }.unwrap_or(u32::MAX)
}

#[divan::bench(sample_size = super::LOOP, ignore = !has_cids())]
fn take_then_put(bencher: Bencher<'_, '_>) {
    let anchor = world(0);
    let (mut mine, mut word, done) = (owner(&anchor), u64::MAX, Cell::new(0u64));
    bencher.bench_local(|| {
        // SAFETY: the word is this thread's own.
        let taken = unsafe { cs::take(black_box(&anchor), &mine, &mut word, 0xff00) };
        // SAFETY: as above.
        let put =
            taken.and_then(|bits| unsafe { cs::put(black_box(&anchor), &mine, &mut word, bits) });
        match put {
            Some(_) => done.set(done.get() + 1),
            // The thread moved to another id, perhaps between the two.
            None => (mine, word) = (owner(&anchor), u64::MAX),
        }
    });
    assert!(done.get() > 0, "the thread never was on its word's owner");
}

#[divan::bench(sample_size = super::LOOP, ignore = !has_cids())]
fn take_from_a_strangers_word(bencher: Bencher<'_, '_>) {
    let anchor = world(0);
    let (stranger, mut word) = (u32::MAX - 7, u64::MAX);
    bencher.bench_local(|| {
        // SAFETY: as above.
        let taken = unsafe { cs::take(black_box(&anchor), &stranger, &mut word, 0xff00) };
        assert!(taken.is_none());
    });
}

/// What `take` and `put` are instead of: the same on a remote word.
#[divan::bench(sample_size = super::LOOP)]
fn atomic_swap_then_fetch_or(bencher: Bencher<'_, '_>) {
    use core::sync::atomic::{AtomicU64, Ordering};
    let word = AtomicU64::new(u64::MAX);
    bencher.bench_local(|| {
        let bits = black_box(&word).swap(0, Ordering::AcqRel);
        black_box(&word).fetch_or(bits, Ordering::SeqCst)
    });
}

//! The sections on this machine's own cids: each outcome, and conservation under preemption.
#![allow(unsafe_code)]
extern crate std;

use super::*;
use crate::registration::{Owner, Registration, detect, register_thread, unregister_thread};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::OnceLock;
use std::vec::Vec;

const CLASS: usize = 7;
const BEGIN: u16 = HEADERS as u16 + 1;
const CAPACITY: u16 = 64;
const SHARDS: usize = 64;
const WORDS: usize = 512;

struct World {
    anchor: Anchor,
    shards: Vec<*mut u64>,
    table: *mut *mut u64,
    registration: Registration,
}
// SAFETY: shards are touched only inside sections, or while their threads are joined.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

fn feature_size() -> u32 {
    let auxv = std::fs::read("/proc/self/auxv").unwrap();
    auxv.chunks_exact(16)
        .map(|pair| {
            let word = |i: usize| u64::from_ne_bytes(pair[i..i + 8].try_into().unwrap());
            (word(0), word(8))
        })
        .find(|(tag, _)| *tag == crate::abi::AT_RSEQ_FEATURE_SIZE)
        .map_or(0, |(_, value)| value as u32)
}

fn world() -> Option<World> {
    static REGISTRATION: OnceLock<Registration> = OnceLock::new();
    let registration = *REGISTRATION.get_or_init(|| detect(feature_size()));
    if registration.owner == Owner::Nobody || !registration.has_mm_cid {
        std::eprintln!("skipped: this kernel gives no mm_cid ({registration:?})");
        return None;
    }
    enter(&registration);
    let table: &'static mut [*mut u64] = std::vec![MISS.base(); CIDS_PER_NODE * 8].leak();
    let mut shards = Vec::new();
    let rows = table.chunks_mut(CIDS_PER_NODE).flat_map(|row| row.iter_mut().take(SHARDS));
    for entry in rows {
        let shard: &'static mut [u64] = std::vec![INACTIVE.0; WORDS].leak();
        shard[CLASS] = Header::empty(BEGIN, CAPACITY).0;
        shard[BEGIN as usize - 1] = 1;
        *entry = shard.as_mut_ptr();
        shards.push(shard.as_mut_ptr());
    }
    let table = table.as_mut_ptr();
    Some(World { anchor: Anchor::new(&registration, false, table), shards, table, registration })
}

fn enter(registration: &Registration) {
    if registration.owner == Owner::Own {
        assert!(register_thread(registration.offset));
    }
}

/// At the end of a thread that nobody joins: of musl's it must be.
fn leave(registration: &Registration) {
    if registration.owner == Owner::Own {
        unregister_thread(registration.offset);
    }
}

/// Runs `f` until it was not disturbed by a change of cid, which would make its steps land in
/// different shards: all shards are emptied before each try.
fn on_one_shard(world: &World, f: impl Fn() -> bool) {
    for _ in 0..1000 {
        for &shard in &world.shards {
            // SAFETY: no other thread uses this world.
            unsafe { *shard.add(CLASS) = Header::empty(BEGIN, CAPACITY).0 };
        }
        // SAFETY: the world's own anchor.
        let before = unsafe { world.anchor.shard_index() };
        let held = f();
        // SAFETY: as above.
        if held && before == unsafe { world.anchor.shard_index() } {
            return;
        }
    }
    panic!("it never held, or the cid never stayed for one try");
}

#[test]
fn push_then_pop_is_last_in_first_out() {
    let Some(w) = world() else { return };
    on_one_shard(&w, || {
        // SAFETY: the world's shards have this class.
        unsafe {
            push(&w.anchor, CLASS, 16)
                && push(&w.anchor, CLASS, 32)
                && pop(&w.anchor, CLASS) == 32
                && pop(&w.anchor, CLASS) == 16
                && pop(&w.anchor, CLASS) & 1 == 1
        }
    });
}

#[test]
fn full_class_refuses_and_batches_move_what_fits() {
    let Some(w) = world() else { return };
    let many: Vec<usize> = (1..=100).map(|i| i * 16).collect();
    on_one_shard(&w, || {
        let mut out = [0usize; 100];
        // SAFETY: the world's shards have this class; buffers are as long as told.
        unsafe {
            push_batch(&w.anchor, CLASS, many.as_ptr(), 100, 0) == CAPACITY as usize
                && !push(&w.anchor, CLASS, 16)
                && pop_batch(&w.anchor, CLASS, BEGIN as usize, out.as_mut_ptr(), 10) == 10
                && out[..10] == many[54..64]
                && push(&w.anchor, CLASS, 48)
                && pop_batch(&w.anchor, CLASS, BEGIN as usize, out.as_mut_ptr(), 100) == 55
                && out[54] == 48
                && out[..54] == many[..54]
                && pop_batch(&w.anchor, CLASS, BEGIN as usize, out.as_mut_ptr(), 100) == 0
                && push(&w.anchor, CLASS, 64)
                && pop_batch(&w.anchor, CLASS, BEGIN as usize, out.as_mut_ptr(), 0) == 0
                && pop(&w.anchor, CLASS) == 64
        }
    });
}

#[test]
fn objects_of_another_node_are_refused_as_by_a_full_class() {
    let Some(w) = world() else { return };
    const NODE: u32 = 3;
    for &shard in &w.shards {
        // SAFETY: no other thread uses this world.
        unsafe { *shard = home_of_shard(NODE).0 };
    }
    let many = [16usize, 32, 48];
    on_one_shard(&w, || {
        // SAFETY: the world's shards have this class; the buffer is as long as told.
        unsafe {
            !push_on_node(&w.anchor, CLASS, 16, NODE + 1)
                && !push_on_node(&w.anchor, CLASS, 16, 0)
                && push_batch(&w.anchor, CLASS, many.as_ptr(), 3, 0) == 0
                && pop(&w.anchor, CLASS) & 1 == 1
                && push_on_node(&w.anchor, CLASS, 64, NODE)
                && push_batch(&w.anchor, CLASS, many.as_ptr(), 3, NODE) == 3
                && push(&w.anchor, CLASS, 80)
                && [80, 48, 32, 16, 64].iter().all(|&object| pop(&w.anchor, CLASS) == object)
                && pop(&w.anchor, CLASS) & 1 == 1
        }
    });
}

#[test]
fn a_full_class_refuses_its_own_nodes_objects_and_counts_what_it_takes() {
    let Some(w) = world() else { return };
    on_one_shard(&w, || {
        // SAFETY: the world's shards have this class, and are of node 0.
        unsafe {
            let index = w.anchor.shard_index().unwrap() as usize;
            let taken = (0..CAPACITY).all(|i| push_on_node(&w.anchor, CLASS, 16 * i as usize, 0));
            let header = Header(*(*w.table.add(index)).add(CLASS));
            taken
                && header
                    == Header(Header::empty(BEGIN + CAPACITY, 0).0 | u64::from(CAPACITY) << 32)
                && !push_on_node(&w.anchor, CLASS, 16, 0)
        }
    });
}

#[test]
fn a_class_without_slots_is_empty_whatever_the_shards_node() {
    let Some(w) = world() else { return };
    for &shard in &w.shards {
        // SAFETY: no other thread uses this world.
        unsafe { *shard = home_of_shard(u32::MAX).0 };
    }
    on_one_shard(&w, || {
        // SAFETY: as above; the class as a new shard has it.
        unsafe {
            pop(&w.anchor, CLASS + 1) & 1 == 1 && !push_on_node(&w.anchor, CLASS + 1, 16, u32::MAX)
        }
    });
}

#[test]
fn reshape_keeps_objects_and_refuses_a_stale_shape() {
    let Some(w) = world() else { return };
    let shape = |cur: u16, end: u16| u32::from(BEGIN + cur) | u32::from(BEGIN + end) << 16;
    let reshape = |from, to| {
        // SAFETY: all shapes stay within the class's slots.
        unsafe { reshape(&w.anchor, CLASS, BEGIN as usize, from, to) }
    };
    on_one_shard(&w, || {
        // SAFETY: the world's shards have this class.
        unsafe {
            push(&w.anchor, CLASS, 16)
                && push(&w.anchor, CLASS, 32)
                && !reshape(shape(1, 64), shape(1, 2))
                && !reshape(shape(2, 63), shape(2, 2))
                && reshape(shape(2, 64), shape(2, 2))
                && !push(&w.anchor, CLASS, 48)
                && reshape(shape(2, 2), shape(2, 3))
                && push(&w.anchor, CLASS, 48)
                && pop(&w.anchor, CLASS) == 48
                && pop(&w.anchor, CLASS) == 32
        }
    });
}

#[test]
fn first_shape_brings_its_sentinel() {
    let Some(w) = world() else { return };
    for &shard in &w.shards {
        // SAFETY: no other thread uses this world; the slot is the class's sentinel.
        unsafe { *shard.add(BEGIN as usize - 1) = 0 };
    }
    on_one_shard(&w, || {
        // SAFETY: as above; the class as a new shard has it.
        unsafe { w.shards.iter().for_each(|&s| *s.add(CLASS) = INACTIVE.0) };
        let empty = Header::empty(BEGIN, CAPACITY).shape();
        // SAFETY: the class's own first shape.
        unsafe {
            reshape(&w.anchor, CLASS, BEGIN as usize, INACTIVE.shape(), empty)
                && pop(&w.anchor, CLASS) & 1 == 1
        }
    });
}

#[test]
fn stopped_shard_misses_every_operation() {
    let Some(w) = world() else { return };
    for i in 0..CIDS_PER_NODE * 8 {
        // SAFETY: no other thread uses this world's table.
        unsafe { *w.table.add(i) = MISS.base() };
    }
    let mut out = [0usize; 4];
    // SAFETY: MISS is a shard of headers; buffers are as long as told.
    unsafe {
        assert_eq!(pop(&w.anchor, CLASS) & 1, 1);
        assert!(!push(&w.anchor, CLASS, 16));
        assert!(!push_on_node(&w.anchor, CLASS, 16, 0) && !push_on_node(&w.anchor, CLASS, 16, 7));
        assert_eq!(push_batch(&w.anchor, CLASS, out.as_ptr(), 4, 0), 0);
        assert_eq!(pop_batch(&w.anchor, CLASS, BEGIN as usize, out.as_mut_ptr(), 4), 0);
        let empty = Header::empty(BEGIN, CAPACITY).shape();
        assert!(!reshape(&w.anchor, CLASS, BEGIN as usize, INACTIVE.shape(), empty));
    }
}

#[test]
fn words_change_only_for_their_owner() {
    let Some(w) = world() else { return };
    let stranger = u32::MAX;
    let mut word = 0b1010u64;
    // SAFETY: the word is this thread's own.
    unsafe {
        assert_eq!(take(&w.anchor, &stranger, &mut word, !0), None);
        assert_eq!(put(&w.anchor, &stranger, &mut word, 1), None);
    }
    assert_eq!(word, 0b1010);
    on_one_shard(&w, || {
        // SAFETY: as above.
        unsafe {
            let me = w.anchor.shard_index().unwrap();
            let mut word = 0b1010u64;
            take(&w.anchor, &me, &mut word, 0b0110) == Some(0b0010)
                && put(&w.anchor, &me, &mut word, 0b0101) == Some(0b1000)
                && word == 0b1101
        }
    });
}

#[test]
fn no_object_lost_or_doubled_under_oversubscription() {
    let Some(w) = world() else { return };
    let threads = 8;
    let held: Vec<AtomicBool> = (0..4096).map(|_| AtomicBool::new(false)).collect();
    let next = AtomicU32::new(1);
    let bits = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                enter(&w.registration);
                let mut mine: Vec<usize> = Vec::new();
                for round in 0..200_000usize {
                    // SAFETY: class and anchor of this world.
                    let p = unsafe { pop(&w.anchor, CLASS) };
                    if p & 1 == 0 {
                        assert!(!held[p / 16].swap(true, Ordering::Relaxed), "handed out twice");
                        mine.push(p);
                    } else if mine.len() < 8 {
                        let fresh = next.fetch_add(1, Ordering::Relaxed) as usize;
                        if fresh < 4096 {
                            assert!(!held[fresh].swap(true, Ordering::Relaxed));
                            mine.push(fresh * 16);
                        }
                    }
                    if round % 3 != 0
                        && let Some(p) = mine.pop()
                    {
                        assert!(held[p / 16].swap(false, Ordering::Relaxed));
                        // SAFETY: as above; the object is given up.
                        if !unsafe { push(&w.anchor, CLASS, p) } {
                            assert!(!held[p / 16].swap(true, Ordering::Relaxed));
                            mine.push(p);
                        }
                    }
                }
                bits.fetch_add(mine.len() as u64, Ordering::Relaxed);
                leave(&w.registration);
            });
        }
    });
    let mut found = bits.load(Ordering::Relaxed);
    for &shard in &w.shards {
        // SAFETY: all threads have ended.
        let h = Header(unsafe { *shard.add(CLASS) });
        found += u64::from(h.current() - BEGIN);
    }
    let made = u64::from(next.load(Ordering::Relaxed) - 1).min(4095);
    assert_eq!(found, made, "every object is in a shard or in a hand");
}

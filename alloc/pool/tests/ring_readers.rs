//! Readers of rings: beside snapshots, beside writers that are held up, and in children of `fork`.
#![allow(unsafe_code)]

#[path = "support/sources.rs"]
mod sources;
mod support;

use cidpool::ring::{Drained, Reader, Refused, Ring, Snapshot, WhenFull};
use cidpool::{Pool, Source};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use sources::{interrupted, source};
use std::sync::{OnceLock, mpsc};
use std::thread;
use support::{Stop, in_child, until};

under_each_source!(
    a_snapshot_finds_what_is_whole_while_a_reader_passes_it,
    no_record_is_refused_where_a_reader_made_room_meanwhile,
);

fn ring() -> Ring {
    let pool = Pool::builder(Ring::item_len(32 << 10)).name("log").build().unwrap();
    Ring::new(&pool, WhenFull::DropNewest).unwrap()
}

static RING: OnceLock<Ring> = OnceLock::new();
static APPENDED: AtomicU64 = AtomicU64::new(0);
static DRAINED: AtomicU64 = AtomicU64::new(0);
static HANDLED: AtomicU64 = AtomicU64::new(0);
const SIGNALS: u64 = 300;

fn append() -> Result<(), Refused> {
    let number = APPENDED.load(SeqCst);
    RING.get().unwrap().append(&number.to_ne_bytes())?;
    APPENDED.fetch_add(1, SeqCst);
    Ok(())
}

fn wait_until_so_many_are_unread(most: u64) {
    until(|| APPENDED.load(SeqCst) <= DRAINED.load(SeqCst) + most);
}

/// Runs `work`, and above it, again and again, a handler that appends a record and returns when a
/// reader has had it: what the work has just seen of a ring is of the past then.
fn while_a_reader_passes(work: impl Fn() + Sync) {
    fn handler() {
        let _ = append();
        wait_until_so_many_are_unread(0);
        HANDLED.fetch_add(1, SeqCst);
    }
    let ring = RING.get_or_init(ring);
    let running = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut reader = ring.reader().unwrap();
            while running.load(SeqCst) {
                DRAINED.fetch_add(reader.drain(|_| {}).records, SeqCst);
            }
        });
        let _stop = Stop(&running);
        interrupted(1, handler, |_| {
            while HANDLED.load(SeqCst) < SIGNALS {
                work();
            }
        });
    });
    assert!(APPENDED.load(SeqCst) > 0 || source() == Source::None);
}

#[test]
#[ignore = "run under each source"]
fn a_snapshot_finds_what_is_whole_while_a_reader_passes_it() {
    while_a_reader_passes(|| {
        let ring = RING.get().unwrap();
        let mut snapshot = Snapshot::new(ring);
        for _ in 0..100 {
            ring.snapshot(&mut snapshot);
            assert!(snapshot.records().all(|record| record.payload.len() == 8));
        }
    });
}

/// There is room for a thousand records.
#[test]
#[ignore = "run under each source"]
fn no_record_is_refused_where_a_reader_made_room_meanwhile() {
    while_a_reader_passes(|| {
        wait_until_so_many_are_unread(500);
        assert_ne!(append(), Err(Refused::Full));
    });
}

fn drain(reader: &mut Reader<'_>) -> u64 {
    let drained = reader.drain(|_| {});
    assert_eq!(drained.lost, 0);
    drained.records
}

#[test]
fn a_child_has_a_reader_though_another_thread_of_its_parent_is_one() {
    let ring = ring();
    ring.append(b"record").unwrap();
    let running = AtomicBool::new(true);
    thread::scope(|scope| {
        let (ready, wait) = mpsc::channel();
        let (ring, running) = (&ring, &running);
        scope.spawn(move || {
            let reader = ring.reader();
            ready.send(()).unwrap();
            while running.load(SeqCst) {
                thread::yield_now();
            }
            drop(reader);
        });
        wait.recv().unwrap();
        let _stop = Stop(running);
        assert!(ring.reader().is_none(), "one at a time");
        in_child(|| {
            let Some(mut reader) = ring.reader() else { return false };
            drain(&mut reader) == 1 && ring.reader().is_none() && {
                drop(reader);
                ring.reader().is_some()
            }
        });
    });
    assert_eq!(drain(&mut ring.reader().unwrap()), 1);
}

#[test]
fn a_reader_is_one_in_the_child_too_if_no_other_one_came_first() {
    let ring = ring();
    ring.append(b"record").unwrap();
    let mut reader = ring.reader().unwrap();
    in_child(|| drain(&mut reader) == 1 && ring.reader().is_none());
    in_child(|| {
        let mut other = ring.reader().unwrap();
        let nothing = reader.drain(|_| {}) == Drained::default();
        drop(reader);
        nothing && ring.reader().is_none() && drain(&mut other) == 1
    });
}

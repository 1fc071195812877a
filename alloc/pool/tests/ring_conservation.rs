//! Each record that was appended is read once, whole, and in order; or it is counted.
#![allow(unsafe_code)]

#[path = "support/sources.rs"]
mod sources;
mod support;

use cidpool::ring::{Drained, Reader, Refused, Ring, Snapshot, WhenFull, ticks};
use cidpool::{Place, Pool, Source};
use core::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use core::time::Duration;
use sources::{interrupted, many_threads, source};
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;
use std::thread;
use std::time::Instant;
use support::{Done, Stop};

under_each_source!(
    each_record_that_was_not_refused_is_read_once,
    what_was_overwritten_is_counted_and_what_is_left_is_whole,
    handlers_append_too,
    a_snapshot_that_is_overtaken_has_no_holes,
    a_snapshot_takes_nothing_out,
    the_longest_record_fits_and_a_longer_one_does_not,
);

fn ring(bytes: usize, when_full: WhenFull) -> Ring {
    let pool = Pool::builder(Ring::item_len(bytes)).name("log").stride(128 << 10).build().unwrap();
    Ring::new(&pool, when_full).unwrap()
}

/// A record that tells whether it is whole: who, which one, and then bytes that follow from these.
fn record(buffer: &mut [u8; 256], who: u64, number: u64) -> &[u8] {
    let length = 16 + (who.wrapping_mul(31) ^ number.wrapping_mul(7)) as usize % 180;
    buffer[..8].copy_from_slice(&who.to_le_bytes());
    buffer[8..16].copy_from_slice(&number.to_le_bytes());
    for (i, byte) in buffer[16..length].iter_mut().enumerate() {
        *byte = (who * 17 + number * 3 + i as u64) as u8;
    }
    &buffer[..length]
}

/// Who and which one, of a record that is whole.
fn parse(payload: &[u8]) -> (u64, u64) {
    let word = |at: usize| u64::from_le_bytes(payload[at..at + 8].try_into().unwrap());
    let (who, number) = (word(0), word(8));
    assert_eq!(payload, record(&mut [0; 256], who, number), "who {who} number {number}");
    (who, number)
}

/// What a reader saw of each place, which has to ascend.
#[derive(Default)]
struct Seen {
    last: HashMap<Place, (u64, u32)>,
    numbers: HashSet<(u64, u64)>,
    total: Drained,
}

impl Seen {
    fn drain(&mut self, reader: &mut Reader<'_>) -> u64 {
        let mut stamp = 0;
        let drained = reader.drain(|record| {
            assert!(record.stamp >= stamp, "time order");
            stamp = record.stamp;
            let last = self.last.insert(record.place, (record.stamp, record.sequence));
            assert!(
                    last.is_none_or(
                        |(stamp, number)| stamp <= record.stamp && number < record.sequence
                    ),
                    "{last:?} before {record:?}"
                );
            assert!(self.numbers.insert(parse(record.payload)), "twice");
        });
        self.total.records += drained.records;
        self.total.lost += drained.lost;
        drained.records
    }
}

/// Appends from many threads, with a reader beside them; returns how many were appended and refused.
fn storm(ring: &Ring, each: u64, mut beside: impl FnMut()) -> (u64, u64) {
    let (appended, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        for who in 0..many_threads() as u64 {
            let (appended, refused, done) = (&appended, &refused, &done);
            scope.spawn(move || {
                let _done = Done(done);
                let mut buffer = [0; 256];
                for number in 0..each {
                    match ring.append(record(&mut buffer, who, number)) {
                        Ok(()) => appended.fetch_add(1, Relaxed),
                        Err(_) => refused.fetch_add(1, Relaxed),
                    };
                }
            });
        }
        while done.load(SeqCst) < many_threads() {
            beside();
            thread::yield_now();
        }
    });
    (appended.into_inner(), refused.into_inner())
}

#[test]
#[ignore = "run under each source"]
fn each_record_that_was_not_refused_is_read_once() {
    for bytes in [4096, 64 << 10] {
        let ring = ring(bytes, WhenFull::DropNewest);
        let mut reader = ring.reader().unwrap();
        assert!(ring.reader().is_none(), "one at a time");
        let mut seen = Seen::default();
        let (appended, refused) = storm(&ring, 10_000, || _ = seen.drain(&mut reader));
        while seen.drain(&mut reader) > 0 {}
        assert_eq!(seen.total, Drained { records: appended, lost: 0 });
        assert_eq!(ring.dropped(), refused);
        assert_eq!(appended + refused, 10_000 * many_threads() as u64);
        assert!(appended > 0 || source() == Source::None);
        drop(reader);
        assert!(ring.reader().is_some());
    }
}

#[test]
#[ignore = "run under each source"]
fn what_was_overwritten_is_counted_and_what_is_left_is_whole() {
    for bytes in [4096, 64 << 10] {
        let ring = ring(bytes, WhenFull::Overwrite);
        let (mut reader, mut snapshot) = (ring.reader().unwrap(), Snapshot::new(&ring));
        let (mut seen, mut looks) = (Seen::default(), 0);
        let (appended, refused) = storm(&ring, 10_000, || {
            looks += 1;
            // Now and then only, so that there is something to overwrite.
            if looks % 8 == 0 {
                seen.drain(&mut reader);
            }
            ring.snapshot(&mut snapshot);
            snapshot.records().for_each(|record| _ = parse(record.payload));
        });
        while seen.drain(&mut reader) > 0 {}
        assert_eq!(seen.total.records + seen.total.lost, appended, "{:?}", seen.total);
        assert_eq!(ring.dropped(), refused);
        assert!(seen.total.records > 0 || source() == Source::None);
    }
}

#[test]
#[ignore = "run under each source"]
fn handlers_append_too() {
    static RING: OnceLock<Ring> = OnceLock::new();
    static HANDLED: AtomicU64 = AtomicU64::new(0);
    static REFUSED: AtomicU64 = AtomicU64::new(0);
    static REFUSED_IN_HANDLERS: AtomicU64 = AtomicU64::new(0);
    const HANDLER: u64 = 1 << 40;
    let ring = RING.get_or_init(|| ring(64 << 10, WhenFull::DropNewest));
    let handler = || {
        let number = HANDLED.fetch_add(1, Relaxed);
        if RING.get().unwrap().append(record(&mut [0; 256], HANDLER, number)).is_err() {
            REFUSED_IN_HANDLERS.fetch_add(1, Relaxed);
        }
    };
    let (mut seen, running) = (Seen::default(), AtomicBool::new(true));
    let mut reader = ring.reader().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            while running.load(SeqCst) {
                seen.drain(&mut reader);
            }
        });
        let _stop = Stop(&running);
        interrupted(many_threads(), handler, |who| {
            for number in 0..10_000 {
                if ring.append(record(&mut [0; 256], who as u64, number)).is_err() {
                    REFUSED.fetch_add(1, Relaxed);
                }
            }
        });
    });
    while seen.drain(&mut reader) > 0 {}
    let of_handlers = seen.numbers.iter().filter(|&&(who, _)| who == HANDLER).count() as u64;
    assert!(HANDLED.load(Relaxed) > 0);
    // That the ring is full whenever a handler comes by is a matter of luck, and no loss.
    assert_eq!(of_handlers + REFUSED_IN_HANDLERS.load(Relaxed), HANDLED.load(Relaxed));
    let of_threads = seen.total.records - of_handlers;
    assert_eq!(of_threads + REFUSED.load(Relaxed), 10_000 * many_threads() as u64);
}

/// Records are of one length, of which the ring holds a whole number: what was written over them lies
/// as they did, and only the sequence tells.
#[test]
#[ignore = "run under each source"]
fn a_snapshot_that_is_overtaken_has_no_holes() {
    static RING: OnceLock<Ring> = OnceLock::new();
    static APPENDED: AtomicU64 = AtomicU64::new(0);
    const PAYLOAD: usize = 48;
    const RECORDS: usize = 512 / (PAYLOAD / 8 + 2);
    let ring = RING.get_or_init(|| ring(4096, WhenFull::Overwrite));
    // Goes once round the ring, in the middle of whatever the reader is at.
    let handler = || {
        let ring = RING.get().unwrap();
        for byte in 0..RECORDS as u8 {
            APPENDED.fetch_add(ring.append(&[byte; PAYLOAD]).is_ok().into(), Relaxed);
        }
    };
    interrupted(1, handler, |_| {
        let mut snapshot = Snapshot::new(ring);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(500) {
            ring.snapshot(&mut snapshot);
            let mut last = HashMap::new();
            for record in snapshot.records() {
                let before = last.insert(record.place, record.sequence);
                let is_next = before.is_none_or(|before| before.wrapping_add(1) == record.sequence);
                assert!(is_next, "{before:?} before {record:?}");
                assert!(record.payload.iter().all(|&byte| byte == record.payload[0]), "{record:?}");
            }
        }
    });
    assert!(APPENDED.load(Relaxed) > 0 || source() == Source::None);
}

#[test]
#[ignore = "run under each source"]
fn a_snapshot_takes_nothing_out() {
    for when_full in [WhenFull::DropNewest, WhenFull::Overwrite] {
        let ring = ring(4096, when_full);
        let appended =
            (0..10).filter(|&n| ring.append(record(&mut [0; 256], 1, n)).is_ok()).count();
        let mut snapshot = Snapshot::new(&ring);
        for _ in 0..2 {
            ring.snapshot(&mut snapshot);
            for _ in 0..2 {
                let numbers: Vec<_> =
                    snapshot.records().map(|record| parse(record.payload).1).collect();
                assert_eq!(numbers.len(), appended);
                assert!(numbers.is_sorted());
            }
        }
        let drained = ring.reader().unwrap().drain(|_| {});
        assert_eq!(drained, Drained { records: appended as u64, lost: 0 });
        assert_eq!(ring.reader().unwrap().drain(|_| {}), Drained::default());
        ring.snapshot(&mut snapshot);
        let left = if when_full == WhenFull::Overwrite { appended } else { 0 };
        assert_eq!(snapshot.records().count(), left);
    }
}

#[test]
#[ignore = "run under each source"]
fn the_longest_record_fits_and_a_longer_one_does_not() {
    let pool = Pool::builder(Ring::item_len(64 << 10)).stride(128 << 10).build().unwrap();
    let ring = Ring::with_stamps(&pool, WhenFull::Overwrite, ticks).unwrap();
    let bytes: Vec<u8> = (0..ring.payload_max() + 1).map(|i| i as u8).collect();
    assert_eq!(ring.append(&bytes), Err(Refused::TooLong));
    let mut snapshot = Snapshot::new(&ring);
    for length in 0..bytes.len() {
        let expected = if source() == Source::None { Err(Refused::NoCid) } else { Ok(()) };
        assert_eq!(ring.append(&bytes[..length]), expected);
        if length % 37 == 0 && expected.is_ok() {
            ring.snapshot(&mut snapshot);
            assert!(snapshot.records().any(|record| record.payload == &bytes[..length]));
        }
    }
}

/// The rings of one place hold some of its newest records, however often they went around.
#[test]
fn what_is_left_is_the_newest() {
    let ring = ring(4096, WhenFull::Overwrite);
    for number in 0..100_000 {
        ring.append(record(&mut [0; 256], 1, number)).unwrap();
    }
    let mut snapshot = Snapshot::new(&ring);
    ring.snapshot(&mut snapshot);
    let numbers: Vec<_> = snapshot.records().map(|record| parse(record.payload).1).collect();
    assert!(numbers.is_sorted() && numbers.last() == Some(&99_999), "{numbers:?}");
    assert!(numbers.len() > 5);
}

#[test]
fn stamps_of_one_place_never_descend_though_the_clock_goes_back() {
    fn backwards() -> u64 {
        static NOW: AtomicU64 = AtomicU64::new(1 << 40);
        NOW.fetch_sub(1, Relaxed)
    }
    let pool = Pool::builder(Ring::item_len(4096)).build().unwrap();
    let ring = Ring::with_stamps(&pool, WhenFull::Overwrite, backwards).unwrap();
    let (mut snapshot, mut last) = (Snapshot::new(&ring), HashMap::new());
    for number in 0..1000 {
        ring.append(record(&mut [0; 256], 1, number)).unwrap();
        ring.snapshot(&mut snapshot);
        let newest = snapshot.records().max_by_key(|record| parse(record.payload).1).unwrap();
        let before = last.insert(newest.place, newest.stamp).unwrap_or(0);
        assert!(before <= newest.stamp, "{before} before {newest:?}");
    }
}

#[test]
fn a_child_of_fork_has_what_was_there_and_goes_on_by_itself() {
    let ring = ring(4096, WhenFull::DropNewest);
    ring.append(record(&mut [0; 256], 1, 1)).unwrap();
    support::in_child(|| {
        ring.append(record(&mut [0; 256], 1, 2)).unwrap();
        let mut seen = Seen::default();
        seen.drain(&mut ring.reader().unwrap());
        seen.numbers.len() == 2
    });
    let mut seen = Seen::default();
    seen.drain(&mut ring.reader().unwrap());
    assert_eq!(seen.numbers, HashSet::from([(1, 1)]));
}

//! Where the leases of threads live: records by number, in memory that is never unmapped.
//!
//! ```text
//!  CHUNKS  ─► 1024 records of 64 B ─► …       mapped when the first of them is needed
//!  next      first number that nobody ever had
//!  free      stack of numbers that were given back      {tag, number}
//! ```
//!
//! Whoever stops a cid looks at its holder's record, however long ago it learned the number: the
//! holder may have ended since, and its record may be another thread's. So there always is one.
#![allow(unsafe_code)]

use crate::config::PAGE;
use crate::os;
use core::ptr::null_mut;
use rseq_sys::lease::Lease;
use rseq_sys::sync::{
    AtomicPtr, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// What is known of a thread that needs emulated cids.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Record {
    /// Its lease: the first field, since the thread's own word leads to it.
    pub lease: Lease,
    /// The record's number, from 1.
    number: AtomicU32,
    /// The cid that it holds, or held last.
    pub cid: AtomicU32,
    /// How often its end was announced.
    pub farewells: AtomicU32,
    next: AtomicU32,
}

const _: () = assert!(size_of::<Record>() == 64 && core::mem::offset_of!(Record, lease) == 0);

/// The record of threads at their end: it holds nothing, and has no number.
pub static ENDED: Record = Record {
    lease: Lease::ended(),
    number: AtomicU32::new(0),
    cid: AtomicU32::new(NO_CID),
    farewells: AtomicU32::new(0),
    next: AtomicU32::new(0),
};

/// No cid.
pub const NO_CID: u32 = u32::MAX;
/// Numbers are below 2³⁰: two of them fit into a word, beside a tag.
pub const NUMBER_BITS: u32 = 30;

const CHUNK: usize = PAGE / size_of::<Record>();
/// As many as Linux has threads, at most: 4 Mi.
const CHUNKS: usize = 4096;
const _: () = assert!(CHUNKS * CHUNK < 1 << NUMBER_BITS);

static CHUNK_AT: [AtomicPtr<Record>; CHUNKS] = [const { AtomicPtr::new(null_mut()) }; CHUNKS];
/// The number before the first that nobody ever had.
static LAST: AtomicU32 = AtomicU32::new(0);
/// Tag in the high half, against reuse of a head.
static FREE: AtomicU64 = AtomicU64::new(0);

impl Record {
    /// Its number, from 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number.load(Relaxed)
    }
}

/// Record `number`, which somebody has, or had.
#[must_use]
pub fn at(number: u32) -> &'static Record {
    let (chunk, index) = (number as usize / CHUNK, number as usize % CHUNK);
    // SAFETY: a chunk is mapped for ever before a number of it is known; zero is a record.
    unsafe { &*CHUNK_AT[chunk].load(Acquire).add(index) }
}

/// A record for a new thread; `None` when memory or numbers have ended. Not to be interrupted by
/// a handler that may fork.
#[must_use]
pub fn take() -> Option<&'static Record> {
    let number = pop().or_else(fresh)?;
    let record = at(number);
    record.number.store(number, Relaxed);
    record.cid.store(NO_CID, Relaxed);
    record.farewells.store(0, Relaxed);
    Some(record)
}

/// Takes back the record of a thread that has ended.
pub fn give_back(record: &Record) {
    let mut head = FREE.load(Relaxed);
    loop {
        record.next.store(head as u32, Relaxed);
        match FREE.compare_exchange_weak(head, retag(head, record.number()), Release, Relaxed) {
            Ok(_) => return,
            Err(other) => head = other,
        }
    }
}

/// In a child of `fork`: of all threads there is only the one with record `number`, or 0.
pub fn forget_all_but(number: u32) {
    LAST.store(number, Relaxed);
    FREE.store(retag(FREE.load(Relaxed), 0), Relaxed);
    (1..number).for_each(|other| give_back(at(other)));
}

/// Records that were ever in use at the same time.
#[must_use]
pub fn most() -> u32 {
    LAST.load(Relaxed)
}

fn pop() -> Option<u32> {
    let mut head = FREE.load(Acquire);
    while head as u32 != 0 {
        // May be another thread's by now; then the tag has changed.
        let next = at(head as u32).next.load(Relaxed);
        match FREE.compare_exchange_weak(head, retag(head, next), AcqRel, Acquire) {
            Ok(_) => return Some(head as u32),
            Err(other) => head = other,
        }
    }
    None
}

fn fresh() -> Option<u32> {
    let take = |last: u32| {
        let number = last + 1;
        ((number as usize) < CHUNKS * CHUNK && is_mapped(number as usize / CHUNK)).then_some(number)
    };
    LAST.try_update(Relaxed, Relaxed, take).ok().map(|last| last + 1)
}

/// Maps a chunk, unless it is there.
fn is_mapped(chunk: usize) -> bool {
    if !CHUNK_AT[chunk].load(Acquire).is_null() {
        return true;
    }
    let Ok(memory) = os::reserve(PAGE) else { return false };
    // SAFETY: ours alone, just reserved.
    if unsafe { os::commit(memory.as_ptr(), PAGE) }.is_err() {
        // SAFETY: nobody knows of it.
        unsafe { os::release(memory.as_ptr(), PAGE) };
        return false;
    }
    let records = memory.as_ptr().cast();
    if CHUNK_AT[chunk].compare_exchange(null_mut(), records, AcqRel, Acquire).is_err() {
        // SAFETY: another thread's chunk became known instead.
        unsafe { os::release(memory.as_ptr(), PAGE) };
    }
    true
}

fn retag(head: u64, number: u32) -> u64 {
    ((head >> 32).wrapping_add(1) << 32) | u64::from(number)
}

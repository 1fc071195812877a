//! Where the leases of threads live: records by number, in memory that is never unmapped.
//!
//! ```text
//!  CHUNKS  ─► 1024 records of 64 B ─► …       mapped when the first of them is needed
//!  next      first number that nobody ever had
//!  free      stack of numbers that were given back      {tag, number}
//!  owner     whose it is: kept until it is given back   {tag, process, thread}
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
    owner: AtomicU64,
}

/// The thread that took a record, and which time that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner(u64);

/// Numbers of processes and threads are below 2²² (`PID_MAX_LIMIT`).
const TASK_BITS: u32 = 22;
const TASK: u64 = (1 << TASK_BITS) - 1;
const TASKS: u64 = TASK << TASK_BITS | TASK;

impl Owner {
    /// The calling thread, the next time.
    fn me_after(self) -> Self {
        let (process, thread) = (os::process_id() as u64 & TASK, os::thread_id() as u64 & TASK);
        Self((self.0 & !TASKS).wrapping_add(TASKS + 1) | process << TASK_BITS | thread)
    }
    /// The same time, and nobody's.
    fn nobody_after(self) -> Self {
        Self(self.0 & !TASKS)
    }
    /// Whether the record was given back.
    #[must_use]
    pub fn is_nobody(self) -> bool {
        self.0 & TASKS == 0
    }
    /// Its process.
    #[must_use]
    pub fn process(self) -> i32 {
        (self.0 >> TASK_BITS & TASK) as i32
    }
    /// Its thread.
    #[must_use]
    pub fn thread(self) -> i32 {
        (self.0 & TASK) as i32
    }
}

const _: () = assert!(size_of::<Record>() == 64 && core::mem::offset_of!(Record, lease) == 0);

/// The record of threads at their end: it holds nothing, and has no number.
pub static ENDED: Record = Record {
    lease: Lease::ended(),
    number: AtomicU32::new(0),
    cid: AtomicU32::new(NO_CID),
    farewells: AtomicU32::new(0),
    next: AtomicU32::new(0),
    owner: AtomicU64::new(0),
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
/// With so many records, owners that are no more are looked for before there is another one.
static LOOK_AT: AtomicU32 = AtomicU32::new(LOOK_FIRST);
const LOOK_FIRST: u32 = if cfg!(cidalloc_model) { 2 } else { 64 };

impl Record {
    /// Its number, from 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number.load(Relaxed)
    }
    /// Whose it is.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner(self.owner.load(Acquire))
    }
    /// Takes the record from `owner`, which is no more; false when somebody else did, or it was
    /// given back meanwhile.
    #[must_use]
    pub fn disown(&self, owner: Owner) -> bool {
        let nobody = owner.nobody_after().0;
        self.owner.compare_exchange(owner.0, nobody, AcqRel, Relaxed).is_ok()
    }
}

/// All records that anybody ever had.
pub fn all() -> impl Iterator<Item = &'static Record> {
    (1..=LAST.load(Acquire)).map(at)
}

/// Whether no record is free, and there are twice as many as were in use at the last look.
#[must_use]
pub fn is_look_due() -> bool {
    FREE.load(Relaxed) as u32 == 0 && LAST.load(Relaxed) >= LOOK_AT.load(Relaxed)
}

/// Of all records `alive` were found in use.
pub fn looked(alive: u32) {
    LOOK_AT.store((alive * 2).max(LOOK_FIRST), Relaxed);
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
    record.owner.store(record.owner().me_after().0, Release);
    Some(record)
}

/// Takes back the record of a thread that has ended.
pub fn give_back(record: &Record) {
    record.owner.store(record.owner().nobody_after().0, Release);
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
    if number != 0 {
        let mine = at(number);
        mine.owner.store(mine.owner().me_after().0, Release);
    }
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

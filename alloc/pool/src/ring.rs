//! A log per cid: records in a ring of words, and a reader that gets all that there are in time order.
//!
//! ```text
//!  an item, in each copy
//!  ┌──────┬──────┬─────────┬──────┬──────────────────────────────────────────────────┐
//!  │ head │ tail │ dropped │ seen │ words: a power of two                            │
//!  └──────┴──────┴─────────┴──────┴──────────────────────────────────────────────────┘
//!   head: ticket (20 bits), position (44 bits): words that were ever appended, modulo the ring's length
//!         an index. tail, seen: written by the reader alone
//!
//!  a record                                          trailer
//!  ┌───────────────────────┬───────┬─────────┐       ┌──────────────┬────────┬──────────────────┐
//!  │ payload, whole words  │ stamp │ trailer │       │ sequence, 32 │ filler │ bytes of payload │
//!  └───────────────────────┴───────┴─────────┘       └──────────────┴────────┴──────────────────┘
//! ```
//!
//! A record is appended by one section: if the head is as it was, copy the record behind it, and store
//! the head. What is interrupted has written where no record is. One that would go over the end of the
//! words is preceded by a filler up to there. Records are read from the last one backwards, by their
//! trailers, for nobody knows where in the words the oldest one that is left begins.
//!
//! HEAD-IS-UNIQUE: no two copies ever have the same head, but the 0 of those without a record. A copy's
//! first append gives it a ticket that is drawn once. So whatever was seen at a copy whose head was h
//! (tail, the last sequence number, the clock) is true of the copy at which a section finds h: it is
//! the same one, and nothing was appended to it since.
//!
//! Hence sequence numbers have no holes: a hole in what a reader gets is a record that was overwritten
//! before. And stamps of a copy never descend, whatever the clock says: one that is below the last
//! record's is replaced by that.
//!
//! Time order is that of the records which are there when a reader, or a snapshot, comes by. It goes from
//! copy to copy meanwhile: so a record that is appended behind it may be earlier than one that it got
//! from a later copy, and comes the next time.
//!
//! # Full
//! [`WhenFull::DropNewest`]: records between tail and head stay until the reader has them; what does not
//! fit is refused, and counted. [`WhenFull::Overwrite`]: nobody waits for a reader, who gets what is
//! left. A section under way may write up to a longest record beyond the head, so that much of the
//! ring's oldest is never trusted; nor what the head, looked at again, went over while it was copied.
//!
//! # Signal handlers, fork
//! An append allocates nothing, waits for nobody, and is for signal handlers. So is
//! [`Ring::snapshot`], into memory that was allocated before: for the last words of a process that
//! crashes. In a child of `fork` the ring is as it was, and the child's own.

use crate::block::{Block, NewError};
use crate::cids;
use crate::field::WORD;
use crate::here::settled_copy_number;
use crate::pool::Pool;
use core::fmt;
use core::mem::MaybeUninit;
use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed},
};
use record::{Head, RECORD_WORDS_MAX, Trailer};
use rseq_sys::copies::Outcome;

mod reader;
mod record;
mod snapshot;
mod stamp;

pub use reader::{Drained, Reader};
pub use snapshot::{Record, Records, Snapshot};
pub use stamp::{monotonic_ns, ticks};

const HEAD: usize = 0;
const TAIL: usize = 1;
const DROPPED: usize = 2;
const SEEN: usize = 3;
/// Words of an item before those of the ring.
const BEFORE: usize = 4;
/// The fewest words of a ring.
const WORDS_MIN: usize = 16;

/// What becomes of a record that finds no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// It is refused: what is in the ring stays until it was read.
    DropNewest,
    /// It takes the room of the oldest ones.
    Overwrite,
}

/// Why a record was not appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The current cid's ring is full of records that nobody has read.
    Full,
    /// It is longer than [`Ring::payload_max`].
    TooLong,
    /// The thread has no cid now.
    NoCid,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the ring of the current concurrency id is full",
            Self::TooLong => "the record is longer than a ring takes",
            Self::NoCid => "the thread has no concurrency id now",
        })
    }
}
impl core::error::Error for Refused {}

/// A ring of records per cid. See the [module](self).
///
/// ```
/// use cidpool::{Pool, Ring, WhenFull};
///
/// let pool = Pool::builder(Ring::item_len(4096)).name("trace").build()?;
/// let ring = Ring::new(&pool, WhenFull::DropNewest)?;
/// let appended = ring.append(b"hello").is_ok();
/// let mut reader = ring.reader().expect("there is no other one");
/// let mut seen = Vec::new();
/// reader.drain(|record| seen.push(record.payload.to_vec()));
/// assert!(seen == [b"hello"] || !appended);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A record is lent for as long as it is looked at:
///
/// ```compile_fail
/// # use cidpool::{Pool, Ring, WhenFull};
/// # let pool = Pool::builder(Ring::item_len(4096)).build().unwrap();
/// # let ring = Ring::new(&pool, WhenFull::DropNewest).unwrap();
/// let mut kept = Vec::new();
/// ring.reader().unwrap().drain(|record| kept.push(record.payload)); // error: it escapes
/// ```
/// ```compile_fail
/// # use cidpool::{Pool, Ring, WhenFull};
/// # let pool = Pool::builder(Ring::item_len(4096)).build().unwrap();
/// # let ring = Ring::new(&pool, WhenFull::Overwrite).unwrap();
/// let mut snapshot = cidpool::Snapshot::new(&ring);
/// let mut records = snapshot.records();
/// ring.snapshot(&mut snapshot); // error: borrowed by `records`
/// records.next();
/// ```
#[derive(Debug)]
pub struct Ring {
    block: Block,
    /// One less than the number of words.
    mask: usize,
    record_words_max: usize,
    when_full: WhenFull,
    stamp: fn() -> u64,
    /// Tickets that were drawn.
    tickets: AtomicU64,
    /// Records of threads without a cid.
    without: AtomicU64,
    /// Whose the reader is, by the process: see `reader`.
    read_by: AtomicU32,
}

#[allow(unsafe_code)]
impl Ring {
    /// The length of an item for rings of `bytes`, which is rounded up to a power of two.
    #[must_use]
    pub const fn item_len(bytes: usize) -> usize {
        let words = bytes.div_ceil(WORD).next_power_of_two();
        (BEFORE + if words < WORDS_MIN { WORDS_MIN } else { words }) * WORD
    }

    /// Rings as long as `pool`'s items are: the largest power of two that fits (see
    /// [`Self::item_len`]). Records are stamped with [`monotonic_ns`].
    ///
    /// # Errors
    /// As [`PerCid::new`](crate::PerCid::new).
    pub fn new(pool: &Pool, when_full: WhenFull) -> Result<Self, NewError> {
        Self::with_stamps(pool, when_full, monotonic_ns)
    }

    /// As [`Self::new`], with a clock of the caller's: one that never goes back, wherever a thread is
    /// moved, and that is for signal handlers if the ring is. [`ticks`] is the fastest one. Where it does
    /// go back, records of one cid have the last one's stamp for a while, and those of different cids
    /// come in a wrong order.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_stamps(
        pool: &Pool,
        when_full: WhenFull,
        stamp: fn() -> u64,
    ) -> Result<Self, NewError> {
        let block = Block::zeroed(pool, BEFORE + WORDS_MIN)?;
        let words = 1usize << (block.words() - BEFORE).ilog2();
        Ok(Self {
            block,
            mask: words - 1,
            record_words_max: RECORD_WORDS_MAX.min(words / 4),
            when_full,
            stamp,
            tickets: AtomicU64::new(0),
            without: AtomicU64::new(0),
            read_by: AtomicU32::new(reader::NOBODY),
        })
    }

    /// The longest payload of a record, in bytes.
    #[must_use]
    pub fn payload_max(&self) -> usize {
        (self.record_words_max - record::OVERHEAD) * WORD
    }

    /// Words of the ring of one cid.
    fn words(&self) -> usize {
        self.mask + 1
    }

    /// Appends a record to the current cid's ring.
    ///
    /// # Errors
    /// See [`Refused`]. The first and the last one are counted: [`Self::dropped`].
    #[inline]
    pub fn append(&self, payload: &[u8]) -> Result<(), Refused> {
        if payload.len() > self.payload_max() {
            return Err(Refused::TooLong);
        }
        let words = Trailer::record(payload.len(), 0).words();
        let mut record = [const { MaybeUninit::<u64>::uninit() }; RECORD_WORDS_MAX];
        for (word, bytes) in record.iter_mut().zip(payload.chunks(WORD)) {
            let mut whole = [0; WORD];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.write(u64::from_ne_bytes(whole));
        }
        let (cids, shift) = (self.block.cids(), self.block.shift());
        let mut ticket = None;
        while let Some(here) = settled_copy_number(cids) {
            let copy = self.block.copy(here);
            let Some(head) = Head::of(copy[HEAD].load(Acquire)) else {
                self.begin(&mut ticket)?;
                continue;
            };
            let index = head.position() as usize & self.mask;
            let left = self.words() - index;
            let needed = if left < words { left + words } else { words };
            if self.when_full == WhenFull::DropNewest {
                // Of a head that is not the copy's any more it cannot be known.
                let tail = copy[TAIL].load(Acquire);
                let Some(unread) = head.unread(tail, self.words()) else { continue };
                if unread + needed > self.words() {
                    return Err(self.drop_newest());
                }
            }
            let (next, last_stamp) = self.after(copy, head.position());
            let head_at = self.block.word(HEAD);
            let outcome = if left < words {
                let filler = Trailer::filler(left, next.wrapping_sub(1));
                let (new, last_at) = (head.moved(left), self.block.word(BEFORE + self.mask));
                // SAFETY: two words of the item; nobody trusts what lies beyond the head.
                unsafe {
                    cids::compare_store_store(
                        cids, shift, head_at, head.0, new.0, last_at, filler.0,
                    )
                }
            } else {
                record[words - 2].write((self.stamp)().max(last_stamp));
                record[words - 1].write(Trailer::record(payload.len(), next).0);
                let (new, to) = (head.moved(words), self.block.word(BEFORE + index).cast());
                let (from, bytes) = (record.as_ptr().cast(), words * WORD);
                // SAFETY: so many words of the item are left, and are written in `record`; nobody trusts
                // what lies beyond the head.
                unsafe {
                    cids::compare_copy_store(cids, shift, head_at, head.0, new.0, to, from, bytes)
                }
            };
            match outcome {
                Outcome::Done(_) if left < words => {}
                Outcome::Done(_) => return Ok(()),
                Outcome::Differs(_) => {}
                Outcome::NoCid => break,
            }
        }
        self.without.fetch_add(1, Relaxed);
        Err(Refused::NoCid)
    }

    /// The sequence number of a record at `position`, and the stamp of the one before it, or 0.
    #[inline(always)]
    fn after(&self, copy: &[AtomicU64], position: u64) -> (u32, u64) {
        if position == 0 {
            return (0, 0);
        }
        let before = |words: usize| {
            let index = (position as usize).wrapping_sub(words) & self.mask;
            copy[BEFORE + index].load(Relaxed)
        };
        let last = Trailer(before(1));
        // A filler, that of the last record before it, comes where the words begin again.
        let filler = if last.is_filler() { last.words() } else { 0 };
        (last.sequence().wrapping_add(1), before(filler + record::OVERHEAD))
    }

    /// Gives the current copy a head, if it has none yet. One ticket does for an append.
    #[cold]
    fn begin(&self, ticket: &mut Option<Head>) -> Result<(), Refused> {
        let drawn = ticket.or_else(|| Head::first(self.tickets.fetch_add(1, Relaxed) + 1));
        let Some(head) = drawn else {
            // A million copies: there are no more numbers to tell them apart by.
            self.without.fetch_add(1, Relaxed);
            return Err(Refused::NoCid);
        };
        *ticket = Some(head);
        // SAFETY: a word of the item.
        let outcome = unsafe {
            let (cids, shift) = (self.block.cids(), self.block.shift());
            cids::compare_store(cids, shift, self.block.word(HEAD), 0, head.0)
        };
        match outcome {
            Outcome::Done(_) => *ticket = None,
            Outcome::Differs(_) => {}
            Outcome::NoCid => {
                self.without.fetch_add(1, Relaxed);
                return Err(Refused::NoCid);
            }
        }
        Ok(())
    }

    #[cold]
    fn drop_newest(&self) -> Refused {
        let (cids, shift) = (self.block.cids(), self.block.shift());
        // SAFETY: a word of the item.
        if !unsafe { cids::add(cids, shift, self.block.word(DROPPED), 1) } {
            self.without.fetch_add(1, Relaxed);
        }
        Refused::Full
    }

    /// Records that were refused as [`Refused::Full`] or [`Refused::NoCid`].
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let copies = (0..self.block.copies()).map(|n| self.block.copy(n)[DROPPED].load(Relaxed));
        copies.fold(self.without.load(Relaxed), u64::wrapping_add)
    }

    /// The ring's reader, unless there is one already. Allocates.
    ///
    /// In a child of `fork` there is none at first. One that the forking thread had becomes the child's
    /// with its first drain; if another one came before, it gets nothing any more.
    #[must_use]
    pub fn reader(&self) -> Option<Reader<'_>> {
        Reader::new(self)
    }

    /// Copies all records that are there now into `snapshot`, and leaves them where they are. Those
    /// that are appended meanwhile may be missing, though later ones of other cids are there; so may
    /// those that a reader takes out meanwhile.
    ///
    /// # Panics
    /// If `snapshot` was made for a ring of another length.
    pub fn snapshot(&self, snapshot: &mut Snapshot) {
        snapshot.fill(self, false);
    }
}

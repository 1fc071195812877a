//! Operations on one word of the current cid's copy, and what comes of them.
//!
//! ```text
//!  handle.word(field!(T, x)) ─► Word ──┬─ add, load, compare_store …   a section: the copy of the
//!         ▲                            │                               cid that the thread has then
//!         └───── borrowed ─────────────┘
//! ```
//!
//! Each operation finds the copy by itself, and is done there as a whole or not at all. Nothing
//! says that the next one is at the same copy: a thread's cid may change between any two. What has
//! to be done together goes into one operation (`compare_two_store`, `compare_store_store`,
//! `compare_copy_store`), whose comparison tells whether the copy is as it was when it was looked at.
//!
//! The contract of each is `rseq_sys::copies`': here it is repeated in its own words.

use crate::cids;
use crate::field::{Field, WORD, Word};
use crate::per_cid::PerCid;
use bytemuck::Pod;
use cidalloc::percid::Cids;
use core::fmt;
use rseq_sys::copies::{COPY_MAX, Outcome};

/// The calling thread has no cid now: the operation was not done.
///
/// For good, where cids come from nothing (`CIDALLOC_CID=none`); for the moment, in a signal handler
/// above an operation under an emulated cid, and while other threads hold all of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoCid;

impl fmt::Display for NoCid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the thread has no concurrency id now")
    }
}
impl core::error::Error for NoCid {}

/// What came of an operation that compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared<W> {
    /// It was as expected, and is replaced.
    Stored,
    /// Nothing was done: a word of the copy was this, and not what was expected.
    Differs(W),
}

/// One word of a [`PerCid`], in whichever copy is the current cid's.
#[derive(Debug)]
pub struct CurrentWord<'a, T: Pod, W> {
    handle: &'a PerCid<T>,
    field: Field<T, W>,
}

impl<T: Pod, W> Clone for CurrentWord<'_, T, W> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: Pod, W> Copy for CurrentWord<'_, T, W> {}

#[allow(unsafe_code)]
impl<'a, T: Pod, W: Word> CurrentWord<'a, T, W> {
    #[inline(always)]
    pub(crate) fn new(handle: &'a PerCid<T>, field: Field<T, W>) -> Self {
        Self { handle, field }
    }

    #[inline(always)]
    fn cids(&self) -> &'static Cids {
        self.handle.block.cids()
    }
    #[inline(always)]
    fn shift(&self) -> u32 {
        self.handle.block.shift()
    }
    #[inline(always)]
    fn address(&self) -> *mut u64 {
        self.handle.address_of(self.field)
    }

    /// `v += k`, modulo 2⁶⁴.
    ///
    /// # Errors
    /// [`NoCid`].
    #[inline]
    pub fn add(&self, k: W) -> Result<(), NoCid> {
        // SAFETY: a word of a live item (ITEM-OWNED).
        if unsafe { cids::add(self.cids(), self.shift(), self.address(), k.to_bits()) } {
            Ok(())
        } else {
            Err(NoCid)
        }
    }

    /// `→ v`.
    ///
    /// # Errors
    /// [`NoCid`].
    #[inline]
    pub fn load(&self) -> Result<W, NoCid> {
        // SAFETY: as in `add`.
        match unsafe { cids::load(self.cids(), self.shift(), self.address()) } {
            Outcome::Done(bits) | Outcome::Differs(bits) => Ok(W::from_bits(bits)),
            Outcome::NoCid => Err(NoCid),
        }
    }

    /// `if v == expected { v = new }`.
    ///
    /// # Errors
    /// [`NoCid`].
    #[inline]
    pub fn compare_store(&self, expected: W, new: W) -> Result<Compared<W>, NoCid> {
        // SAFETY: as in `add`.
        compared(unsafe {
            let (expected, new) = (expected.to_bits(), new.to_bits());
            cids::compare_store(self.cids(), self.shift(), self.address(), expected, new)
        })
    }

    /// `if v == expected && w == w_expected { v = new }`, where `w` is another field of the same copy.
    ///
    /// # Errors
    /// [`NoCid`].
    #[inline]
    pub fn compare_two_store(
        &self,
        expected: W,
        w: Field<T, W>,
        w_expected: W,
        new: W,
    ) -> Result<Compared<W>, NoCid> {
        // SAFETY: as in `add`, for both words.
        compared(unsafe {
            cids::compare_two_store(
                self.cids(),
                self.shift(),
                self.address(),
                expected.to_bits(),
                self.handle.address_of(w),
                w_expected.to_bits(),
                new.to_bits(),
            )
        })
    }

    /// `if v == expected { w = x; v = new }`, where `w` is another field of the same copy: who sees
    /// `new` in `v` (with acquire) sees `x` in `w`. Who does not look at `v` may see in `w` an `x` of
    /// an operation that was interrupted, and begins again or does not.
    ///
    /// # Errors
    /// [`NoCid`].
    ///
    /// # Panics
    /// If `w` is the word itself: an operation that was interrupted would have changed it.
    #[inline]
    pub fn compare_store_store<X: Word>(
        &self,
        expected: W,
        new: W,
        w: Field<T, X>,
        x: X,
    ) -> Result<Compared<W>, NoCid> {
        assert!(self.field.offset() != w.offset(), "the other word is another one");
        // SAFETY: as in `add`, for both words, which are two.
        compared(unsafe {
            cids::compare_store_store(
                self.cids(),
                self.shift(),
                self.address(),
                expected.to_bits(),
                new.to_bits(),
                self.handle.address_of(w),
                x.to_bits(),
            )
        })
    }

    /// `if v == expected { to[at..at + from.len()] = from; v = new }`, where `to` is another field of
    /// the same copy: append to a buffer by memcpy and commit. What was said of `w` in
    /// [`Self::compare_store_store`] holds for these words.
    ///
    /// # Errors
    /// [`NoCid`].
    ///
    /// # Panics
    /// If `from` does not fit into the field from `at` on, if the word itself would be among what is
    /// written, or if it is more than 64 KiB: an operation that takes longer than the thread may run on
    /// would never end.
    #[inline]
    pub fn compare_copy_store<X: Word, const N: usize>(
        &self,
        expected: W,
        new: W,
        to: Field<T, [X; N]>,
        at: usize,
        from: &[X],
    ) -> Result<Compared<W>, NoCid> {
        assert!(at <= N && from.len() <= N - at, "the words fit into the field");
        assert!(size_of_val(from) <= COPY_MAX, "no more than 64 KiB are copied at once");
        let begin = to.offset() + at * WORD;
        let written = begin..begin + size_of_val(from);
        assert!(!written.contains(&self.field.offset()), "the word is not among those written");
        // SAFETY: as in `add`; so many words are in the field, which are not the one that is compared, and
        // as many in the slice.
        compared(unsafe {
            cids::compare_copy_store(
                self.cids(),
                self.shift(),
                self.address(),
                expected.to_bits(),
                new.to_bits(),
                self.handle.address_of(to).wrapping_add(at).cast(),
                from.as_ptr().cast(),
                size_of_val(from),
            )
        })
    }
}

fn compared<W: Word>(outcome: Outcome) -> Result<Compared<W>, NoCid> {
    match outcome {
        Outcome::Done(_) => Ok(Compared::Stored),
        Outcome::Differs(bits) => Ok(Compared::Differs(W::from_bits(bits))),
        Outcome::NoCid => Err(NoCid),
    }
}

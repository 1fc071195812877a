//! A value with one copy per cid, and the only ways to it.
//!
//! ```text
//!  PerCid<T>            copies (node, cid):   0,0     0,1     0,2     1,0
//!                                            ┌───┐   ┌───┐   ┌───┐   ┌───┐
//!   word(field!(T, x))   &self   a section ──┼───┼──►│ x │   │   │   │   │   that of the cid
//!   read(place)          &self   atomic loads│   │   │   │   │ T │◄──┼───┼── as a value
//!   sum, for_each        &self   atomics ───►│ ▒ │   │ ▒ │   │ ▒ │   │ ▒ │   all of them
//!   quiescent         &mut self  &mut T ────►│ T │   │ T │   │ T │   │ T │   one after the other
//!                                            └───┘   └───┘   └───┘   └───┘
//! ```
//!
//! As long as the handle is shared nothing gives a reference to a `T` in a copy: threads change it
//! there. Each operation borrows the handle, so `&mut` of it proves that none is under way, and that
//! what was done before is seen. The copies that [`PerCid::quiescent`] then lends are borrowed from
//! that `&mut`.
//!
//! A reference to a copy does not outlive what makes it exclusive:
//!
//! ```compile_fail
//! # use cidpool::{PerCid, Pool, field};
//! # let pool = Pool::builder(8).build().unwrap();
//! let mut hits = PerCid::<u64>::new(&pool).unwrap();
//! let kept: Vec<&mut u64> = hits.quiescent().map(|(_, copy)| copy).collect();
//! hits.word(field!(u64)).add(1).unwrap(); // error: borrowed as mutable by `kept`
//! drop(kept);
//! ```
//! ```compile_fail
//! # use cidpool::{PerCid, Pool, field};
//! # let pool = Pool::builder(8).build().unwrap();
//! let mut hits = PerCid::<u64>::new(&pool).unwrap();
//! let word = hits.word(field!(u64));
//! let _ = hits.quiescent(); // error: borrowed by `word`
//! word.add(1).unwrap();
//! ```
//! ```compile_fail
//! # use cidpool::{PerCid, Pool};
//! # let pool = Pool::builder(8).build().unwrap();
//! let copy: &mut u64 = {
//!     let mut hits = PerCid::<u64>::new(&pool).unwrap();
//!     hits.quiescent().next().unwrap().1 // error: `hits` does not live long enough
//! };
//! *copy += 1;
//! ```
//! ```compile_fail
//! # use cidpool::{PerCid, Pool, field};
//! # let pool = Pool::builder(8).build().unwrap();
//! let word = PerCid::<u64>::new(&pool).unwrap().word(field!(u64)); // error: dropped while borrowed
//! word.add(1).unwrap();
//! ```
//!
//! It is no value to be copied, and holds only what may be any bytes:
//!
//! ```compile_fail
//! # use cidpool::{PerCid, Pool};
//! # let pool = Pool::builder(8).build().unwrap();
//! let hits = PerCid::<u64>::new(&pool).unwrap();
//! let twice = (hits.clone(), hits); // error: no `clone`
//! ```
//! ```compile_fail
//! # use cidpool::{PerCid, Pool};
//! # let pool = Pool::builder(24).build().unwrap();
//! let names = PerCid::<String>::new(&pool); // error: `String` is not `Pod`
//! ```
//!
//! A field is of the handle's type, and all words of one operation are of one handle:
//!
//! ```compile_fail
//! # use cidpool::{PerCid, Pool, field};
//! # let pool = Pool::builder(8).build().unwrap();
//! let hits = PerCid::<u64>::new(&pool).unwrap();
//! hits.word(field!(i64)).add(1).unwrap(); // error: expected `Field<u64, _>`
//! ```
//!
//! Values go from thread to thread by way of copies, so who is not [`Send`] stays alone:
//!
//! ```compile_fail
//! # use cidpool::{PerCid, Pool};
//! # use core::marker::PhantomData;
//! #[repr(C)]
//! #[derive(Clone, Copy)]
//! struct Mine(u64, PhantomData<*mut u64>);
//! unsafe impl bytemuck::Zeroable for Mine {}
//! unsafe impl bytemuck::Pod for Mine {}
//! # let pool = Pool::builder(8).build().unwrap();
//! let mine = PerCid::<Mine>::new(&pool).unwrap();
//! std::thread::scope(|scope| { scope.spawn(|| mine.sum(todo!())); }); // error: not `Sync`
//! ```

use crate::block::{self, Block, NewError};
use crate::cids::Place;
use crate::field::{Field, WORD, Word};
use crate::pool::Pool;
use crate::word::CurrentWord;
use bytemuck::Pod;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A `T` with one copy per cid, in an item of a [`Pool`]. See the [module](self).
///
/// ```
/// use cidpool::{PerCid, Pool, field};
///
/// #[repr(C)]
/// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
/// struct Traffic {
///     packets: u64,
///     bytes: u64,
/// }
/// let pool = Pool::builder(size_of::<Traffic>()).name("traffic").build()?;
/// let mut traffic = PerCid::<Traffic>::new(&pool)?;
/// for length in [60, 1500, 40] {
///     // Without a cid for the moment it would be up to us to count elsewhere.
///     let _ = traffic.word(field!(Traffic, packets)).add(1);
///     let _ = traffic.word(field!(Traffic, bytes)).add(length);
/// }
/// assert!(traffic.sum(field!(Traffic, packets)) <= 3);
/// let total: u64 = traffic.quiescent().map(|(_, copy)| copy.bytes).sum();
/// assert!(total <= 1600);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PerCid<T: Pod> {
    pub(crate) block: Block,
    value: PhantomData<T>,
}

// SAFETY: what it leads to is reached by sections and atomics from any thread, and as a `T` only by
// who has the handle alone; values of `T` go from one thread to another thereby, hence the bound.
#[allow(unsafe_code)]
unsafe impl<T: Pod + Send> Sync for PerCid<T> {}

impl<T: Pod> PerCid<T> {
    /// Takes an item of `pool`, zero in all copies.
    ///
    /// # Errors
    /// The pool's items are too short or not aligned as a `T`, have one copy for all cids, or there
    /// are no more.
    pub fn new(pool: &Pool) -> Result<Self, NewError> {
        Self::with_value(pool, T::zeroed())
    }

    /// Takes an item of `pool`, whose copies all begin as `value`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_value(pool: &Pool, value: T) -> Result<Self, NewError> {
        const { assert!(size_of::<T>() > 0, "of nothing there are no copies") };
        let block = Block::of_bytes(pool, bytemuck::bytes_of(&value), align_of::<T>())?;
        Ok(Self { block, value: PhantomData })
    }

    /// The pool that the item is of.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        self.block.pool()
    }

    /// The address of a field in copy 0.
    #[inline(always)]
    pub(crate) fn address_of<F: Pod>(&self, field: Field<T, F>) -> *mut u64 {
        self.block.word(field.offset() / WORD)
    }

    /// A word of whichever copy is the current cid's when an operation on it is done.
    #[inline(always)]
    #[must_use]
    pub fn word<W: Word>(&self, field: Field<T, W>) -> CurrentWord<'_, T, W> {
        CurrentWord::new(self, field)
    }

    /// The copy of `place`, loaded word by word: each word is one that was there, but they need not
    /// have been there together while others change them. `None` where no such copy can be.
    #[must_use]
    pub fn read(&self, place: Place) -> Option<T> {
        let copy = self.block.copy(self.block.number(place)?);
        let mut value = T::zeroed();
        let bytes = bytemuck::bytes_of_mut(&mut value);
        for (to, from) in bytes.chunks_mut(WORD).zip(copy) {
            to.copy_from_slice(&from.load(Relaxed).to_ne_bytes()[..to.len()]);
        }
        Some(value)
    }

    /// The sum of a word over all copies, modulo 2⁶⁴: with everything that was added before, and any
    /// part of what is added meanwhile.
    #[must_use]
    pub fn sum<W: Word>(&self, field: Field<T, W>) -> W {
        let index = field.offset() / WORD;
        let mut sum = 0u64;
        self.for_each(|_, words| sum = sum.wrapping_add(words[index].load(Relaxed)));
        W::from_bits(sum)
    }

    /// Calls `look` with each copy that there can be, as atomic words. Reading one that no cid ever
    /// wrote to takes no memory.
    ///
    /// A store to one of them may be undone by a section that is under way there.
    pub fn for_each(&self, mut look: impl FnMut(Place, &[AtomicU64])) {
        for number in 0..self.block.copies() {
            look(self.block.place(number), self.block.copy(number));
        }
    }

    /// The copies, one after the other, while nobody else has the handle. None in a child of `fork` that
    /// has not the pool ([`Fork::Unusable`](crate::Fork)).
    pub fn quiescent(&mut self) -> Quiescent<'_, T> {
        Quiescent { copies: self.block.quiescent(), value: PhantomData }
    }
}

/// The copies of a [`PerCid`] that nobody else has: see [`PerCid::quiescent`].
#[derive(Debug)]
pub struct Quiescent<'a, T> {
    copies: block::Quiescent<'a>,
    value: PhantomData<&'a mut T>,
}

#[allow(unsafe_code)]
impl<'a, T: Pod> Iterator for Quiescent<'a, T> {
    type Item = (Place, &'a mut T);

    fn next(&mut self) -> Option<Self::Item> {
        let (place, words) = self.copies.next()?;
        // SAFETY: as many bytes as a `T` has, aligned as one, and any bytes are one; borrowed as long as the
        // words are.
        Some((place, unsafe { &mut *words.as_mut_ptr().cast::<T>() }))
    }
}

//! Objects that wait to be used again: a small stack per cid, and a depot between them.
//!
//! ```text
//!  an item            copy 0                      copy 1
//!                    ┌─────┬───┬───┬───┬───┐     ┌─────┬───┬───┬───┬───┐
//!                    │  3  │ a │ b │ c │   │     │  0  │   │   │   │   │     slots hold boxes
//!                    └─────┴───┴───┴───┴───┘     └─────┴───┴───┴───┴───┘
//!                    count          ▲            pop: none there ▲
//!   push: compare count, store the  │                            │ a batch, by one copying section
//!   slot, store the count ──────────┘                            │
//!   no room ──► half of them ──► depot: batches of half a stack ─┘
//!                                no room, or nothing there: the caller's (free it, make one)
//! ```
//!
//! ONE-PLACE: a box is at every instant in exactly one slot below a count, one batch, or one hand. A
//! push and a pop are one section each, that ends with the store of the count: it compares the count
//! and, to pop, the slot below it with what was seen before by plain loads (`here.rs`). If they are the
//! same at the current copy, it does not matter at which copy they were seen, or what was between.
//!
//! It is bounded: `capacity` for each cid that ever ran, and the depot. No list is walked, no object
//! is touched by what keeps it, and nothing allocates, so pushes and pops are for signal handlers too
//! (what a miss then allocates, or a refused push frees, is the caller's).
//!
//! Without a cid for the moment both go to the depot, one at a time. In a child of `fork` whose
//! copies are wiped, or that has not the pool, what was on stacks is lost.

use crate::block::{Block, NewError};
use crate::cids;
use crate::field::WORD;
use crate::here::{settled_copy_number, word_of};

use crate::pool::Pool;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use depot::Depot;
use rseq_sys::copies::Outcome;

mod depot;

/// Objects that one section moves from a batch to a stack: a microsecond.
const MOVED_MAX: usize = 512;

/// A bounded pool of boxed objects. See the [module](self).
///
/// ```
/// use cidpool::{FreeList, Pool};
///
/// // Room for 31 objects per cid, and four batches between cids.
/// let pool = Pool::builder(256).name("buffers").build()?;
/// let mut buffers = FreeList::<Vec<u8>>::new(&pool, 4)?;
/// {
///     let mut buffer = buffers.take(|| Vec::with_capacity(4096));
///     buffer.clear(); // it comes as it was left
///     buffer.extend_from_slice(b"hello");
/// }
/// assert_eq!(buffers.len(), 1);
/// // A `pop` would find it as well, as long as the thread does not go on under another cid.
/// assert_eq!(**buffers.drain()[0], *b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What is taken does not outlive the list, and goes where it is allowed to go:
///
/// ```compile_fail
/// # use cidpool::{FreeList, Pool};
/// # let pool = Pool::builder(256).build().unwrap();
/// let buffer = {
///     let buffers = FreeList::<Vec<u8>>::new(&pool, 4).unwrap();
///     buffers.take(Vec::new) // error: `buffers` does not live long enough
/// };
/// ```
/// ```compile_fail
/// # use cidpool::{FreeList, Pool};
/// # let pool = Pool::builder(256).build().unwrap();
/// let shared = FreeList::<std::rc::Rc<u64>>::new(&pool, 4).unwrap();
/// std::thread::scope(|scope| { scope.spawn(|| shared.pop()); }); // error: not `Sync`
/// ```
///
/// What is borrowed goes into no list that may outlive it, neither by [`Self::push`] nor when what was
/// [taken](Self::take) goes back:
///
/// ```compile_fail
/// # use cidpool::{FreeList, Pool};
/// # let pool = Pool::builder(256).build().unwrap();
/// fn put<'a>(texts: &FreeList<&'a str>, text: &'a str) {
///     let _ = texts.push(Box::new(text));
/// }
/// let texts = FreeList::<&'static str>::new(&pool, 4).unwrap();
/// let brief = String::from("brief");
/// put(&texts, &brief); // error: `brief` does not live long enough
/// ```
/// ```compile_fail
/// # use cidpool::{FreeList, Pool, Taken};
/// # let pool = Pool::builder(256).build().unwrap();
/// let texts = FreeList::<&'static str>::new(&pool, 4).unwrap();
/// let brief = String::from("brief");
/// let mut taken: Taken<'_, &str> = texts.take(|| "for ever");
/// *taken = &brief; // error: `brief` does not live long enough
/// ```
#[derive(Debug)]
pub struct FreeList<T> {
    stacks: Block,
    capacity: usize,
    depot: Depot,
    /// As a cell has them: a list of what lives long takes nothing that lives shorter.
    objects: PhantomData<UnsafeCell<Box<T>>>,
}

// SAFETY: a shared list gives and takes whole boxes.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for FreeList<T> {}

#[allow(unsafe_code)]
impl<T> FreeList<T> {
    /// Empty, with an item of `pool` for the stacks: one object for each word of it but the first. Up to
    /// `batches` (64 at most) of half as many go from cid to cid.
    ///
    /// # Errors
    /// As [`PerCid::new`](crate::PerCid::new); an item must have two words.
    pub fn new(pool: &Pool, batches: usize) -> Result<Self, NewError> {
        let stacks = Block::zeroed(pool, 2)?;
        let capacity = stacks.words() - 1;
        let depot = Depot::new(batches, capacity.div_ceil(2));
        Ok(Self { stacks, capacity, depot, objects: PhantomData })
    }

    /// Objects that each cid's stack has room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Takes an object, the one that was put in last here if there is one. `None` where neither the
    /// current cid has any nor the depot: a batch that is in somebody's hands just now is not there.
    #[inline]
    #[must_use]
    pub fn pop(&self) -> Option<Box<T>> {
        // SAFETY: it is in no slot and no batch any more (ONE-PLACE).
        self.pop_address().map(|address| unsafe { from_address(address) })
    }

    /// Puts an object in.
    ///
    /// # Errors
    /// The object, if there is no room: at the current cid, nor in the depot, where a batch that is in
    /// somebody's hands just now is none.
    #[inline]
    pub fn push(&self, object: Box<T>) -> Result<(), Box<T>> {
        let address = into_address(object);
        if self.push_address(address) {
            Ok(())
        } else {
            // SAFETY: it was not put in.
            Err(unsafe { from_address(address) })
        }
    }

    /// An object from the list, or a new one, that goes (back) there when it is dropped.
    #[inline]
    pub fn take(&self, make: impl FnOnce() -> T) -> Taken<'_, T> {
        let object = self.pop().unwrap_or_else(|| Box::new(make()));
        Taken { list: self, object: Some(object) }
    }

    #[inline]
    fn pop_address(&self) -> Option<u64> {
        let (cids, shift) = (self.stacks.cids(), self.stacks.shift());
        let count_at = self.stacks.word(0);
        while let Some(here) = settled_copy_number(cids) {
            // SAFETY: the first word of a copy of the item.
            let count = unsafe { word_of(count_at, here, shift) }.load(Relaxed);
            if count == 0 {
                return self.refill();
            }
            let top_at = self.stacks.word(count as usize);
            // SAFETY: counts are at most the capacity, so this is a word of the item.
            let top = unsafe { word_of(top_at, here, shift) }.load(Relaxed);
            // SAFETY: two words of the item.
            match unsafe {
                cids::compare_two_store(cids, shift, count_at, count, top_at, top, count - 1)
            } {
                Outcome::Done(_) => return Some(top),
                Outcome::Differs(_) => {}
                Outcome::NoCid => break,
            }
        }
        self.depot.begun().and_then(|batch| batch.pop())
    }

    #[inline]
    fn push_address(&self, address: u64) -> bool {
        let (cids, shift) = (self.stacks.cids(), self.stacks.shift());
        let count_at = self.stacks.word(0);
        while let Some(here) = settled_copy_number(cids) {
            // SAFETY: as in `pop_address`.
            let count = unsafe { word_of(count_at, here, shift) }.load(Relaxed);
            if count as usize == self.capacity {
                return self.overflow(address);
            }
            let slot = self.stacks.word(count as usize + 1);
            // SAFETY: two words of the item; nobody looks at a slot above the count.
            match unsafe {
                cids::compare_store_store(cids, shift, count_at, count, count + 1, slot, address)
            } {
                Outcome::Done(_) => return true,
                Outcome::Differs(_) => {}
                Outcome::NoCid => break,
            }
        }
        self.deposit(address)
    }

    /// Takes a batch out of the depot: its last address for the caller, and others for the stack.
    #[cold]
    fn refill(&self) -> Option<u64> {
        let batch = self.depot.fullest()?;
        let address = batch.pop()?;
        let (cids, shift) = (self.stacks.cids(), self.stacks.shift());
        let (count_at, rest) = (self.stacks.word(0), batch.len());
        // One try: what does not come to the stack stays in the depot. It may be full by now.
        if let Some(here) = settled_copy_number(cids)
            // SAFETY: as in `pop_address`.
            && let count = unsafe { word_of(count_at, here, shift) }.load(Relaxed) as usize
            && let moved = rest.min(self.capacity - count).min(MOVED_MAX)
            && moved > 0
        {
            let from = batch.addresses()[rest - moved..].as_ptr().cast();
            let (to, bytes) = (self.stacks.word(count + 1).cast(), moved * WORD);
            let (count, new) = (count as u64, (count + moved) as u64);
            // SAFETY: so many words fit into the item above the count; those of the batch are ours.
            let outcome = unsafe {
                cids::compare_copy_store(cids, shift, count_at, count, new, to, from, bytes)
            };
            if let Outcome::Done(_) = outcome {
                batch.forget(moved);
            }
        }
        Some(address)
    }

    /// Makes a batch of what is on top of the stack, and of `address`.
    #[cold]
    fn overflow(&self, address: u64) -> bool {
        let Some(batch) = self.depot.vacant() else { return false };
        batch.push(address);
        let (cids, shift) = (self.stacks.cids(), self.stacks.shift());
        let count_at = self.stacks.word(0);
        // As long as there is something, here or wherever the thread goes on.
        while batch.len() < self.depot.batch_len()
            && let Some(here) = settled_copy_number(cids)
        {
            // SAFETY: as in `pop_address`.
            let count = unsafe { word_of(count_at, here, shift) }.load(Relaxed);
            if count == 0 {
                break;
            }
            let top_at = self.stacks.word(count as usize);
            // SAFETY: as in `pop_address`.
            let top = unsafe { word_of(top_at, here, shift) }.load(Relaxed);
            // SAFETY: as in `pop_address`.
            match unsafe {
                cids::compare_two_store(cids, shift, count_at, count, top_at, top, count - 1)
            } {
                Outcome::Done(_) => _ = batch.push(top),
                Outcome::Differs(_) => {}
                Outcome::NoCid => break,
            }
        }
        true
    }

    /// Puts one address into the depot.
    #[cold]
    fn deposit(&self, address: u64) -> bool {
        self.depot.roomy().is_some_and(|batch| batch.push(address))
    }

    /// How many objects are in it: of those that come and go meanwhile any, and without those that
    /// are on their way between a stack and the depot.
    #[must_use]
    pub fn len(&self) -> usize {
        let mut counts = 0;
        for copy in 0..self.stacks.copies() {
            counts += self.stacks.copy(copy)[0].load(Acquire) as usize;
        }
        counts + self.depot.len()
    }

    /// Whether [`Self::len`] is 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes all objects out, while nobody else has the list. In a child of `fork` that has not the pool
    /// ([`Fork::Unusable`](crate::Fork)) only those that were between cids.
    pub fn drain(&mut self) -> Vec<Box<T>> {
        let mut addresses = Vec::new();
        for (_, words) in self.stacks.quiescent() {
            // What is 0 is left alone: memory that was never written to.
            if words[0] != 0 {
                let count = core::mem::take(&mut words[0]) as usize;
                addresses.extend_from_slice(&words[1..=count]);
            }
        }
        while let Some(batch) = self.depot.begun() {
            while let Some(address) = batch.pop() {
                addresses.push(address);
            }
        }
        // SAFETY: none of them is in the list any more (ONE-PLACE).
        addresses.into_iter().map(|address| unsafe { from_address(address) }).collect()
    }
}

impl<T> Drop for FreeList<T> {
    fn drop(&mut self) {
        drop(self.drain());
    }
}

fn into_address<T>(object: Box<T>) -> u64 {
    Box::into_raw(object).expose_provenance() as u64
}

/// # Safety
/// Of [`into_address`], and nobody else's.
#[allow(unsafe_code)]
unsafe fn from_address<T>(address: u64) -> Box<T> {
    // SAFETY: by the caller's promise.
    unsafe { Box::from_raw(with_exposed_provenance_mut(address as usize)) }
}

/// An object of a [`FreeList`], which goes there when this is dropped; or is freed, if there is no
/// room, or no list: in a child of `fork` that has not its pool.
#[derive(Debug)]
pub struct Taken<'a, T> {
    list: &'a FreeList<T>,
    /// There until the drop.
    object: Option<Box<T>>,
}

impl<T> Deref for Taken<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.object.as_deref().expect("it is there until the drop")
    }
}
impl<T> DerefMut for Taken<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.object.as_deref_mut().expect("it is there until the drop")
    }
}
impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            let refused = if self.list.stacks.is_usable() {
                self.list.push(object).err()
            } else {
                Some(object)
            };
            drop(refused);
        }
    }
}

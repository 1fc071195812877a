//! Linked lists of boxes, one per cid: the last one in is the first one out, where it was put in.
//!
//! ```text
//!  copy 0          copy 1          copy 2
//!  ┌──────┐        ┌──────┐        ┌──────┐
//!  │ head │        │ head │        │  0   │        push, pop, pop_all: one section each, on the
//!  └──┬───┘        └──┬───┘        └──────┘        list of the current cid
//!     ▼               ▼
//!  ┌──────┬───┐    ┌──────┬───┐
//!  │ next │ T │    │  0   │ T │    nodes: boxes of their own
//!  └──┬───┴───┘    └──────┴───┘
//!     ▼
//! ```
//!
//! ONE-OWNER: a node is at every instant in one list or in one hand. A section moves it by one store,
//! or does not. A pop reads `next` of the first node inside its window: whoever popped and freed that
//! node meanwhile ran under this cid, so this window never goes on.
//!
//! A list is not bounded, and what one thread pushed another may never come by: under another cid it
//! finds another list. For objects that are used again, in any thread, there is
//! [`FreeList`](crate::FreeList).

use crate::block::{Block, NewError};
use crate::cids;
use crate::pool::Pool;
use crate::word::NoCid;
use cidalloc::percid::Cids;
use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::offset_of;
use core::ops::{Deref, DerefMut};
use core::ptr::with_exposed_provenance_mut;
use rseq_sys::copies::Outcome;

#[repr(C)]
struct Link<T> {
    /// Address of the next node of the list, or 0; written by sections.
    next: u64,
    value: T,
}

/// A value that may be put into a [`List`], without allocating then.
pub struct Node<T>(Box<Link<T>>);

#[allow(unsafe_code)]
impl<T> Node<T> {
    /// Allocates a node for `value`.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Box::new(Link { next: 0, value }))
    }

    /// The value; the node's memory is freed.
    #[must_use]
    pub fn into_value(self) -> T {
        self.0.value
    }

    /// The address, by which the node is to be found again.
    fn into_address(self) -> *mut Link<T> {
        let node = Box::into_raw(self.0);
        let _ = node.expose_provenance();
        node
    }

    /// # Safety
    /// The address of a node that was given up, and is in no list; or 0.
    unsafe fn from_address(address: u64) -> Option<Self> {
        let node: *mut Link<T> = with_exposed_provenance_mut(address as usize);
        // SAFETY: a box, by the caller's promise.
        (!node.is_null()).then(|| Self(unsafe { Box::from_raw(node) }))
    }
}

impl<T> Deref for Node<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.value
    }
}
impl<T> DerefMut for Node<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0.value
    }
}
impl<T: fmt::Debug> fmt::Debug for Node<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(&**self).finish()
    }
}

/// A list per cid. See the [module](self).
///
/// ```
/// use cidpool::{List, Node, Pool};
///
/// let pool = Pool::builder(8).name("lists").build()?;
/// let mut list = List::new(&pool)?;
/// // Refused for the moment, a node comes back.
/// let refused = list.push(Node::new(String::from("one"))).err();
/// let found: Vec<_> = list.drain().map(Node::into_value).collect();
/// assert!(found == ["one"] || refused.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Values go from thread to thread:
///
/// ```compile_fail
/// # use cidpool::{List, Node, Pool};
/// # let pool = Pool::builder(8).build().unwrap();
/// let list = List::<std::rc::Rc<u64>>::new(&pool).unwrap();
/// std::thread::scope(|scope| { scope.spawn(|| list.pop()); }); // error: not `Sync`
/// ```
///
/// What is borrowed goes into no list that may outlive it:
///
/// ```compile_fail
/// # use cidpool::{List, Node, Pool};
/// # let pool = Pool::builder(8).build().unwrap();
/// fn put<'a>(texts: &List<&'a str>, text: &'a str) {
///     let _ = texts.push(Node::new(text));
/// }
/// let texts = List::<&'static str>::new(&pool).unwrap();
/// let brief = String::from("brief");
/// put(&texts, &brief); // error: `brief` does not live long enough
/// ```
#[derive(Debug)]
pub struct List<T> {
    head: Block,
    /// As a cell has them: a list of what lives long takes nothing that lives shorter.
    nodes: PhantomData<UnsafeCell<Node<T>>>,
}

// SAFETY: a shared list gives and takes whole nodes.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for List<T> {}

#[allow(unsafe_code)]
impl<T> List<T> {
    const NEXT: usize = offset_of!(Link<T>, next);

    /// Empty lists, whose heads are an item of `pool`.
    ///
    /// # Errors
    /// As [`PerCid::new`](crate::PerCid::new).
    pub fn new(pool: &Pool) -> Result<Self, NewError> {
        Ok(Self { head: Block::zeroed(pool, 1)?, nodes: PhantomData })
    }

    /// What each operation begins with.
    #[inline(always)]
    fn place(&self) -> (&'static Cids, u32, *mut u64) {
        (self.head.cids(), self.head.shift(), self.head.word(0))
    }

    /// Puts `node` before the others of the current cid's list.
    ///
    /// # Errors
    /// The node, if the thread has no cid now.
    #[inline]
    pub fn push(&self, node: Node<T>) -> Result<(), Node<T>> {
        let (cids, shift, head) = self.place();
        let address = node.into_address();
        // SAFETY: a head of ours, and a node that is in no list (ONE-OWNER).
        match unsafe { cids::push(cids, shift, head, address.cast(), Self::NEXT) } {
            Outcome::Done(_) | Outcome::Differs(_) => Ok(()),
            // SAFETY: it is in no list.
            Outcome::NoCid => Err(Node(unsafe { Box::from_raw(address) })),
        }
    }

    /// Takes the first node of the current cid's list; `None` if that is empty.
    ///
    /// # Errors
    /// [`NoCid`].
    #[inline]
    pub fn pop(&self) -> Result<Option<Node<T>>, NoCid> {
        let (cids, shift, head) = self.place();
        // SAFETY: a head of ours: 0, or the address of a node of this type.
        match unsafe { cids::pop(cids, shift, head, Self::NEXT) } {
            // SAFETY: it is in the list no more (ONE-OWNER).
            Outcome::Done(node) => Ok(unsafe { Node::from_address(node) }),
            Outcome::Differs(_) => Ok(None),
            Outcome::NoCid => Err(NoCid),
        }
    }

    /// Takes all nodes of the current cid's list, the last one that was put in first.
    ///
    /// # Errors
    /// [`NoCid`].
    #[inline]
    pub fn pop_all(&self) -> Result<Nodes<T>, NoCid> {
        let (cids, shift, head) = self.place();
        // SAFETY: a head of ours.
        match unsafe { cids::pop_all(cids, shift, head) } {
            Outcome::Done(first) | Outcome::Differs(first) => {
                Ok(Nodes { next: first, more: Vec::new(), nodes: PhantomData })
            }
            Outcome::NoCid => Err(NoCid),
        }
    }

    /// Takes all nodes of all lists, while nobody else has them. None in a child of `fork` that has
    /// not the pool ([`Fork::Unusable`](crate::Fork)).
    pub fn drain(&mut self) -> Nodes<T> {
        let heads = self.head.quiescent().map(|(_, words)| &mut words[0]);
        // What is 0 is left alone: memory that was never written to.
        let more = heads.filter(|head| **head != 0).map(core::mem::take).collect();
        Nodes { next: 0, more, nodes: PhantomData }
    }
}

impl<T> Drop for List<T> {
    fn drop(&mut self) {
        drop(self.drain());
    }
}

/// Nodes that were taken from lists, one after the other. What is not asked for is dropped.
#[derive(Debug)]
pub struct Nodes<T> {
    /// The next node, of a chain that nobody else has; or 0.
    next: u64,
    /// First nodes of more such chains.
    more: Vec<u64>,
    nodes: PhantomData<Node<T>>,
}

#[allow(unsafe_code)]
impl<T> Iterator for Nodes<T> {
    type Item = Node<T>;

    fn next(&mut self) -> Option<Node<T>> {
        if self.next == 0 {
            self.next = self.more.pop()?;
        }
        // SAFETY: the first node of a chain that was taken as a whole.
        let node = unsafe { Node::from_address(self.next) }?;
        self.next = node.0.next;
        Some(node)
    }
}

impl<T> Drop for Nodes<T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

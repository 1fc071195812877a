//! Which copy is whose, and the operations on the current one, whatever cids the process has.
//!
//! ```text
//!  copy  0        1        …  cids-1   │ cids     …                 n = node * cids + cid
//!        (0, 0)   (0, 1)      (0, C)   │ (1, 0)                     node, cid: a `Place`
//!        ─────────── node 0 ────────── │ ──── node 1 …              for ever
//!
//!  kernel, cpu ──► a restartable sequence     rseq_sys::copies ──┐  NoCid: settle, once more,
//!  emulated ─────► plain code under a lease   copies::leased ────┤  and then the caller does
//!  none ─────────────────────────────────────────────────────────┘  without a copy
//! ```
//!
//! The kernel may run a cid on any node. Its copy is then another one there, so that a copy's memory
//! never leaves its node.
#![allow(unsafe_code)]

pub use cidalloc::heap::Source;
use cidalloc::percid::{self, Cids};
use core::fmt;
use rseq_sys::copies::{self, Outcome, leased};
use rseq_sys::lease::Lease;

/// Whose copy it is: the copies of a cid that was on two nodes are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The NUMA node that the copy's memory is bound to.
    pub node: usize,
    /// The concurrency id, or the CPU's number where those stand in for it.
    pub cid: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} cid {}", self.node, self.cid)
    }
}

/// How many copies there are of a thing, and how far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) nodes: usize,
    pub(crate) cids: usize,
    pub(crate) shift: u32,
}

impl Shape {
    pub(crate) fn copies(self) -> usize {
        self.nodes * self.cids
    }
    pub(crate) fn stride(self) -> usize {
        1 << self.shift
    }
    /// Of all copies; `None` when no address space could hold them.
    pub(crate) fn bytes(self) -> Option<usize> {
        let bytes = self.copies().checked_mul(self.stride())?;
        (bytes <= 1 << ADDRESS_BITS).then_some(bytes)
    }
    /// Of the copies of one node.
    pub(crate) fn row_bytes(self) -> usize {
        self.cids << self.shift
    }
    pub(crate) fn place(self, copy: usize) -> Place {
        Place { node: copy / self.cids, cid: copy % self.cids }
    }
    /// The copy of `place`, if there can be such a place.
    pub(crate) fn copy(self, place: Place) -> Option<usize> {
        (place.node < self.nodes && place.cid < self.cids)
            .then_some(place.node * self.cids + place.cid)
    }
}

/// No process has more of them, and a sum of two lengths below it cannot overflow.
const ADDRESS_BITS: u32 = 47;

macro_rules! operations {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty, $without:expr;)*) => {
        $(
            #[doc = concat!("[`copies::", stringify!($name), "`], by whatever the process's cids are.")]
            ///
            /// # Safety
            /// As there, with addresses of copy 0 of a range of `1 << shift` bytes per copy.
            #[inline(always)]
            #[allow(clippy::too_many_arguments, reason = "the operation's")]
            pub unsafe fn $name(cids: &Cids, shift: u32, $($argument: $type),*) -> $result {
                // SAFETY: by the caller's promise.
                let result = unsafe { once::$name(cids, shift, $($argument),*) };
                if result != $without {
                    return result;
                }
                // SAFETY: by the caller's promise.
                unsafe { settled::$name(cids, shift, $($argument),*) }
            }
        )*

        /// One try.
        mod once {
            use super::*;
            $(
                #[inline(always)]
                #[allow(clippy::too_many_arguments, reason = "the operation's")]
                pub(super) unsafe fn $name(
                    cids: &Cids,
                    shift: u32,
                    $($argument: $type),*
                ) -> $result {
                    match cids.source {
                        // SAFETY: the process's own cids; by the caller's promise.
                        Source::Kernel | Source::Cpu => unsafe {
                            copies::$name(&cids.current, shift, $($argument),*)
                        },
                        Source::Emulated => match Lease::current() {
                            // SAFETY: the thread's lease (LEASE-HOLDER); by the caller's promise.
                            Some(lease) => unsafe {
                                leased::$name(lease, &cids.current, shift, $($argument),*)
                            },
                            None => $without,
                        },
                        Source::None => $without,
                    }
                }
            )*
        }

        /// The second one, of threads that had no cid. Apart, or arguments would go through memory.
        mod settled {
            use super::*;
            $(
                #[cold]
                #[inline(never)]
                #[allow(clippy::too_many_arguments, reason = "the operation's")]
                pub(super) unsafe fn $name(
                    cids: &Cids,
                    shift: u32,
                    $($argument: $type),*
                ) -> $result {
                    // SAFETY: by the caller's promise.
                    if percid::settle() { unsafe { once::$name(cids, shift, $($argument),*) } } else { $without }
                }
            )*
        }
    };
}

operations! {
    add(word: *mut u64, k: u64) -> bool, false;
    load(word: *const u64) -> Outcome, Outcome::NoCid;
    compare_store(word: *mut u64, expected: u64, new: u64) -> Outcome, Outcome::NoCid;
    compare_two_store(word: *mut u64, expected: u64, other: *const u64, other_expected: u64,
        new: u64) -> Outcome, Outcome::NoCid;
    compare_store_store(word: *mut u64, expected: u64, new: u64, other: *mut u64, other_new: u64)
        -> Outcome, Outcome::NoCid;
    push(head: *mut u64, node: *mut u8, next: usize) -> Outcome, Outcome::NoCid;
    pop(head: *mut u64, next: usize) -> Outcome, Outcome::NoCid;
    pop_all(head: *mut u64) -> Outcome, Outcome::NoCid;
    compare_copy_store(word: *mut u64, expected: u64, new: u64, to: *mut u8, from: *const u8,
        len: usize) -> Outcome, Outcome::NoCid;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_copy_has_a_place_of_its_own_and_every_place_its_copy() {
        let shape = Shape { nodes: 3, cids: 5, shift: 16 };
        for copy in 0..shape.copies() {
            assert_eq!(shape.copy(shape.place(copy)), Some(copy));
        }
        assert_eq!(shape.place(5), Place { node: 1, cid: 0 });
        assert_eq!(shape.copy(Place { node: 3, cid: 0 }), None);
        assert_eq!(shape.copy(Place { node: 0, cid: 5 }), None);
    }

    #[test]
    fn copies_that_no_address_space_holds_have_no_length() {
        let shape = |shift| Shape { nodes: 8, cids: 1024, shift };
        assert_eq!(shape(16).bytes(), Some(512 << 20));
        assert_eq!(shape(34).bytes(), Some(1 << 47));
        assert_eq!(shape(35).bytes(), None);
        assert_eq!(shape(60).bytes(), None);
    }
}

//! Which words of a type its operations are on.
//!
//! ```text
//!  #[repr(C)] struct Shop { hits: u64, money: i64, by_kind: [u64; 4] }
//!
//!   offset 0        8         16        24        32        40
//!          ┌────────┬─────────┬─────────┬─────────┬─────────┬─────────┐
//!          │ hits   │ money   │ by_kind[0]   [1]       [2]       [3]  │
//!          └────────┴─────────┴─────────┴─────────┴─────────┴─────────┘
//!   field!(Shop, hits)    a Field<Shop, u64>
//!   field!(Shop, by_kind) a Field<Shop, [u64; 4]>; its .index(2) is a Field<Shop, u64>
//! ```
//!
//! A field is a number that was checked when the program was compiled: it lies in the type, and at
//! a multiple of 8.

use bytemuck::Pod;
use core::marker::PhantomData;

/// Bytes of a word.
pub(crate) const WORD: usize = size_of::<u64>();

/// A word that operations on the current copy work on: eight bytes, any of which may be anything.
pub trait Word: Pod + sealed::Sealed {
    /// As the operations see it.
    #[must_use]
    fn to_bits(self) -> u64;
    /// From what they saw.
    #[must_use]
    fn from_bits(bits: u64) -> Self;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! words {
    ($($word:ty),+) => { $(
        impl sealed::Sealed for $word {}
        impl Word for $word {
            #[inline(always)]
            fn to_bits(self) -> u64 {
                self as u64
            }
            #[inline(always)]
            fn from_bits(bits: u64) -> Self {
                bits as Self
            }
        }
        const _: () = assert!(size_of::<$word>() == WORD);
    )+ };
}
words!(u64, i64, usize, isize);

/// A field of `T`, of type `F`, made by [`field!`](crate::field!).
#[derive(Debug)]
pub struct Field<T, F> {
    offset: usize,
    of: PhantomData<fn(&T) -> &F>,
}

impl<T, F> Clone for Field<T, F> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T, F> Copy for Field<T, F> {}

impl<T: Pod, F: Pod> Field<T, F> {
    /// What [`field!`](crate::field!) calls: `_type` only tells the field's type. A wrong offset is
    /// another field, if it is in the type at all.
    ///
    /// # Panics
    /// Where the field does not lie in the type at a multiple of eight; when it is compiled.
    #[must_use]
    pub const fn new(offset: usize, _type: fn(&T) -> &F) -> Self {
        assert!(offset.is_multiple_of(WORD), "a word lies at a multiple of 8");
        assert!(size_of::<F>() <= size_of::<T>() && offset <= size_of::<T>() - size_of::<F>());
        Self { offset, of: PhantomData }
    }

    /// From the beginning of the type, in bytes.
    #[inline(always)]
    #[must_use]
    pub const fn offset(self) -> usize {
        self.offset
    }
}

impl<T, W: Word, const N: usize> Field<T, [W; N]> {
    /// The word with this index.
    ///
    /// # Panics
    /// If there are no more than `index`.
    #[inline(always)]
    #[must_use]
    pub const fn index(self, index: usize) -> Field<T, W> {
        assert!(index < N, "no word of the array has this index");
        Field { offset: self.offset + index * WORD, of: PhantomData }
    }
}

/// A field of a type by its name, or a type that is one word as a whole.
///
/// ```
/// #[repr(C)]
/// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
/// struct Shop {
///     hits: u64,
///     by_kind: [u64; 4],
/// }
/// assert_eq!(cidpool::field!(Shop, hits).offset(), 0);
/// assert_eq!(cidpool::field!(Shop, by_kind).index(2).offset(), 24);
/// assert_eq!(cidpool::field!(u64).offset(), 0);
/// ```
///
/// A field that is not at a multiple of eight does not compile, nor does a word past an array's end:
///
/// ```compile_fail
/// #[repr(C)]
/// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
/// struct Halves {
///     low: u32,
///     high: u32,
/// }
/// let _ = cidpool::field!(Halves, high);
/// ```
#[macro_export]
macro_rules! field {
    ($type:ty) => {
        const { $crate::Field::<$type, $type>::new(0, |whole| whole) }
    };
    ($type:ty, $field:ident) => {
        const {
            $crate::Field::<$type, _>::new(
                ::core::mem::offset_of!($type, $field),
                |whole: &$type| &whole.$field,
            )
        }
    };
}

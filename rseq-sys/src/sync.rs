//! The atomics that the allocator's protocols are made of: core's.
//!
//! ```text
//!  otherwise              core::sync::atomic, nothing more
//!  --cfg cidalloc_model   the same words, and before each operation a point at which the model
//!                         may have another task go on                              crate::model
//! ```

#[cfg(not(cidalloc_model))]
pub use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicI64, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
    Ordering, compiler_fence, fence,
};

#[cfg(cidalloc_model)]
mod observed;
#[cfg(cidalloc_model)]
pub use core::sync::atomic::{Ordering, compiler_fence};
#[cfg(cidalloc_model)]
pub use observed::{
    AtomicBool, AtomicI32, AtomicI64, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence,
};

//! Atomics under a model: core's words, each of whose operations is a point of the model first.
//!
//! Same size and same values as core's, and zero is zero: the allocator finds most of its words in
//! memory that it has just mapped, where no word could be constructed. Orders are passed on and
//! mean nothing here: tasks of a model run one at a time, and see all that was written before.
#![allow(unsafe_code)]

use crate::model::world;
use core::sync::atomic::{self, Ordering};

/// A barrier: a point.
pub fn fence(order: Ordering) {
    world().point();
    atomic::fence(order);
}

macro_rules! observed {
    ($name:ident $(<$parameter:ident>)?, $value:ty) => {
        #[doc = concat!("`", stringify!($name), "`, with points.")]
        #[repr(transparent)]
        #[derive(Debug, Default)]
        pub struct $name $(<$parameter>)? (atomic::$name $(<$parameter>)?);

        #[allow(missing_docs, reason = "as core's")]
        impl $(<$parameter>)? $name $(<$parameter>)? {
            #[must_use]
            pub const fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }
            /// # Safety
            /// As core's.
            #[must_use]
            pub const unsafe fn from_ptr<'a>(at: *mut $value) -> &'a Self {
                // SAFETY: the same layout; by the caller's promise.
                unsafe { &*at.cast::<Self>() }
            }
            #[must_use]
            pub const fn as_ptr(&self) -> *mut $value {
                self.0.as_ptr()
            }
            #[must_use]
            pub fn get_mut(&mut self) -> &mut $value {
                self.0.get_mut()
            }
            #[must_use]
            pub fn into_inner(self) -> $value {
                self.0.into_inner()
            }
            #[must_use]
            pub fn load(&self, order: Ordering) -> $value {
                match order {
                    Ordering::Relaxed => world().glance(),
                    _ => world().point(),
                }
                self.0.load(order)
            }
            pub fn store(&self, value: $value, order: Ordering) {
                world().point();
                self.0.store(value, order);
            }
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                world().point();
                self.0.swap(value, order)
            }
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                world().point();
                self.0.compare_exchange(current, new, success, failure)
            }
            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                if world().fails_for_no_reason() {
                    return Err(self.load(failure));
                }
                self.compare_exchange(current, new, success, failure)
            }
            /// As core's, whose load and exchange are two operations, too.
            pub fn try_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                mut f: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut before = self.load(fetch);
                while let Some(next) = f(before) {
                    match self.compare_exchange_weak(before, next, set, fetch) {
                        Ok(_) => return Ok(before),
                        Err(other) => before = other,
                    }
                }
                Err(before)
            }
            pub fn update(
                &self,
                set: Ordering,
                fetch: Ordering,
                mut f: impl FnMut($value) -> $value,
            ) -> $value {
                match self.try_update(set, fetch, |value| Some(f(value))) {
                    Ok(before) | Err(before) => before,
                }
            }
        }
    };
}

macro_rules! observed_number {
    ($name:ident, $value:ty) => {
        observed!($name, $value);
        observed_number!(@ $name, $value, fetch_add fetch_sub fetch_or fetch_and fetch_max fetch_min);
    };
    (@ $name:ident, $value:ty, $($operation:ident)+) => {
        #[allow(missing_docs, reason = "as core's")]
        impl $name {
            $(pub fn $operation(&self, value: $value, order: Ordering) -> $value {
                world().point();
                self.0.$operation(value, order)
            })+
        }
    };
}

observed!(AtomicBool, bool);
observed!(AtomicPtr<T>, *mut T);
observed_number!(AtomicU8, u8);
observed_number!(AtomicU32, u32);
observed_number!(AtomicU64, u64);
observed_number!(AtomicUsize, usize);
observed_number!(AtomicI32, i32);
observed_number!(AtomicI64, i64);

//! Sequences of allocator calls, from random choices or from a fuzzer's bytes, and a reference
//! that each of them is held against: a map of the live blocks.
//!
//! ```text
//!  bytes ────► decode ─┐ steps      script          calls of      World
//!                      ├──────────► names blocks, ──────────────► each call to a Face, all
//!  proptest ───────────┘            knows refusals  numbered       promises looked at after it
//!                                     │ Display     blocks
//!                                     ▼
//!                                   lines of C                    Direct, Rust   this process's heap
//!                                                                 Loaded         a libcidmalloc.so
//! ```
//!
//! A step says "some block of those that live"; what that means is settled by [`script`] before
//! anything runs, so a sequence that fails can be printed as a program, and loses nothing of its
//! meaning when steps before it are left out.

mod blocks;
mod decode;
mod direct;
mod face;
mod loaded;
mod script;
mod step;
mod workers;
mod world;

pub use decode::{decode, encode, input};
pub use direct::{Direct, Rust};
pub use face::{Answer, Face, Left, Old, Request};
pub use loaded::Loaded;
pub use script::{Call, Line, Refusal, Script, script};
pub use step::{Form, HUGE, LARGEST, Op, Step, THREADS};
pub use world::{Done, run};

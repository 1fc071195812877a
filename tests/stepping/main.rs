//! An abort forced at every instruction of every window, one at a time: no partial effect, ever.
//!
//! ```text
//!   tracer (this test)                    traced
//!   memory := a prepared state            int3 ── waits for it
//!   int3 at one instruction               one operation of rseq_sys::cs, or a round of malloc
//!     ◄── stopped there                     before the commit store nothing has changed
//!   resume: the kernel aborts             abort handler ── counted ── begins again
//!     ◄── the end                           memory and outcome are those of an undisturbed run
//! ```
//!
//! `sections.rs` does so with each operation alone, in each of the states of `cases.rs`, and
//! compares all memory of a shard with `model.rs`; `library.rs` with the copies of the windows
//! in `libcidmalloc.so`, whose program (`rounds.c`) looks at its blocks.

#[cfg(all(target_arch = "x86_64", not(feature = "inject")))]
mod cases;
#[cfg(all(target_arch = "x86_64", not(feature = "inject")))]
mod library;
#[cfg(all(target_arch = "x86_64", not(feature = "inject")))]
mod model;
#[cfg(all(target_arch = "x86_64", not(feature = "inject")))]
mod sections;
#[cfg(all(target_arch = "x86_64", not(feature = "inject")))]
mod world;

#[cfg(any(not(target_arch = "x86_64"), feature = "inject"))]
#[test]
fn every_instruction_can_be_aborted() {
    let why = "the tracer is for x86-64 alone, and for windows without points of injection";
    cidalloc_tests::skip("aborts at each instruction", why);
}

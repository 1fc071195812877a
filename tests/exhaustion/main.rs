//! Memory that ends anywhere: each system call of the library fails in turn, with each error.
//!
//! ```text
//!   all.c         one process through every entry point, and what it must find afterwards
//!   failing.rs    a tracer that fails the n-th of the library's calls, or all from there on
//!   limits.rs     RLIMIT_AS and a cgroup, as the kernel itself enforces them
//! ```
//!
//! `vm.overcommit_memory=2` and `vm.max_map_count` are of a whole machine: `tests/guest/run`
//! sets them in one of its own.

#[cfg(target_arch = "x86_64")]
mod failing;
mod limits;

#[cfg(not(target_arch = "x86_64"))]
#[test]
fn every_call_may_fail() {
    cidalloc_tests::skip("failing system calls", "the tracer is for x86-64 alone");
}

//! What the tests across the crates share: the library under test, compilers, child processes,
//! and views of a built library.
//!
//! ```text
//!   subject   which .so is under test        CIDALLOC_TEST_LIB = path | none; else cargo builds ours
//!   compile   C and C++ sources → programs   CC, CXX
//!   child     program + .so → what it said   timeouts, limits, signals, skips
//!   hung      where the threads of a program are that did not end in time
//!   elf       .so → exports, flags, __rseq_cs with relocations applied
//!   code      function → instruction classes, the shortest way that commits a window
//!   trace     a process under ptrace: stopped at any instruction, failed at any system call
//!   reliability   a line of docs/reliability.md for each fault
//! ```
//!
//! A program under test is a separate process, because the heap is a static of its process.
//! Programs say `ok CASE` or `skip CASE: REASON` on stdout and exit 0, or name the check that
//! failed in one line on stderr and exit 1 (see `c/check.h`).
//!
//! | variable | meaning |
//! | --- | --- |
//! | `CIDALLOC_TEST_LIB` | path of the library to test instead of ours, or `none` for libc alone |
//! | `CIDALLOC_TEST_SOURCE` | the source of cids that the surroundings force: see `tests/sources` |
//! | `CIDALLOC_FORBID_SKIP` | `1`: what would be skipped fails |
//! | `CIDALLOC_TEST_FULL` | `1`: the full form of what is done some hundred times, or in part, otherwise |
//! | `CIDALLOC_BLESS` | `1`: golden files are rewritten instead of compared |

pub mod child;
pub mod code;
pub mod compile;
pub mod elf;
pub mod hung;
pub mod reliability;
pub mod subject;
#[cfg(target_arch = "x86_64")]
pub mod trace;

pub use child::{Limits, Output, assert_aborted, passes, passes_with, run_preloaded};
pub use compile::{Compiler, compile_c, compile_c_with, compile_cxx};
pub use subject::{Subject, preload_library, subject};

use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of this crate, where the sources of the test programs are.
#[must_use]
pub fn tests_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder that test programs are built in, under the target folder.
#[must_use]
pub fn programs_root() -> PathBuf {
    let exe = std::env::current_exe().expect("the path of the test binary");
    // target/debug/deps/TEST → target/debug/cidalloc-test-programs
    let deps = exe.parent().expect("the folder of the test binary");
    let profile = deps.parent().unwrap_or(deps);
    let root = profile.join("cidalloc-test-programs");
    std::fs::create_dir_all(&root).unwrap_or_else(|e| panic!("cannot create {root:?}: {e}"));
    root
}

/// Says in one line that something was not tested and why; fails where skips are forbidden.
///
/// # Panics
/// If `CIDALLOC_FORBID_SKIP` is 1.
pub fn skip(what: &str, why: &str) {
    let line = format!("skipped: {what}: {why}\n");
    assert!(
        std::env::var("CIDALLOC_FORBID_SKIP").as_deref() != Ok("1"),
        "{line}skips are forbidden here (CIDALLOC_FORBID_SKIP=1)"
    );
    // Written past the harness's capture, which would swallow the line of a passing test.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

//! First calls and unusual surroundings: before `main`, after it, in fresh threads, around
//! fork, in signal handlers, and with every state of the rseq registration.
//!
//! ```text
//!   before_main.c    .preinit_array, early constructors; atexit handlers, destructors
//!   threads.c        the first call of a thread; thread-specific destructors
//!   fork.c           fork of a process with busy threads, vfork + exec, posix_spawn
//!   signals.c        handlers at 1 kHz that allocate
//!   registration.c   rseq: registered, never registered, refused, unregistered on the way
//! ```

use cidalloc_tests::{Limits, child::run_case, passes, passes_with, skip, subject};

macro_rules! cases {
    ($source:literal: $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                passes(concat!("startup/", $source), stringify!($case));
            }
        )*
    };
}

cases! { "before_main.c":
    malloc_may_come_first_in_preinit_array
    malloc_works_in_early_constructors
    malloc_works_in_exit_handlers
}

cases! { "threads.c":
    first_operation_may_be_free
    first_operation_may_be_free_of_a_large_block
    first_operation_may_be_realloc
    first_operation_may_be_calloc
    first_operation_may_be_aligned
    first_operation_may_be_usable_size
    thread_specific_destructors_may_free_and_allocate
    blocks_outlive_their_threads
    many_threads_come_and_go
}

cases! { "fork.c":
    child_of_busy_threads_can_allocate
    child_may_have_threads_of_its_own
    grandchildren_can_allocate
    vfork_and_exec_leave_the_heap_alone
    posix_spawn_leaves_the_heap_alone
}

cases! { "signals.c":
    handlers_may_allocate_beside_small_blocks
    handlers_may_allocate_beside_large_blocks
    handlers_may_allocate_beside_many_threads
}

cases! { "registration.c":
    work_is_done_with_registered_threads
    unregistered_threads_exchange_blocks_with_registered_ones
    main_thread_may_lose_its_registration
}

/// The handlers that write from exit must have run: their lines come after `ok`.
#[test]
fn destructors_run_to_the_end() {
    let case = "malloc_works_in_exit_handlers";
    let Some(output) = run_case("startup/before_main.c", case, &Limits::default()) else {
        return;
    };
    let last: Vec<&str> = output.stdout.lines().rev().take(3).collect();
    assert_eq!(
        last,
        ["late destructor done", "exit handler done", "nested exit handler done"],
        "{output}"
    );
}

const NO_TUNABLE: (&str, &str) = ("GLIBC_TUNABLES", "glibc.pthread.rseq=0");

/// `denied`: how rseq(2) fails, if it does.
fn works_without_registration(denied: Option<&str>, envs: &[(&str, &str)]) {
    let calls = denied.map(|error| format!("rseq={error}"));
    let without = env!("CARGO_BIN_EXE_without");
    let launcher = calls.as_deref().map(|calls| [without, calls]);
    let limits = Limits {
        launcher: launcher.as_ref().map_or(&[], |command| &command[..]),
        envs,
        args: &[denied.unwrap_or("possible")],
        ..Limits::default()
    };
    passes_with("startup/registration.c", "work_is_done_without_registration", &limits);
}

#[test]
fn malloc_works_when_libc_registers_nothing() {
    works_without_registration(None, &[NO_TUNABLE]);
}

#[test]
fn malloc_works_when_rseq_returns_enosys() {
    works_without_registration(Some("ENOSYS"), &[]);
}

#[test]
fn malloc_works_when_rseq_returns_enosys_and_libc_does_not_ask() {
    works_without_registration(Some("ENOSYS"), &[NO_TUNABLE]);
}

/// What container runtimes with an old seccomp profile do.
#[test]
fn malloc_works_when_rseq_returns_eperm() {
    works_without_registration(Some("EPERM"), &[]);
}

/// The statistics name a source; where the surroundings force one on all tests, that one, which
/// proves that it reaches the programs under test.
#[test]
fn statistics_name_the_source_that_is_forced() {
    if !subject().is_ours() {
        skip("the source of cids", "libcidmalloc alone has one");
        return;
    }
    let forced = std::env::var("CIDALLOC_TEST_SOURCE");
    let forced = forced.as_deref().ok();
    let limits = Limits { envs: &[("CIDALLOC_STATS", "1")], ..Limits::default() };
    let Some(output) = run_case("startup/threads.c", "blocks_outlive_their_threads", &limits)
    else {
        return;
    };
    let line = output.stderr.lines().find_map(|line| line.strip_prefix("cid_source"));
    let source = line.and_then(|line| line.trim_start().split(':').next()).unwrap_or("");
    let expected = forced.map_or(vec!["kernel", "cpu", "emulated", "none"], |one| vec![one]);
    assert!(expected.contains(&source), "not one of {expected:?}: {output}");
}

//! The hardened mode beside what surrounds it: its option, its statistics, its guards where the
//! system refuses them, forks and threads.
//!
//! What it detects is in `tests/misuse/`; that it loses nothing, in `tests/stress/`.

use cidalloc_tests::child::run_case;
use cidalloc_tests::{Limits, Output, passes_with, reliability, skip, subject};
use std::os::unix::process::ExitStatusExt;

const ON: (&str, &str) = ("CIDALLOC_HARDENED", "1");
const STATS: (&str, &str) = ("CIDALLOC_STATS", "1");

fn ours() -> bool {
    if !subject().is_ours() {
        skip("the hardened mode", "libcidmalloc alone has one");
    }
    subject().is_ours()
}

/// What the statistics say behind `key`.
fn value<'a>(output: &'a Output, key: &str) -> &'a str {
    let line = output.stderr.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap_or_else(|| panic!("no {key}: {output}")).trim_start()
}

fn number(output: &Output, key: &str) -> u64 {
    let word = value(output, key).split(' ').next().unwrap_or("");
    word.parse().unwrap_or_else(|_| panic!("{key} is {word:?}: {output}"))
}

/// The busy program with these variables, and a launcher before it.
fn busy(envs: &[(&str, &str)], launcher: &[&str]) -> Option<Output> {
    let limits = Limits { envs, launcher, ..Limits::default() };
    run_case("startup/threads.c", "blocks_outlive_their_threads", &limits)
}

#[test]
fn statistics_name_the_parts_that_are_on() {
    if !ours() {
        return;
    }
    let all = "state, guard, canary, zero, random, quarantine";
    for (option, said) in [("0", "off"), ("1", all), ("zero,state", "state, zero")] {
        let Some(output) = busy(&[("CIDALLOC_HARDENED", option), STATS], &[]) else { return };
        assert!(output.status.success(), "{output}");
        assert_eq!(value(&output, "hardened"), said, "{output}");
        let guards = number(&output, "guards");
        assert_eq!(guards > 0, option == "1", "{output}");
        assert_eq!(number(&output, "quarantined") > 0, option == "1", "{output}");
    }
    let Some(output) = busy(&[("CIDALLOC_HARDENED", "2")], &[]) else { return };
    let line = "cidalloc: CIDALLOC_HARDENED=2 ignored: expected 0, 1, or some of \
                state,guard,canary,zero,random,quarantine";
    assert_eq!(output.stderr.trim_end(), line);
}

/// Kernels before 6.13 know no light guards: then they are mappings.
#[test]
fn guards_are_mappings_where_the_kernel_has_no_lighter_ones() {
    if !ours() {
        return;
    }
    let launcher = [env!("CARGO_BIN_EXE_without"), "madvise=EINVAL"];
    let Some(output) = busy(&[ON, STATS], &launcher) else { return };
    assert!(output.status.success(), "{output}");
    assert!(number(&output, "guards") > 0 && number(&output, "guard_refusals") == 0, "{output}");
    let limits = Limits { args: &["100"], envs: &[ON], launcher: &launcher, ..Limits::default() };
    let Some(output) = run_case("misuse/uses.c", "overflow_without_end", &limits) else { return };
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{output}");
    let how = "madvise refused by a filter, guards by mprotect";
    reliability::line("misuse", "overflow beyond the span", how, 1, "hardened: seen 1 of 1 times");
}

/// A process may have so many mappings. Where it has them all, the program goes on without guards,
/// and the statistics say how many.
#[test]
fn programs_go_on_without_guards_that_the_system_refuses() {
    if !ours() {
        return;
    }
    let limits = Limits { envs: &[ON, STATS], ..Limits::default() };
    let case = "blocks_are_had_where_mappings_have_ended";
    let Some(output) = run_case("hardened/mappings.c", case, &limits) else { return };
    assert!(output.status.success(), "{output}");
    if let Some(line) = output.stdout.lines().find(|line| line.starts_with("skip ")) {
        return skip(case, line);
    }
    let refused = number(&output, "guard_refusals");
    assert!(refused > 0 && number(&output, "guards") > 0, "{output}");
    let outcome = format!("hardened: {refused} guards refused and counted; every block was had");
    let how = "as many mappings as a process may have, light guards refused";
    reliability::line("exhaustion", "no mapping is left for guards", how, 1, &outcome);
}

/// A bit is set and cleared by whoever has the block: threads, and children of forks.
#[test]
fn threads_and_forks_exchange_blocks_in_the_hardened_mode() {
    for (source, case) in [
        ("startup/fork.c", "child_of_busy_threads_can_allocate"),
        ("startup/threads.c", "many_threads_come_and_go"),
        ("startup/before_main.c", "malloc_may_come_first_in_preinit_array"),
    ] {
        passes_with(source, case, &Limits { envs: &[ON], ..Limits::default() });
    }
}

/// However large it is, and whether it waits or not.
#[test]
fn what_was_in_large_blocks_is_gone_when_they_are_handed_out_again() {
    if !ours() {
        return;
    }
    for parts in ["1", "zero", "zero,quarantine", "zero,quarantine,state"] {
        for case in ["what_was_in_large_blocks_is_gone", "large_blocks_are_zero_from_calloc"] {
            let envs = &[("CIDALLOC_HARDENED", parts)];
            passes_with("hardened/large.c", case, &Limits { envs, ..Limits::default() });
        }
    }
}

//! Misuse is specified: what is detected, with which line, and what is not. By default and in the
//! hardened mode.
//!
//! One child process each. It says the address on stdout, misuses it, and must end as `cases.rs`
//! says: by SIGABRT with one line on stderr, by SIGSEGV, or not at all.

mod cases;
mod compare;

use cases::{Case, End, RIGHT, ROWS, Row};
use cidalloc_tests::child::run_case;
use cidalloc_tests::{Limits, Output, assert_aborted, reliability, skip, subject, tests_root};
use std::os::unix::process::ExitStatusExt;

const HARDENED: &str = "CIDALLOC_HARDENED";

/// The values of the option that the tests run with, in the order of [`Row::words`].
const MODES: [(&str, &str); 2] = [("default", "0"), ("hardened", "1")];

fn run(case: &Case, mode: usize) -> Option<Output> {
    if !subject().is_ours() {
        skip(case.source, "misuse is specified for libcidmalloc alone");
        return None;
    }
    let envs = [(HARDENED, MODES[mode].1)];
    run_case(case.source, case.name, &Limits { args: case.args, envs: &envs, ..Limits::default() })
}

/// The address that the child said it would misuse.
fn address(output: &Output) -> Option<&str> {
    output.stdout.lines().find_map(|line| line.strip_prefix("misused "))
}

/// Whether the child ended as it should, and was ended by the library.
fn ends_as(output: &Output, end: End) -> Result<bool, String> {
    let signal = output.status.signal();
    let survived = output.status.success() && output.stdout.contains("survived");
    let refused = |line: &str| {
        let line = format!("cidalloc: {line}: {}", address(output).unwrap_or("(no address)"));
        signal == Some(libc::SIGABRT) && output.stderr.lines().next() == Some(&line)
    };
    let seen = match end {
        End::Line(line) => refused(line).then_some(true),
        End::Kill => (signal == Some(libc::SIGSEGV)).then_some(true),
        End::GoesOn => (survived && output.stderr.is_empty()).then_some(false),
        End::Maybe(_) if survived => output.stderr.is_empty().then_some(false),
        End::Maybe(line) => refused(line).then_some(true),
        End::Wild => (survived || signal == Some(libc::SIGSEGV)).then_some(false),
    };
    seen.filter(|_| !output.timed_out).ok_or_else(|| format!("expected {end:?}: {output}"))
}

fn all_end_as_specified(mode: usize) {
    let mut wrong = Vec::new();
    for Row { what, cases, how } in ROWS {
        let (mut tried, mut seen) = (0, 0);
        for case in *cases {
            let Some(output) = run(case, mode) else { return };
            let end = [case.default, case.hardened][mode];
            match ends_as(&output, end) {
                Ok(noticed) => (tried, seen) = (tried + 1, seen + u64::from(noticed)),
                Err(why) => wrong.push(format!("{} {:?}: {why}", case.name, case.args)),
            }
        }
        let how = if how[mode].is_empty() { "nothing looks for it" } else { how[mode] };
        let outcome = format!("{}: seen {seen} of {tried} times; {how}", MODES[mode].0);
        reliability::line("misuse", what, "programs in C and C++, a process each", tried, &outcome);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_misuse_ends_as_specified_by_default() {
    all_end_as_specified(0);
}

#[test]
fn every_misuse_ends_as_specified_in_the_hardened_mode() {
    all_end_as_specified(1);
}

/// The programs without misuse: what the other tests see comes from the misuse alone.
#[test]
fn same_programs_without_misuse_end_well() {
    for mode in 0..MODES.len() {
        for case in RIGHT {
            let Some(output) = run(case, mode) else { return };
            if let Err(why) = ends_as(&output, End::GoesOn) {
                panic!("{}: {why}", case.name);
            }
        }
    }
}

/// What a free block of a class held cannot be read any more.
#[test]
fn freed_blocks_read_as_zero_in_the_hardened_mode() {
    for case in ROWS.iter().flat_map(|row| row.cases) {
        if case.name != "read_after_free" || case.hardened != End::GoesOn {
            continue;
        }
        let Some(output) = run(case, 1) else { return };
        assert!(output.stdout.contains("read 0\n"), "{output}");
        let Some(output) = run(case, 0) else { return };
        assert!(output.stdout.contains("read 1\n"), "by default nothing is cleared: {output}");
    }
}

/// "Sometimes" has two sides: a double free that is seen dies with its line, one that is not
/// does no harm that this program could see; and among many gaps between the two frees, one at
/// least is seen.
#[test]
fn second_free_of_a_small_block_is_refused_sometimes() {
    let mut detected = 0;
    let gaps = ["0", "1", "7", "31", "63", "200", "500", "1000", "3000", "10000"];
    for gap in gaps {
        for size in ["16", "64", "500"] {
            let Some(output) = second_free(&[gap, size], "0") else { return };
            if output.status.success() {
                continue;
            }
            assert_double(&output);
            detected += 1;
        }
    }
    assert!(detected > 0, "none of {} double frees was seen", gaps.len() * 3);
}

/// The same in the hardened mode: always, and far from the first free. After thousands of frees
/// the block has been handed out and freed in between, or it still waits: both are seen.
#[test]
fn second_free_of_a_small_block_is_always_refused_in_the_hardened_mode() {
    for gap in ["0", "63", "200"] {
        for size in ["16", "500"] {
            let Some(output) = second_free(&[gap, size], "1") else { return };
            assert_double(&output);
        }
    }
}

fn second_free(args: &[&str], hardened: &str) -> Option<Output> {
    if !subject().is_ours() {
        skip("second frees", "misuse is specified for libcidmalloc alone");
        return None;
    }
    let limits = Limits { args, envs: &[(HARDENED, hardened)], ..Limits::default() };
    run_case("misuse/misuse.c", "second_free_of_a_small_block", &limits)
}

fn assert_double(output: &Output) {
    let address = address(output).expect("the child names the address");
    assert_aborted(output, &format!("cidalloc: double free: {address}"));
}

/// Two copies in one cache that is then emptied: seen or not, nothing else may happen.
#[test]
fn second_free_before_trim_is_refused_or_survived() {
    if !subject().is_ours() {
        return skip("second frees", "misuse is specified for libcidmalloc alone");
    }
    let limits = Limits { envs: &[(HARDENED, "0")], ..Limits::default() };
    let Some(output) = run_case("misuse/misuse.c", "second_free_before_trim", &limits) else {
        return;
    };
    if !output.status.success() {
        assert_double(&output);
    }
}

/// Each part alone sees what it is for, and its neighbours do not.
#[test]
fn each_part_of_the_hardened_mode_sees_its_own_misuse() {
    let parts = [
        ("state", "double_free_at_once", "100", "cidalloc: double free"),
        ("canary", "overflow_by_one", "100", "cidalloc: heap overflow of a block of 100 bytes"),
        ("zero", "write_after_free", "100", "cidalloc: write after free"),
    ];
    if !subject().is_ours() {
        return skip("parts", "the hardened mode is libcidmalloc's alone");
    }
    for (part, ..) in parts {
        for (sees, case, size, line) in parts {
            let limits = Limits { args: &[size], envs: &[(HARDENED, part)], ..Limits::default() };
            let Some(output) = run_case("misuse/uses.c", case, &limits) else { return };
            let seen = output.stderr.starts_with(line);
            // Without the bit a second free may still be seen, as by default.
            let may = part == sees || (sees == "state" && seen);
            assert_eq!(seen, may, "{part}: {case}: {output}");
        }
    }
    let limits = Limits { args: &["100"], envs: &[(HARDENED, "guard")], ..Limits::default() };
    let Some(output) = run_case("misuse/uses.c", "overflow_without_end", &limits) else { return };
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{output}");
}

#[test]
fn readme_has_the_table_of_misuse() {
    let mut table =
        String::from("| misuse | default | hardened | how |\n| --- | --- | --- | --- |\n");
    for row in ROWS {
        let ([default, hardened], [by, in_mode]) = (row.words(), row.how);
        let how = match (by.is_empty(), in_mode) {
            (true, _) => format!("hardened: {in_mode}"),
            (false, "as by default") => by.to_owned(),
            _ => format!("{by}; hardened: {in_mode}"),
        };
        table += &format!("| {} | {default} | {hardened} | {how} |\n", row.what);
    }
    let readme = tests_root().join("../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README is text");
    assert!(readme.contains(&format!("\n\n{table}\n")), "the README should have\n\n{table}");
}

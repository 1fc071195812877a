//! Misuse is specified: what is detected, with which line, and what is not.
//!
//! | misuse | detected |
//! | --- | --- |
//! | free or realloc of what the library never gave out | always |
//! | free or realloc of an address inside a block | always |
//! | second free of a large block | always, at once |
//! | second free of a small block | sometimes: when both copies reach the span before one is handed out again |
//!
//! One child process each. It says the address on stdout, misuses it, and must die by SIGABRT
//! with one line on stderr.

use cidalloc_tests::child::run_case;
use cidalloc_tests::{Limits, Output, assert_aborted, skip, subject};

const SOURCE: &str = "misuse/misuse.c";
const NOT_OURS: &str = "cidalloc: free of a pointer that is not ours";
const INTERIOR: &str = "cidalloc: free of an interior pointer";
const DOUBLE: &str = "cidalloc: double free";

fn run(case: &str, args: &[&str]) -> Option<Output> {
    if !subject().is_ours() {
        skip(&format!("{SOURCE} {case}"), "misuse is specified for libcidmalloc alone");
        return None;
    }
    run_case(SOURCE, case, &Limits { args, ..Limits::default() })
}

/// The address that the child said it would misuse.
fn address(output: &Output) -> &str {
    output
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("misused "))
        .unwrap_or_else(|| panic!("the child named no address: {output}"))
}

fn aborts(case: &str, message: &str) {
    let Some(output) = run(case, &[]) else { return };
    assert_aborted(&output, &format!("{message}: {}", address(&output)));
}

macro_rules! always {
    ($message:ident: $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                aborts(stringify!($case), $message);
            }
        )*
    };
}

always! { NOT_OURS:
    free_of_a_stack_address_is_refused
    free_of_a_global_is_refused
    free_of_a_far_address_is_refused
    free_of_an_unmapped_address_is_refused
    free_of_a_small_number_is_refused
    free_of_a_foreign_mapping_is_refused
    realloc_of_a_stack_address_is_refused
}

always! { INTERIOR:
    free_inside_a_small_block_is_refused
    free_inside_a_medium_block_is_refused
    free_inside_a_large_block_is_refused
    free_at_an_odd_address_is_refused
    realloc_inside_a_small_block_is_refused
    realloc_inside_a_large_block_is_refused
}

always! { DOUBLE:
    second_free_of_a_large_block_is_refused
    second_free_of_a_large_block_is_refused_in_another_thread
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
            let Some(output) = run("second_free_of_a_small_block", &[gap, size]) else {
                return;
            };
            if output.status.success() {
                continue;
            }
            assert_aborted(&output, &format!("{DOUBLE}: {}", address(&output)));
            detected += 1;
        }
    }
    assert!(detected > 0, "none of {} double frees was seen", gaps.len() * 3);
}

/// Two copies in one cache that is then emptied: seen or not, nothing else may happen.
#[test]
fn second_free_before_trim_is_refused_or_survived() {
    let Some(output) = run("second_free_before_trim", &[]) else {
        return;
    };
    if !output.status.success() {
        assert_aborted(&output, &format!("{DOUBLE}: {}", address(&output)));
    }
}

/// The program without misuse: what the other tests see comes from the misuse alone.
#[test]
fn same_program_without_misuse_ends_well() {
    let Some(output) = run_case(SOURCE, "no_misuse", &Limits::default()) else {
        return;
    };
    assert!(output.status.success() && output.stderr.is_empty(), "{output}");
}

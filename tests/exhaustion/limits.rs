//! The end of memory as the kernel makes it: limits of a process, and of a cgroup.

use cidalloc_tests::child::{Limits, run_case};
use cidalloc_tests::skip;

const SOURCE: &str = "exhaustion/limits.c";

/// Runs a case, and passes its lines about reliability on.
fn passes(case: &str) {
    let Some(output) = run_case(SOURCE, case, &Limits::default()) else { return };
    assert!(!output.timed_out && output.status.success(), "{case}: {output}");
    let start = format!("skip {case}: ");
    if let Some(why) = output.stdout.lines().find_map(|line| line.strip_prefix(&start)) {
        return skip(&format!("{SOURCE} {case}"), why);
    }
    let lines = output.stdout.lines().filter(|line| line.starts_with("reliability\t"));
    let said = lines.inspect(|line| println!("{line}")).count();
    assert!(said > 0, "{case} ended without a line: {output}");
}

#[test]
fn a_limit_on_data_comes_and_goes() {
    passes("data_limit_moves");
}

#[test]
fn all_works_again_after_the_last_mapping() {
    passes("mappings_run_out");
}

#[test]
fn a_cgroup_is_lived_in_and_exceeded() {
    passes("memory_cgroup");
}

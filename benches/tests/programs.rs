//! The two programs as a user starts them: every row runs, and what cannot be right is
//! refused with a line that says so.

use std::path::Path;
use std::process::{Command, Output};

use cidalloc_benches::catalog::{ROWS, Work};
use cidalloc_benches::record::Record;

fn start(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).env_remove("LD_PRELOAD").output().unwrap()
}

fn compare(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = start(env!("CARGO_BIN_EXE_compare"), arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn every_row_prints_records_that_parse() {
    for row in ROWS.iter().filter(|row| row.work != Work::Once) {
        let output = start(env!("CARGO_BIN_EXE_workload"), &[row.name, "--scale", "0.001"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let records: Vec<_> = text.lines().filter_map(Record::parse).collect();
        assert!(
            output.status.success(),
            "{}: {}",
            row.name,
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(!records.is_empty(), "{} printed: {text}", row.name);
        for record in records {
            assert!(record.name.starts_with(row.name), "{record}");
            assert!(record.value > 0.0 && record.peak_kib > 500, "{record}");
            assert!(record.ops > 0 || row.ops == 0, "{record}");
        }
    }
}

#[test]
fn glibc_alone_is_compared_with_itself() {
    let (code, out, _) =
        compare(&["--allocators", "glibc", "--filter", "pair/16/1t,once", "--scale", "0.01"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("pair/16/1t") && out.contains("1.00x") && out.contains("once"), "{out}");
}

#[test]
fn a_preload_that_is_no_allocator_fails_its_rows() {
    let libm = [
        "/usr/lib/x86_64-linux-gnu/libm.so.6",
        "/usr/lib/aarch64-linux-gnu/libm.so.6",
        "/usr/lib64/libm.so.6",
    ];
    let Some(libm) = libm.into_iter().find(|path| Path::new(path).exists()) else {
        println!("skipped: libm.so.6 is not where Debian, Ubuntu and Fedora have it");
        return;
    };
    let preload = format!("maths={libm}");
    let (code, out, _) = compare(&[
        "--preload",
        &preload,
        "--allocators",
        "maths",
        "--filter",
        "pair/16/1t",
        "--scale",
        "0.01",
        "--rounds",
        "1",
    ]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("FAILED pair/16/1t with maths: the preload did not take effect"), "{out}");
}

#[test]
fn an_unknown_row_is_refused_by_both_programs() {
    let (code, _, err) = compare(&["--filter", "nosuchrow"]);
    assert_eq!((code, err.lines().count()), (Some(2), 1), "{err}");
    let output = start(env!("CARGO_BIN_EXE_workload"), &["nosuchrow"]);
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("workload --list"));
}

#[test]
fn an_allocator_that_hands_a_block_out_twice_is_caught() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = folder.join("libtwice.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/twice.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-fno-builtin", "-o"])
        .args([library.as_os_str(), source.as_ref()])
        .status();
    assert!(built.unwrap().success());
    let preload = format!("twice={}", library.display());
    let (code, out, _) = compare(&[
        "--preload",
        &preload,
        "--allocators",
        "twice",
        "--filter",
        "random/small/1t",
        "--scale",
        "0.001",
        "--rounds",
        "1",
    ]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("was overwritten while it was live"), "{out}");
}

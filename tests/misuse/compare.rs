//! Who notices what: the programs of `cases.rs` under glibc's allocator, those of Debian, and ours.
//!
//! ```text
//!  misuse ⇥ case ⇥ allocator ⇥ notices │ dies │ goes on │ hangs │ has none
//! ```
//!
//! `notices`: it ends by SIGABRT or SIGSEGV after a message of its allocator. `dies`: by a signal,
//! without a message. `has none`: the allocator has no such function.

use crate::cases::{Case, ROWS};
use cidalloc_tests::{compile_c, compile_cxx, reliability, skip, subject};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Seconds after which a program hangs.
const HANGS: &str = "10";

struct Allocator {
    name: &'static str,
    library: Option<PathBuf>,
    hardened: &'static str,
}

fn allocators() -> Vec<Allocator> {
    let ours = || subject().path().map(Path::to_path_buf);
    let mut all = vec![Allocator { name: "glibc", library: None, hardened: "0" }];
    let machine = std::env::consts::ARCH;
    for (name, file) in [
        ("jemalloc", "libjemalloc.so.2"),
        ("mimalloc", "libmimalloc.so.2"),
        ("tcmalloc", "libtcmalloc_minimal.so.4"),
    ] {
        let path = PathBuf::from(format!("/usr/lib/{machine}-linux-gnu/{file}"));
        if path.exists() {
            all.push(Allocator { name, library: Some(path), hardened: "0" });
        } else {
            skip(&format!("misuse under {name}"), &format!("there is no {}", path.display()));
        }
    }
    all.push(Allocator { name: "cidalloc", library: ours(), hardened: "0" });
    all.push(Allocator { name: "cidalloc, hardened", library: ours(), hardened: "1" });
    all
}

fn outcome(case: &Case, allocator: &Allocator) -> Option<&'static str> {
    let program = match case.source {
        source if source.ends_with(".cc") => compile_cxx(source)?,
        source => compile_c(source)?,
    };
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", HANGS, "env"]);
    if let Some(library) = &allocator.library {
        command.arg(format!("LD_PRELOAD={}", library.display()));
    }
    command.arg(program).arg(case.name).args(case.args);
    command.env_remove("CIDALLOC_TEST_LIB").env("CIDALLOC_HARDENED", allocator.hardened);
    let word = match allocator.name {
        "glibc" => "libc",
        name if name.starts_with("cidalloc") => "ours",
        _ => "other",
    };
    command.env("SUBJECT_UNDER_TEST", word).stdin(Stdio::null());
    let output = command.output().expect("timeout of coreutils");
    let (stdout, stderr) = (&output.stdout, &output.stderr);
    let stdout = String::from_utf8_lossy(stdout);
    // `timeout` ends like its child, or by its own signal.
    let signal = output.status.signal().or_else(|| output.status.code().map(|code| code - 128));
    Some(match signal {
        Some(libc::SIGKILL) => "hangs",
        Some(libc::SIGABRT | libc::SIGSEGV | libc::SIGILL | libc::SIGTRAP | libc::SIGBUS) => {
            if stderr.is_empty() {
                "dies"
            } else {
                "notices"
            }
        }
        _ if stdout.contains("skip ") => "has none",
        _ if output.status.success() && !stderr.is_empty() => "notices",
        _ if output.status.success() => "goes on",
        _ => "dies",
    })
}

/// Prints the table. Not judged: other allocators are what they are.
#[test]
#[ignore = "prints a table of other allocators; run it by tests/misuse/compare"]
fn who_notices_what() {
    for allocator in allocators() {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for case in ROWS.iter().flat_map(|row| row.cases) {
            let Some(outcome) = outcome(case, &allocator) else { return };
            *counts.entry(outcome).or_default() += 1;
            let name = [&[case.name], case.args].concat().join(" ");
            println!("misuse\t{name}\t{}\t{outcome}", allocator.name);
        }
        let tried = counts.values().sum();
        let words: Vec<_> = counts.iter().map(|(word, n)| format!("{word} {n}")).collect();
        let fault = format!("all kinds, under {}", allocator.name);
        reliability::line("misuse", &fault, "the same programs", tried, &words.join(", "));
    }
}

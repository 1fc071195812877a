//! What the built library offers to others.

use crate::library::{library, root, run, said, skip};
use std::collections::BTreeSet;
use std::process::Command;

fn exported() -> Option<BTreeSet<String>> {
    if Command::new("nm").arg("--version").output().is_err() {
        skip("no nm here");
        return None;
    }
    let shared = &library().shared;
    let output = run(Command::new("nm").args(["-D", "--defined-only", "-P"]).arg(shared));
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    Some(names.map(str::to_owned).collect())
}

/// The functions that the header declares: not what it defines itself.
fn declared() -> BTreeSet<String> {
    let header = root().join("include/cidpool.h");
    let text = std::fs::read_to_string(header).expect("the header is text");
    let code = text.split("extern \"C\" {").nth(1).expect("declarations");
    let code = code.split("extern \"C\"").next().unwrap_or_default();
    let words = code.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '('));
    let calls = words.filter_map(|word| word.split_once('(')).map(|(name, _)| name);
    calls.filter(|name| name.starts_with("cidpool_")).map(str::to_owned).collect()
}

#[test]
fn the_library_exports_what_the_header_declares_and_nothing_else() {
    let Some(exported) = exported() else { return };
    assert_eq!(exported, declared());
}

#[test]
fn malloc_stays_the_programs() {
    let Some(exported) = exported() else { return };
    let theirs = ["malloc", "free", "calloc", "realloc", "aligned_alloc", "posix_memalign"];
    assert!(theirs.iter().all(|name| !exported.contains(*name)), "{exported:?}");
}

/// The kernel and libc hold addresses of its code: `build.rs` tells the linker so.
#[test]
fn the_shared_library_has_its_name_and_is_never_unloaded() {
    if Command::new("readelf").arg("--version").output().is_err() {
        skip("no readelf here");
        return;
    }
    let output = run(Command::new("readelf").args(["-d", "-W"]).arg(&library().shared));
    let text = said(&output);
    let says = |what: &str, word: &str| {
        text.lines().any(|line| line.contains(what) && line.contains(word))
    };
    assert!(says("(SONAME)", "[libcidpool.so]") && says("(FLAGS_1)", "NODELETE"), "{text}");
}

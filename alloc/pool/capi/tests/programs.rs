//! C programs that use the library: linked to it in both forms, under each source of cids.

use crate::library::{Linked, compile, header_compiles, root, run, said, skip};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output};

/// The best that there is, those that can be had on every kernel, and none.
const SOURCES: [&str; 4] = ["auto", "cpu", "emulated", "none"];

/// A program that is there as long as it runs.
struct Program(PathBuf);

impl Program {
    fn of(source: &str, linked: Linked) -> Option<Self> {
        compile(source, linked).map(Self)
    }
    fn command(&self, cids: &str) -> Command {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", "300"]).arg(&self.0);
        // The library reports variables of its prefix that it does not know.
        let ours = std::env::vars_os().map(|(name, _)| name);
        for name in ours.filter(|name| name.as_encoded_bytes().starts_with(b"CIDALLOC_")) {
            command.env_remove(name);
        }
        command.env("CIDALLOC_CID", cids);
        // What the kernel offers is the kernel's affair; these are ours.
        match cids {
            "emulated" => command.env("EXPECTED_CIDS", "yes"),
            "none" => command.env("EXPECTED_CIDS", "no"),
            _ => command.env_remove("EXPECTED_CIDS"),
        };
        command
    }
    fn run(&self, cids: &str, arguments: &[&str]) -> Output {
        run(self.command(cids).args(arguments))
    }
    fn passes(&self, cids: &str) {
        self.passes_in(cids, &[]);
    }
    fn passes_in(&self, cids: &str, environment: &[(&str, &str)]) {
        let output = run(self.command(cids).envs(environment.iter().copied()));
        assert!(output.status.success(), "with cids {cids}: {}", said(&output));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn each_function_keeps_its_contract() {
    let Some(program) = Program::of("tests/c/contract.c", Linked::Shared) else { return };
    SOURCES.iter().for_each(|cids| program.passes(cids));
}

#[test]
fn operations_are_done_once_on_every_source_of_cids() {
    let Some(program) = Program::of("tests/c/operations.c", Linked::Shared) else { return };
    SOURCES.iter().for_each(|cids| program.passes(cids));
}

#[test]
fn operations_are_done_once_where_libc_registers_nobody() {
    let Some(program) = Program::of("tests/c/operations.c", Linked::Shared) else { return };
    program.passes_in("auto", &[("GLIBC_TUNABLES", "glibc.pthread.rseq=0")]);
}

#[test]
fn the_archive_makes_programs_without_the_shared_library() {
    let Some(program) = Program::of("tests/c/operations.c", Linked::Archive) else { return };
    program.passes("auto");
}

#[test]
fn misuse_ends_the_process_with_one_line() {
    let Some(program) = Program::of("tests/c/misuse.c", Linked::Shared) else { return };
    for (case, line) in [
        ("foreign", "cidpool: free of what is no item of a pool: 0x"),
        ("interior", "cidpool: misused: free of a pointer into an item: 0x"),
        ("wrong_stride", "cidpool: misused: free of 0x"),
        ("double_free", "cidpool: misused: double free: 0x"),
        ("write_after_free", "cidpool: misused: write after free: 0x"),
        ("leak", "cidpool: misused: dropped with 1 item allocated, one of them 0x"),
    ] {
        let output = program.run("auto", &[case]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{case}: {}", said(&output));
        assert!(text.starts_with(line) && text.lines().count() == 1, "{case}: {text}");
    }
}

#[test]
fn the_header_is_c_and_cxx() {
    header_compiles("CC", "cc", "c", "c99");
    header_compiles("CC", "cc", "c", "gnu11");
    header_compiles("CXX", "c++", "c++", "c++11");
}

/// The program in librseq's names, and what it became.
const BEFORE: &str = "examples/librseq_names.c";
const AFTER: &str = "examples/ported.c";

fn text(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The comment at the beginning of a program, and the program.
fn split(program: &str) -> (&str, &str) {
    program.split_once("*/\n").expect("a program begins with a comment")
}

/// The renames that the comment of the port lists, two names to a line.
fn renames(comment: &str) -> Vec<(&str, &str)> {
    let lines =
        comment.lines().filter_map(|line| line.trim_start_matches(" *").trim().split_once(" -> "));
    lines.map(|(from, to)| (from.trim(), to.trim())).collect()
}

#[test]
fn the_example_for_librseq_is_ported_by_renaming() {
    let (before, after) = (text(BEFORE), text(AFTER));
    let (_, code) = split(&before);
    let (comment, ported) = split(&after);
    let renames = renames(comment);
    assert!(renames.len() >= 5, "{renames:?}");
    let mut unused: BTreeSet<_> = renames.iter().map(|(from, _)| *from).collect();
    let renamed = renames.iter().fold(code.to_owned(), |code, (from, to)| {
        if code.contains(from) {
            unused.remove(from);
        }
        code.replace(from, to)
    });
    assert_eq!(renamed, ported);
    assert!(unused.is_empty(), "nothing to rename: {unused:?}");
    assert!(!ported.to_lowercase().contains("rseq"), "a name of librseq is left");
}

#[test]
fn the_ported_example_counts_and_loses_no_node() {
    let Some(program) = Program::of(AFTER, Linked::Shared) else { return };
    for cids in SOURCES {
        let output = program.run(cids, &[]);
        match output.status.code() {
            Some(0) => {}
            Some(77) if cids == "none" => {}
            Some(77) if cids != "emulated" => {
                skip(&format!("{AFTER} with cids {cids}: {}", said(&output)))
            }
            _ => panic!("{AFTER} with cids {cids}: {}", said(&output)),
        }
    }
}

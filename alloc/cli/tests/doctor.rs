//! `cidalloc doctor` on this host, and on the same host with things taken away.
#![allow(unsafe_code)]

mod common;
#[path = "../../../tests/src/seccomp.rs"]
mod seccomp;

use common::COMMAND;
use serde_json::Value;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

/// `cidalloc doctor --library … ARGS`, ready to start.
fn command(args: &[&str]) -> Command {
    common::command("doctor", args)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn output(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert_eq!(text(&output.stderr), "");
    output
}

/// The report, as JSON, of a doctor that could look.
fn report(command: &mut Command) -> Value {
    let output = output(command.arg("--json"));
    assert!(output.status.success(), "{:?}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn value<'a>(report: &'a Value, name: &str) -> &'a Value {
    let value = &report["points"][name]["value"];
    assert!(!value.is_null(), "no {name} in {report:#}");
    value
}

/// What is degraded, by name.
fn degraded(report: &Value) -> Vec<&str> {
    let all = report["degraded"].as_array().unwrap();
    all.iter().map(|point| point["name"].as_str().unwrap()).collect()
}

fn mend<'a>(report: &'a Value, name: &str) -> &'a str {
    let all = report["degraded"].as_array().unwrap();
    all.iter().find(|point| point["name"] == name).unwrap()["mend"].as_str().unwrap()
}

/// Runs `f` in the child before it becomes the doctor.
fn before(mut command: Command, f: impl Fn() -> bool + Send + Sync + 'static) -> Command {
    let call = move || if f() { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: what the tests do there is system calls, without allocation.
    unsafe { command.pre_exec(call) };
    command
}

#[test]
fn it_agrees_with_the_library_and_with_what_it_tried() {
    let report = report(&mut command(&[]));
    assert_eq!(value(&report, "cid_source"), value(&report, "library"));
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(value(&report, "kernel"), release.trim());
    if value(&report, "rseq_owner") == "nobody" {
        println!("skipped in part: no rseq on this host");
        return;
    }
    assert_eq!(value(&report, "cpu_id"), "live");
    assert_ne!(value(&report, "mm_cid"), "wrong");
    if value(&report, "section_release") == "sound" {
        // A busy host may leave the watcher alone.
        let tried = value(&report, "section_abort");
        assert!(tried == "aborted" || tried == "unknown", "{tried}");
    }
}

#[test]
fn it_is_text_like_the_statistics() {
    let output = output(&mut command(&[]));
    assert_eq!(output.status.code(), Some(0));
    let text = text(&output.stdout);
    let (points, degraded) = text.split_once("[degraded]\n").unwrap();
    let mut lines = points.lines();
    assert!(lines.next().unwrap().starts_with("cidalloc: "));
    for line in lines {
        let (name, value) = line.split_at(16);
        assert!(name.ends_with(' ') && !name.trim().contains(' '), "{line}");
        assert!(!value.trim().is_empty() && !line.ends_with(' '), "{line:?}");
    }
    assert!(degraded.lines().all(|line| line == "nothing" || line.contains("; to mend it: ")));
}

#[test]
fn a_refused_rseq_is_degraded_and_names_its_remedy() {
    for error in [libc::ENOSYS, libc::EPERM] {
        let refuse = move || seccomp::refuse(&[(libc::SYS_rseq, error)]).is_ok();
        let make = |args| before(command(args), refuse);
        let report = report(&mut make(&[]));
        assert_eq!(value(&report, "rseq_owner"), "nobody");
        assert_eq!(value(&report, "mm_cid"), "absent");
        assert_eq!(value(&report, "section_abort"), "unknown");
        assert_eq!(value(&report, "seccomp"), "filter");
        assert_eq!(value(&report, "cid_source"), "emulated");
        assert_eq!(value(&report, "library"), "emulated");
        assert!(mend(&report, "rseq_owner").contains("seccomp"), "{report:#}");
        assert_eq!(output(&mut make(&["--strict"])).status.code(), Some(1));
        assert_eq!(output(&mut make(&[])).status.code(), Some(0));
    }
}

#[test]
fn the_tunable_is_seen_and_cids_stay() {
    let plain = report(&mut command(&[]));
    if value(&plain, "rseq_owner") != "libc" {
        println!("skipped: this libc registers no areas");
        return;
    }
    let without = report(command(&[]).env("GLIBC_TUNABLES", "glibc.pthread.rseq=0"));
    assert_eq!(value(&without, "rseq_owner"), "cidalloc");
    assert_eq!(value(&without, "rseq_size"), 0);
    assert_eq!(value(&without, "rseq_tunable"), "0");
    assert!(mend(&without, "rseq_owner").contains("GLIBC_TUNABLES"));
    for same in ["mm_cid", "cpu_id", "cid_source", "library"] {
        assert_eq!(value(&without, same), value(&plain, same));
    }
}

#[test]
fn a_forced_source_is_told_to_be_forced() {
    let best = report(&mut command(&[]));
    for forced in ["cpu", "emulated", "none"] {
        let report = report(command(&[]).env("CIDALLOC_CID", forced));
        if value(&best, "cid_source") != "kernel" {
            println!("skipped: this host has no mm_cid to be better");
            return;
        }
        assert_eq!(value(&report, "cid_source"), forced);
        assert_eq!(value(&report, "library"), forced);
        assert!(mend(&report, "cid_source").contains("kernel would be used"));
    }
}

#[test]
fn refused_calls_are_named_one_by_one() {
    const CALLS: [i64; 4] =
        [libc::SYS_mbind, libc::SYS_get_mempolicy, libc::SYS_move_pages, libc::SYS_membarrier];
    let refuse = || seccomp::refuse(&CALLS.map(|call| (call, libc::EPERM))).is_ok();
    let mut command = before(command(&[]), refuse);
    let report = report(&mut command);
    for name in ["mbind", "get_mempolicy", "move_pages", "fence"] {
        assert_eq!(value(&report, name), "refused");
    }
    assert_eq!(value(&report, "membarrier"), "absent");
    assert!(mend(&report, "fence").contains("seccomp"));
    let costs = degraded(&report).contains(&"mbind");
    assert_eq!(costs, value(&report, "nodes_online").as_u64().unwrap() > 1);
}

#[test]
fn a_limit_on_address_space_is_degraded() {
    const LIMIT: u64 = 8 << 30;
    let report = report(&mut before(command(&[]), || {
        let limit = libc::rlimit { rlim_cur: LIMIT, rlim_max: LIMIT };
        // SAFETY: the kernel reads a structure of that type.
        unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) == 0 }
    }));
    assert_eq!(value(&report, "address_space"), LIMIT);
    assert!(degraded(&report).contains(&"address_space"));
}

#[test]
fn one_cpu_shows_no_two_cids() {
    let report = report(&mut before(command(&[]), || {
        let one = numa_sys::topology::current_cpu_and_node()
            .ok()
            .and_then(|(cpu, _)| numa_sys::CpuMask::single(cpu).ok());
        one.is_some_and(|cpus| numa_sys::numa_sched_setaffinity(&cpus).is_ok())
    }));
    assert_eq!(value(&report, "cpus_allowed"), 1);
    let cid = value(&report, "mm_cid");
    assert!(cid == "plausible" || cid == "absent", "{cid}");
}

#[test]
fn without_a_library_there_is_the_explanation_alone() {
    let output = output(Command::new(COMMAND).args(["doctor", "--library", "/nowhere.so"]));
    assert_eq!(output.status.code(), Some(0));
    let text = text(&output.stdout);
    let library = text.lines().find(|line| line.starts_with("library ")).unwrap();
    assert!(library.starts_with("library         not asked: library /nowhere.so: "), "{library}");
}

#[test]
fn a_wrong_argument_is_refused() {
    let output = Command::new(COMMAND).args(["doctor", "--strickt"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

//! The two programs as a user starts them: every row runs, what was measured is written
//! down even after an interrupt, and what cannot be right is refused with a line that says
//! so.

use core::time::Duration;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cidalloc_benches::catalog::{Kind, ROWS, Work};
use cidalloc_benches::record::{Latency, Record};
use cidalloc_benches::results::{self, Results};

fn start(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).env_remove("LD_PRELOAD").output().unwrap()
}

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs `compare` with its results in a folder of this name.
fn compare(name: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let out = folder(name);
    let mut all = arguments.to_vec();
    all.extend(["--out", out.to_str().unwrap()]);
    let output = start(env!("CARGO_BIN_EXE_compare"), &all);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn results(name: &str) -> Results {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    Results::read(&folder.join("results.json")).unwrap()
}

/// Compiles a C file of this folder to a library to preload.
fn library(source: &str) -> String {
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{source}.so"));
    let source = format!("{}/tests/{source}", env!("CARGO_MANIFEST_DIR"));
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-fno-builtin", "-o"])
        .args([library.as_os_str(), source.as_ref()])
        .status();
    assert!(built.unwrap().success());
    library.display().to_string()
}

#[test]
fn every_row_prints_records_that_parse() {
    let of_workload = |work| !matches!(work, Work::Once | Work::Program(_));
    for row in ROWS.iter().filter(|row| of_workload(row.work)) {
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
        let latencies = text.lines().filter_map(Latency::parse).count();
        assert_eq!(latencies, if row.kind() == Kind::Latency { 2 } else { 0 }, "{text}");
    }
}

#[test]
fn a_quick_run_leaves_results_a_table_and_a_page() {
    let forward = format!("forward={}", library("forward.c"));
    let filter = "pair/16/1t,once,latency/small/1t,burst";
    let arguments = ["--quick", "--preload", &forward, "--allocators", "glibc,forward"];
    let more = ["--filter", filter, "--scale", "0.01", "--rounds", "2", "--no-repeat"];
    let (code, out, err) = compare("quick", &[&arguments[..], &more[..]].concat());
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("pair/16/1t") && out.contains("1.00x") && out.contains("once"), "{out}");

    let results = results("quick");
    let names: Vec<_> = results.allocators.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["glibc", "forward"]);
    // A burst has one figure for each of its phases.
    let phases = results.workloads.iter().filter(|w| w.name.starts_with("burst/")).count();
    assert!(phases > 1 && results.workloads.len() == 4 + phases, "{:?}", results.workloads);
    // Latencies are no times per operation, and so have cells of their own.
    let cells = (2 + phases) * 2;
    assert_eq!((results.cells.len(), results.latencies.len()), (cells, 2 * 2));
    for cell in &results.cells {
        let rounds: Vec<_> = cell.samples.iter().map(|sample| sample.round).collect();
        assert_eq!(rounds, [0, 1], "{cell:?}");
        assert!(cell.samples.iter().all(|s| s.value > 0.0 && s.peak_kib > 500), "{cell:?}");
        let timed = results.workloads[cell.workload].metric == results::Metric::Nanoseconds;
        assert!(!timed || cell.samples.iter().all(|s| s.user_ns + s.sys_ns > 0.0), "{cell:?}");
    }
    assert_eq!(results.timelines.len(), 2);
    assert!(results.timelines.iter().all(|t| t.points.iter().any(|p| p.1 > 500)));
    assert_eq!((results.run.noise.runs, results.run.interrupted), (2 * 4 * 2, false));

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("quick");
    let csv = std::fs::read_to_string(folder.join("results.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + cells * 2);
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("forward") && page.contains("burst/idle"), "{page}");

    let (json, again) = (folder.join("results.json"), folder.join("again"));
    let arguments = ["report", json.to_str().unwrap(), "--out", again.to_str().unwrap()];
    let shown = start(env!("CARGO_BIN_EXE_compare"), &arguments);
    assert!(shown.status.success());
    assert_eq!(std::fs::read_to_string(again.join("report.html")).unwrap(), page);
    for plot in ["overview.svg", "means.svg", "scatter.svg"] {
        let text = std::fs::read_to_string(again.join(plot)).unwrap();
        assert!(text.starts_with("<svg") && text.contains("forward"), "{plot}: {text}");
    }
}

#[test]
fn an_interrupted_run_leaves_what_it_measured() {
    let out = folder("interrupted");
    let begun = std::time::Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_compare"))
        .args(["--allocators", "glibc", "--filter", "pair/16/1t,pair/64/1t", "--no-repeat"])
        .args(["--rounds", "1000", "--scale", "0.05", "--out"])
        .arg(&out)
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains("2 workloads with 1 allocators, 1000 rounds"), "{line}");
    // A thousand rounds take much longer; a few are over by then, however busy the machine.
    std::thread::sleep(Duration::from_secs(3));
    // SAFETY: a signal to our own child, which has not been waited for.
    unsafe { libc::kill(i32::try_from(child.id()).unwrap(), libc::SIGINT) };
    let text: Vec<_> = lines.map_while(Result::ok).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert!(text.iter().any(|line| line.contains("ended before its time")), "{text:?}");

    let results = Results::read(&out.join("results.json")).unwrap();
    assert!(results.run.interrupted && results.failures.is_empty(), "{results:?}");
    let samples = results.cells[0].samples.len();
    assert!((1..1000).contains(&samples), "{samples} of 1000 rounds");
    assert!(std::fs::read_to_string(out.join("results.csv")).unwrap().lines().count() > samples);
    assert!(out.join("report.html").exists());
}

#[test]
fn a_peer_that_cannot_be_built_is_named_and_the_others_go_on() {
    let out = folder("absent");
    let output = Command::new(env!("CARGO_BIN_EXE_compare"))
        .args(["--filter", "pair/16/1t", "--rounds", "1", "--scale", "0.01", "--no-repeat"])
        .args(["--out", out.to_str().unwrap()])
        .env("CARGO", "/nonexistent/cargo")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("absent: snmalloc: cargo cannot be run"), "{text}");
    let results = Results::read(&out.join("results.json")).unwrap();
    let absent: Vec<_> = results.allocators.iter().filter(|a| a.absent.is_some()).collect();
    assert!(
        absent.iter().any(|a| a.name == "jemalloc" && a.version.contains("tikv")),
        "{absent:?}"
    );
    let glibc = results.allocators.iter().position(|a| a.name == "glibc").unwrap();
    assert!(results.cells.iter().any(|cell| cell.allocator == glibc));
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("cargo cannot be run"), "the page does not name them");
}

#[test]
fn every_peer_that_was_built_exports_the_whole_family() {
    // Where `compare` builds them.
    let compare = Path::new(env!("CARGO_BIN_EXE_compare"));
    let folder = compare.ancestors().nth(2).unwrap().join("peers/release");
    let built = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let libraries: Vec<_> = built
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "so"))
        .collect();
    if libraries.is_empty() {
        println!("skipped: {} has no peers yet; a run of compare builds them", folder.display());
        return;
    }
    let family = "malloc free calloc realloc memalign aligned_alloc posix_memalign \
                  malloc_usable_size valloc pvalloc reallocarray";
    for library in libraries {
        let said = Command::new("nm").args(["-D", "--defined-only"]).arg(&library).output();
        let symbols = String::from_utf8(said.unwrap().stdout).unwrap();
        for name in family.split_ascii_whitespace() {
            let is_defined = symbols.lines().any(|line| line.ends_with(&format!(" T {name}")));
            assert!(is_defined, "{} does not export {name}", library.display());
        }
    }
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
    let arguments = ["--preload", &preload, "--allocators", "maths", "--filter", "pair/16/1t"];
    let more = ["--scale", "0.01", "--rounds", "1"];
    let (code, out, _) = compare("maths", &[&arguments[..], &more[..]].concat());
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("FAILED pair/16/1t with maths: the preload did not take effect"), "{out}");
    assert_eq!(results("maths").failures.len(), 1);
}

#[test]
fn what_is_unknown_is_refused_in_one_line() {
    for arguments in [
        &["--filter", "nosuchrow"][..],
        &["--threads", "777"],
        &["--allocators", "nosuch"],
        &["--scale", "0"],
        &["report", "/nonexistent/results.json"],
        &["gate", "--ours", "/nonexistent/lib.so"],
    ] {
        let output = start(env!("CARGO_BIN_EXE_compare"), arguments);
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), err.lines().count()), (Some(2), 1), "{err}");
    }
    let output = start(env!("CARGO_BIN_EXE_workload"), &["nosuchrow"]);
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("workload --list"));
}

#[test]
fn an_allocator_that_hands_a_block_out_twice_is_caught() {
    let preload = format!("twice={}", library("twice.c"));
    let arguments = ["--preload", &preload, "--allocators", "twice", "--filter", "random/small/1t"];
    let more = ["--scale", "0.001", "--rounds", "1"];
    let (code, out, _) = compare("twice", &[&arguments[..], &more[..]].concat());
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("was overwritten while it was live"), "{out}");
}

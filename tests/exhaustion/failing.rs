//! The n-th system call of the library fails: alone, or with all that follow.
//!
//! ```text
//!   counting run ─► calls 1 … N ─► n × error × { alone, from there on }
//!                                  each is a run of its own of all.c, under a tracer
//! ```
//!
//! The quick form takes some calls of each kind, evenly spread, and the errors in turn.

use cidalloc_tests::trace::Stop;
use cidalloc_tests::trace::calls::{Failing, Run, observe};
use cidalloc_tests::trace::program::{Memory, Program};
use cidalloc_tests::{compile_c, preload_library, reliability, skip, subject};
use std::collections::BTreeMap;
use std::path::PathBuf;

const WHAT: &str = "failing system calls";
const ERRORS: [(&str, i32); 5] = [
    ("ENOMEM", libc::ENOMEM),
    ("EAGAIN", libc::EAGAIN),
    ("EINVAL", libc::EINVAL),
    ("EPERM", libc::EPERM),
    ("ENOSYS", libc::ENOSYS),
];
/// Calls of each kind that fail in the quick form.
const OF_EACH_KIND: usize = 5;

/// Address space that blocks of all sizes lie in may be so much more than when nothing fails: where
/// free pages are lost, or those of a refused block, the next ones come from behind.
const MORE_EXTENT: u64 = 48 << 20;
/// Reports are cut to tenths of their units.
const SLACK: u64 = 1 << 20;

/// The program, and how its process is set up.
struct Setting {
    program: PathBuf,
    library: PathBuf,
    environment: Vec<(&'static str, &'static str)>,
    /// Whether there are pages without access.
    has_guards: bool,
    /// From the first block to the last one when nothing fails.
    extent: u64,
}

impl Setting {
    fn run(&self, failing: Failing, error: i32) -> Result<(Run, String), String> {
        let output = Memory::new();
        let command = [self.program.as_os_str(), "every_call_may_fail".as_ref()];
        let program = Program::preloaded(&command, &self.environment, &output);
        let run = observe(program, &self.library, failing, error)?;
        Ok((run, output.text()))
    }

    /// The run with these failures: how many there were, and how many answers were NULL.
    fn survives(&self, failing: Failing, (name, error): (&str, i32)) -> (u64, u64) {
        let what = || format!("{failing:?} fails by {name}, {:?}", self.environment);
        let (run, said) =
            self.run(failing, error).unwrap_or_else(|why| panic!("{}: {why}", what()));
        assert!(
            run.end == Stop::Exited(0) && said.contains("ok every_call_may_fail"),
            "{}: {:?} after {} calls, the last of which {:?}\n{said}",
            what(),
            run.end,
            run.calls.len(),
            run.calls.last()
        );
        let pages: Vec<_> = said.split("cidalloc: statistics").skip(1).map(Pages::of).collect();
        let [begin, end] = pages[..] else { panic!("{}: not two reports\n{said}", what()) };
        // A page whose guard the system does not lower again is never used again.
        let is_kept = end.in_use == begin.in_use || (self.has_guards && end.in_use > begin.in_use);
        assert!(is_kept, "{}: {begin:?} at first, then {end:?}\n{said}", what());
        let (extent, most) = (number(&said, "extent "), self.extent + MORE_EXTENT);
        // Holes between such pages are too small for what lay there.
        assert!(
            extent <= most || self.has_guards,
            "{}: blocks lie in {extent} bytes, not {most}",
            what()
        );
        let known = end.in_use + end.free + SLACK;
        assert!(extent <= known, "{}: of {extent} bytes {known} are known\n{said}", what());
        (run.failed, number(&said, "refused "))
    }
}

/// The number in the line that begins with `key`.
fn number(said: &str, key: &str) -> u64 {
    let found = said.lines().find_map(|line| line.strip_prefix(key)?.parse().ok());
    found.unwrap_or_else(|| panic!("the program does not say `{key}`: {said}"))
}

/// What a report of the library says of its pages, in bytes.
#[derive(Debug, Clone, Copy)]
struct Pages {
    /// Spans and large objects.
    in_use: u64,
    free: u64,
}

impl Pages {
    fn of(report: &str) -> Self {
        let line = |start: &str| report.lines().find_map(|line| line.strip_prefix(start));
        let free = ["free_dirty ", "free_clean "].map(|key| size(line(key).expect("its line")));
        // After the node's number and its shards.
        let row = report.split("[nodes]\n").nth(1).and_then(|table| table.lines().nth(1));
        Self { in_use: size(&row.expect("a node")[12..]), free: free.iter().sum() }
    }
}

/// `87.9 MiB …` in bytes.
fn size(text: &str) -> u64 {
    let mut words = text.split_ascii_whitespace();
    let number: f64 = words.next().and_then(|word| word.parse().ok()).expect("a number");
    let shift = match words.next() {
        Some("B") => 0,
        Some("KiB") => 10,
        Some("MiB") => 20,
        Some("GiB") => 30,
        unit => panic!("a unit {unit:?} of bytes"),
    };
    (number * f64::from(1u32 << shift)) as u64
}

/// Numbers of system calls, by name, as far as the library makes them.
fn name(call: u64) -> String {
    let known = [
        ("mmap", libc::SYS_mmap),
        ("munmap", libc::SYS_munmap),
        ("mprotect", libc::SYS_mprotect),
        ("madvise", libc::SYS_madvise),
        ("membarrier", libc::SYS_membarrier),
        ("rseq", libc::SYS_rseq),
        ("openat", libc::SYS_openat),
        ("faccessat", libc::SYS_faccessat),
        ("read", libc::SYS_read),
        ("close", libc::SYS_close),
        ("write", libc::SYS_write),
        ("sysinfo", libc::SYS_sysinfo),
        ("prlimit64", libc::SYS_prlimit64),
        ("sched_getaffinity", libc::SYS_sched_getaffinity),
        ("sched_yield", libc::SYS_sched_yield),
        ("rt_sigprocmask", libc::SYS_rt_sigprocmask),
        ("futex", libc::SYS_futex),
        ("getcpu", libc::SYS_getcpu),
        ("getrandom", libc::SYS_getrandom),
        ("getpid", libc::SYS_getpid),
        ("gettid", libc::SYS_gettid),
        ("mbind", libc::SYS_mbind),
    ];
    let found = known.iter().find(|(_, number)| number.cast_unsigned() == call);
    found.map_or_else(|| format!("call {call}"), |(name, _)| (*name).to_owned())
}

/// `mprotect 57, mmap 3`
fn by_name(calls: &[u64]) -> String {
    let mut counts = BTreeMap::new();
    for &call in calls {
        *counts.entry(name(call)).or_insert(0) += 1;
    }
    counts.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")
}

/// Which calls fail, counted from 1, and how: all of them by each error, or a part.
fn choice(calls: &[u64], is_full: bool) -> Vec<(u64, (&'static str, i32))> {
    let count = calls.len() as u64;
    if is_full {
        return ERRORS.iter().flat_map(|error| (1..=count).map(|n| (n, *error))).collect();
    }
    let mut kinds: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (n, call) in (1..).zip(calls) {
        kinds.entry(*call).or_default().push(n);
    }
    let some = kinds.values().flat_map(|of_kind| {
        let picks = of_kind.len().min(OF_EACH_KIND);
        (0..picks).map(move |i| of_kind[i * of_kind.len() / picks])
    });
    some.zip(ERRORS.iter().cycle()).map(|(n, error)| (n, *error)).collect()
}

/// Fails calls under `environment`.
fn fails_in_turn(source: &str, environment: &[(&'static str, &'static str)]) {
    if !subject().is_ours() {
        return skip(WHAT, "which calls are the library's is known of libcidmalloc alone");
    }
    let Some(program) = compile_c("exhaustion/all.c") else { return };
    // Purging at once is part of each run then, not of those alone that last long.
    let environment: Vec<_> =
        environment.iter().copied().chain([("CIDALLOC_DECAY_MS", "0")]).collect();
    let has_guards = environment.iter().any(|(name, _)| *name == "CIDALLOC_HARDENED");
    let library = preload_library();
    let mut setting = Setting { program, library, environment, has_guards, extent: 0 };
    let (counted, said) = match setting.run(Failing::None, 0) {
        Ok(run) => run,
        Err(why) => return skip(WHAT, &why),
    };
    assert_eq!(counted.end, Stop::Exited(0), "nothing failed, and {said}");
    setting.extent = number(&said, "extent ");
    let is_full = std::env::var("CIDALLOC_TEST_FULL").as_deref() == Ok("1");
    let choice = choice(&counted.calls, is_full);
    for (form, failing) in [
        ("one system call fails", Failing::Nth as fn(u64) -> Failing),
        ("all system calls fail from one on, until memory is back", Failing::From),
    ] {
        let (mut runs, mut failed, mut refused) = (0, 0, 0);
        for &(n, error) in &choice {
            let (made, answers) = setting.survives(failing(n), error);
            runs += u64::from(made > 0);
            failed += made;
            refused += answers;
        }
        assert!(runs > 0, "no call failed");
        // One call that fails is mostly asked again, for less.
        assert!(refused > 0 || failing(1) == Failing::Nth(1), "no failure that mattered");
        reliability::line(
            "exhaustion",
            &format!("{form} ({source})"),
            "ptrace and seccomp: ENOMEM, EAGAIN, EINVAL, EPERM, ENOSYS instead of the call",
            runs,
            &format!(
                "{failed} calls failed of {}; {refused} answers were NULL with ENOMEM; every \
                 block intact, nothing lost, all works again",
                by_name(&counted.calls)
            ),
        );
    }
}

#[test]
fn every_call_may_fail_under_the_kernels_cids() {
    fails_in_turn("cids of the kernel", &[]);
}

#[test]
fn every_call_may_fail_under_emulated_cids() {
    fails_in_turn("emulated cids", &[("CIDALLOC_CID", "emulated")]);
}

#[test]
fn every_call_may_fail_where_we_register_threads() {
    fails_in_turn("areas of our own", &[("GLIBC_TUNABLES", "glibc.pthread.rseq=0")]);
}

#[test]
fn every_call_may_fail_in_hardened_mode() {
    // All parts but the random placement: what fails where would be another each time.
    let parts = "state,guard,canary,zero,quarantine";
    fails_in_turn("hardened mode", &[("CIDALLOC_HARDENED", parts)]);
}

//! Processes and threads that come, go, and are interrupted, while all of them allocate.
//!
//! ```text
//!   forks.c        fork by any thread and in handlers, vfork + exec, posix_spawn
//!   lives.c        ends of threads: thousands at once, with frees in flight, cancelled, in
//!                  destructors of their data
//!   raw.c          threads of clone(2), past libc
//!   locals.cc      objects of threads in C++
//!   libraries.c    plugin.cc is loaded and unloaded, and is the last one at exit
//! ```
//!
//! Each case under the kernel's cids and under emulated ones. All look at what blocks hold, and at
//! what the statistics say is live, before and after: what is lost, is live. Storms of signals,
//! stops and changes of affinity are in `tests/stress/storms.rs`, where the whole heap is validated.

use cidalloc_tests::compile::compile_library;
use cidalloc_tests::{Limits, passes_with, reliability, subject};
use core::time::Duration;

/// A kind of trouble: the line of the table, and how often it is made.
struct Trouble {
    source: &'static str,
    case: &'static str,
    fault: &'static str,
    how: &'static str,
    /// How often in CI, and in the full form.
    counts: [u32; 2],
}

impl Trouble {
    fn pass(&self, cids: &str, plugin: Option<&str>, envs: &[(&str, &str)]) {
        let full = std::env::var("CIDALLOC_TEST_FULL").as_deref() == Ok("1");
        let count = self.counts[usize::from(full)].to_string();
        let args: Vec<&str> = [count.as_str()].into_iter().chain(plugin).collect();
        let envs: Vec<(&str, &str)> =
            [("CIDALLOC_CID", cids)].into_iter().chain(envs.iter().copied()).collect();
        let patience = full.then_some(Duration::from_secs(3600));
        let limits = Limits { args: &args, envs: &envs, patience, ..Limits::default() };
        let Some(output) = passes_with(self.source, self.case, &limits) else {
            return;
        };
        let times = output.stdout.lines().find_map(|line| line.strip_prefix("times "));
        let times = times.and_then(|n| n.parse().ok()).expect("the program says how often");
        let how = format!("{}; cids: {cids}", self.how);
        let outcome = "ended well, blocks as written, nothing lost";
        reliability::line("processes", self.fault, &how, times, outcome);
    }
}

macro_rules! troubles {
    ($($case:ident: $source:literal [$ci:literal $full:literal] $fault:literal, $how:literal;)*) => {
        const TROUBLES: &[Trouble] = &[$(Trouble {
            source: concat!("processes/", $source),
            case: stringify!($case),
            fault: $fault,
            how: $how,
            counts: [$ci, $full],
        }),*];
        mod kernel {
            $(#[test] fn $case() { super::plainly(stringify!($case), "kernel"); })*
        }
        mod emulated {
            $(#[test] fn $case() { super::plainly(stringify!($case), "emulated"); })*
        }
    };
}

troubles! {
    any_thread_may_fork_while_others_allocate: "forks.c" [200 10000]
        "fork while others allocate", "4 threads exchange blocks and fork beside 2 with large blocks; children go on, with threads and forks of their own";
    handlers_may_fork: "forks.c" [100 3000]
        "fork in a signal handler", "above whatever it interrupted, where half of the children go on";
    any_thread_may_vfork_and_exec: "forks.c" [60 3000]
        "vfork and exec", "from 4 threads that exchange blocks";
    any_thread_may_spawn: "forks.c" [60 3000]
        "posix_spawn", "from 4 threads that exchange blocks";
    thousands_of_threads_may_be_there_at_once: "lives.c" [1000 30000]
        "thousands of detached threads at once", "3 waves: all wait at a gate, allocate, free, and leave together";
    threads_may_end_with_frees_in_flight: "lives.c" [600 30000]
        "threads that end with their last free", "600 blocks of others each, while those go on";
    cancelled_threads_lose_nothing: "lives.c" [300 20000]
        "cancelled threads, joined and detached", "at cancellation points, with cleanup handlers that free";
    first_operation_may_be_in_any_round_of_destructors: "lives.c" [250 10000]
        "first operation in a destructor", "of thread-specific data, in each of the four rounds";
    signal_masks_stay_as_they_are: "lives.c" [100 10000]
        "signal masks over a thread's life", "looked at after its first operation, slow ones, and a trim";
    raw_threads_may_allocate: "raw.c" [400 10000]
        "threads of clone(2)", "own stack and TLS, not registered with rseq, ended by exit(2) alone";
    objects_of_threads_may_free_and_allocate: "locals.cc" [400 20000]
        "destructors of thread_local objects", "free, allocate, and bring others into being";
}

fn plainly(case: &str, cids: &str) {
    let trouble = TROUBLES.iter().find(|trouble| trouble.case == case);
    trouble.expect("a case of the list").pass(cids, None, &[]);
}

fn with_plugin(trouble: &Trouble, cids: &str, envs: impl Fn(&str) -> Vec<(&'static str, String)>) {
    let Some(plugin) = compile_library("processes/plugin.cc") else { return };
    let plugin = plugin.to_str().expect("a path without odd characters");
    let envs = envs(plugin);
    let envs: Vec<(&str, &str)> =
        envs.iter().map(|(name, value)| (*name, value.as_str())).collect();
    trouble.pass(cids, Some(plugin), &envs);
}

fn libraries_come_and_go(cids: &str) {
    let trouble = Trouble {
        source: "processes/libraries.c",
        case: "libraries_may_come_and_go",
        fault: "dlopen and dlclose",
        how: "by 3 threads, of copies of a library that allocates in constructors and frees in destructors",
        counts: [60, 5000],
    };
    with_plugin(&trouble, cids, |_| Vec::new());
}

#[test]
fn libraries_may_come_and_go() {
    libraries_come_and_go("kernel");
}

#[test]
fn libraries_may_come_and_go_with_emulated_cids() {
    libraries_come_and_go("emulated");
}

/// Loaded before the program's other libraries, and destroyed after them.
fn last_library_frees(cids: &str) {
    let trouble = Trouble {
        source: "processes/libraries.c",
        case: "last_library_may_free",
        fault: "destructors of the last library",
        how: "preloaded beside ours: it frees and allocates after all exit handlers",
        counts: [1, 1],
    };
    with_plugin(&trouble, cids, |plugin| {
        let both = match subject().path() {
            Some(ours) => format!("{}:{plugin}", ours.display()),
            None => plugin.to_owned(),
        };
        vec![("LD_PRELOAD", both), ("PLUGIN_TELLS", "1".to_owned())]
    });
}

#[test]
fn last_library_may_free() {
    last_library_frees("kernel");
}

#[test]
fn last_library_may_free_with_emulated_cids() {
    last_library_frees("emulated");
}

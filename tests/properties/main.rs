//! Random sequences of all operations against a map of the live blocks (`tests/operations`).
//!
//! ```text
//!  proptest ─ steps ─► child: the heap's first use ─ ok
//!     ▲                    └─ failed, killed, hung ─┐
//!     └──────── fewer steps, smaller numbers ◄──────┘  at last: the shortest, in lines of C
//! ```
//!
//! Each sequence runs in a child of its own. It begins with a heap that was never used, so
//! sequences do not depend on each other, and one that kills the process can be made shorter, too.
#![allow(unsafe_code)]

mod child;
mod corpus;
mod liars;
mod shrink;
mod strategy;

use cidalloc_operations::{
    Direct, Done, Face, Loaded, Rust, Script, Step, decode, encode, input, run, script,
};
use cidalloc_tests::{reliability, skip, subject};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Steps of a sequence, at most.
const LONGEST: usize = 120;
/// Sequences per test; `PROPERTY_CASES` asks for more.
const CASES: u32 = 40;

fn cases() -> u32 {
    match std::env::var("PROPERTY_CASES") {
        Ok(text) => {
            text.parse().unwrap_or_else(|_| panic!("PROPERTY_CASES={text}: give a whole number"))
        }
        Err(_) => CASES,
    }
}

/// Plays `runner`'s sequences, of `longest` steps at most, on `face`: what was done; or how it failed, and the shortest sequence
/// that does.
fn play(mut runner: TestRunner, longest: usize, face: &dyn Face) -> Result<Done, (String, Script)> {
    let (calls, refused, threads) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let result = runner.run(&strategy::steps(longest), |steps| {
        let script = script(&steps);
        let done = child::run(|| run(face, &script)).map_err(TestCaseError::fail)?;
        calls.fetch_add(done.calls, Relaxed);
        refused.fetch_add(done.refused, Relaxed);
        threads.fetch_add(done.threads, Relaxed);
        Ok(())
    });
    if let Err(TestError::Fail(why, steps)) = result {
        let (steps, why) = shrink::shrink(steps, why.message().to_owned(), |steps| {
            child::run(|| run(face, &script(steps))).err()
        });
        return Err((why, script(&steps)));
    }
    result.expect("sequences can be made");
    Ok(Done {
        calls: calls.into_inner(),
        refused: refused.into_inner(),
        threads: threads.into_inner(),
    })
}

/// The right to run: one test's at a time, since a child of `fork` would find locks held that
/// another test's thread holds at that moment: the loader's, the standard library's.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn config(cases: u32) -> Config {
    Config { cases, failure_persistence: None, max_shrink_iters: 0, ..Config::default() }
}

/// Every promise of `face`.
fn hold(name: &str, face: &dyn Face) {
    let cases = cases();
    let done =
        play(TestRunner::new(config(cases)), LONGEST, face).unwrap_or_else(|(why, script)| {
            panic!("{name}: {why}\nThe shortest sequence that fails:\n{script}")
        });
    assert!(done.calls > u64::from(cases), "the sequences are empty");
    reliability::line(
        "properties",
        &format!("a block overlapping, misaligned, too small, not zero, changed or lost: {name}"),
        "random sequences of the malloc family from four threads, each in a fresh process, \
         compared with a map of the live blocks after every call",
        cases.into(),
        &format!(
            "{} calls, {} of them refused as documented, {} threads: nothing wrong",
            done.calls, done.refused, done.threads
        ),
    );
}

/// The library under test, where one can be loaded beside the program's own malloc.
fn library() -> Option<Loaded> {
    let what = "properties of the C functions";
    if cfg!(target_feature = "crt-static") {
        skip(what, "a static program loads no library");
        return None;
    }
    if !subject().is_ours() {
        skip(what, "promises of libcidmalloc alone");
        return None;
    }
    let path = subject().path()?;
    Some(Loaded::open(path).unwrap_or_else(|why| panic!("{}: {why}", path.display())))
}

#[test]
fn every_block_is_disjoint_aligned_and_keeps_what_it_holds() {
    let _turn = turn();
    hold("functions of the crate", &Direct);
}

#[test]
fn every_block_of_a_layout_is_disjoint_aligned_and_keeps_what_it_holds() {
    let _turn = turn();
    hold("GlobalAlloc", &Rust);
}

#[test]
fn every_block_of_the_c_functions_is_disjoint_aligned_and_keeps_what_it_holds() {
    let _turn = turn();
    if let Some(library) = library() {
        hold("C functions", &library);
    }
}

/// Sizes around each class's, at each alignment: tables have mistakes of one entry, which random
/// sizes may pass by.
#[test]
fn every_edge_of_every_class_holds() {
    let _turn = turn();
    let script = script(&strategy::edges());
    let library = library();
    let faces: [(&str, Option<&dyn Face>); 3] = [
        ("functions of the crate", Some(&Direct)),
        ("GlobalAlloc", Some(&Rust)),
        ("C functions", library.as_ref().map(|library| library as &dyn Face)),
    ];
    for (name, face) in faces.into_iter().filter_map(|(name, face)| Some((name, face?))) {
        let done = child::run(|| run(face, &script)).unwrap_or_else(|why| panic!("{name}: {why}"));
        reliability::line(
            "properties",
            &format!("a size in the wrong class: {name}"),
            "blocks a byte below, at, and a byte above the size of each class, at each alignment",
            done.calls,
            "nothing wrong",
        );
    }
}

/// What the fuzzer found worth keeping, without the fuzzer.
#[test]
fn sequences_that_reach_every_known_corner_hold() {
    let _turn = turn();
    let (mut done, mut files) = (Done::default(), 0);
    for (path, bytes) in corpus::files() {
        let (face, script) = input(&bytes);
        let now = child::run(|| run(face, &script))
            .unwrap_or_else(|why| panic!("{}: {why}\n{script}", path.display()));
        done.calls += now.calls;
        done.refused += now.refused;
        files += 1;
    }
    assert!(files > 20, "only {files} files in the corpus");
    reliability::line(
        "fuzzing",
        "what fuzzing reached, once more",
        "the corpus kept in tests/fuzz/corpus, each file in a fresh process",
        files,
        &format!(
            "{} calls, {} of them refused as documented; nothing wrong",
            done.calls, done.refused
        ),
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn steps_survive_their_way_through_bytes(steps in strategy::steps(LONGEST)) {
        let _turn = turn();
        prop_assert_eq!(decode(&encode(&steps)), steps);
    }

    #[test]
    fn any_bytes_mean_steps_that_mean_themselves(bytes in prop::collection::vec(any::<u8>(), 0..900)) {
        let _turn = turn();
        let steps: Vec<Step> = decode(&bytes);
        prop_assert_eq!(decode(&encode(&steps)), steps);
    }
}

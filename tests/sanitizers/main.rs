//! Programs built with sanitizers, beside the library: refused in one clear line where the sanitizer
//! has to be malloc, and as useful as without the library where it has not, or is.
//!
//! ```text
//!                     runtime in a library      runtime in the program, or preloaded first
//!  address            its own line              finds what it finds without us
//!  thread, leak       our line                  finds what it finds without us
//!  undefined          ours is malloc, and it finds what it finds without us
//! ```
//!
//! And the other way round: our test programs, built with sanitizers and without the library, make
//! no mistake of their own. Rust programs under sanitizers need a nightly compiler:
//! `tests/sanitizers/run`.

use cidalloc_tests::{Output, compile_c_with, reliability, run_preloaded, skip, subject};
use std::path::PathBuf;
use std::process::Command;

const PROGRAM: &str = "sanitizers/program.c";

/// Runs `case` of the program built with `arguments`, under the library; none where that cannot be.
fn run(arguments: &[&str], case: &str, envs: &[(&str, &str)]) -> Option<Output> {
    if !subject().is_ours() {
        skip(PROGRAM, "what the library says to sanitizers is its own affair");
        return None;
    }
    let program = compile_c_with(PROGRAM, arguments)?;
    Some(run_preloaded(Command::new(program).arg(case), envs))
}

fn line(fault: &str, how: &str, outcome: &str) {
    reliability::line("sanitizers", fault, how, 1, outcome);
}

/// Ends with status 1 and this one line, before it does anything.
fn is_refused(arguments: &[&str], envs: &[(&str, &str)], said: &str) {
    let Some(output) = run(arguments, "nothing_is_wrong", envs) else { return };
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(output.stdout.is_empty(), "{output}");
    let lines: Vec<_> = output.stderr.lines().collect();
    assert!(lines.len() == 1 && lines[0].contains(said), "{output}");
    let how = format!("a program built with {} under LD_PRELOAD {envs:?}", arguments.join(" "));
    line("a program whose sanitizer would see no block", &how, "refused in one line");
}

fn ours(name: &str) -> String {
    format!("this program is built with {name}, which has to be its malloc")
}

#[test]
fn address_sanitizer_refuses_by_itself() {
    is_refused(&["-fsanitize=address"], &[], "ASan runtime does not come first");
}

#[test]
fn address_sanitizer_that_does_not_look_is_refused() {
    let blind = [("ASAN_OPTIONS", "verify_asan_link_order=0")];
    is_refused(&["-fsanitize=address"], &blind, &ours("AddressSanitizer"));
}

#[test]
fn thread_sanitizer_is_refused() {
    is_refused(&["-fsanitize=thread"], &[], &ours("ThreadSanitizer"));
}

#[test]
fn leak_sanitizer_is_refused() {
    is_refused(&["-fsanitize=leak"], &[], &ours("LeakSanitizer"));
}

/// The sanitizer finds nothing where nothing is, and `mistake` where it is.
fn goes_on(arguments: &[&str], envs: &[(&str, &str)], mistake: &str, finds: &str) {
    let Some(output) = run(arguments, "nothing_is_wrong", envs) else { return };
    assert!(output.status.success() && output.stderr.is_empty(), "{output}");
    assert!(output.stdout.contains("ok nothing_is_wrong"), "{output}");
    let Some(output) = run(arguments, mistake, envs) else { return };
    assert!(output.stderr.contains(finds), "{finds}: {output}");
    let how = format!("a program built with {} under LD_PRELOAD {envs:?}", arguments.join(" "));
    line("a sanitizer beside the library", &how, &format!("goes on, and finds: {finds}"));
}

#[test]
fn undefined_behaviour_sanitizer_goes_on() {
    goes_on(&["-fsanitize=undefined"], &[], "a_sum_overflows", "signed integer overflow");
}

const ADDRESS: (&str, &str) = ("a_byte_behind_a_block_is_written", "heap-buffer-overflow");
const THREAD: (&str, &str) = ("two_threads_race", "data race");
const LEAK: (&str, &str) = ("a_block_is_lost", "detected memory leaks");

#[test]
fn sanitizers_in_the_program_itself_go_on() {
    for (runtime, (mistake, finds)) in [("address", ADDRESS), ("thread", THREAD), ("leak", LEAK)] {
        let arguments =
            [format!("-fsanitize={runtime}"), format!("-static-lib{}san", &runtime[..1])];
        goes_on(&arguments.each_ref().map(String::as_str), &[], mistake, finds);
    }
}

/// Where the compiler keeps a runtime.
fn runtime(name: &str) -> Option<PathBuf> {
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let said = Command::new(cc).arg(format!("-print-file-name={name}")).output().ok()?;
    let path = PathBuf::from(String::from_utf8_lossy(&said.stdout).trim());
    // What it does not find it repeats.
    path.is_absolute().then_some(path)
}

#[test]
fn sanitizers_that_are_preloaded_first_go_on() {
    let Some(library) = subject().path().filter(|_| subject().is_ours()) else {
        return skip(PROGRAM, "what the library says to sanitizers is its own affair");
    };
    for (name, (mistake, finds)) in [("address", ADDRESS), ("thread", THREAD), ("leak", LEAK)] {
        let file = format!("lib{}san.so", &name[..1]);
        let Some(runtime) = runtime(&file) else {
            skip(PROGRAM, &format!("the compiler has no {file}"));
            continue;
        };
        let both = format!("{}:{}", runtime.display(), library.display());
        let arguments = format!("-fsanitize={name}");
        goes_on(&[&arguments], &[("LD_PRELOAD", &both)], mistake, finds);
    }
}

/// What they say of an allocator would be worth
/// little if they wrote where they must not themselves.
#[test]
fn our_test_programs_make_no_mistake_that_sanitizers_find() {
    let arguments = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"];
    let envs =
        [("LD_PRELOAD", ""), ("SUBJECT_UNDER_TEST", "libc"), ("ASAN_OPTIONS", "detect_leaks=0")];
    // Those that ask for no more than a sanitizer's malloc does.
    for source in ["conformance/content.c", "startup/before_main.c", "startup/threads.c"] {
        let Some(program) = compile_c_with(source, &arguments) else { return };
        let output = run_preloaded(&mut Command::new(program), &envs);
        assert!(output.status.success(), "{source}: {output}");
        let cases = output.stdout.lines().filter(|line| line.starts_with("ok ")).count();
        assert!(cases > 0, "{source}: {output}");
        line(
            "a mistake of a test program",
            &format!("tests/{source} under AddressSanitizer and UndefinedBehaviorSanitizer"),
            &format!("{cases} cases: none"),
        );
    }
}

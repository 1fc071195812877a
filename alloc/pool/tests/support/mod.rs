//! What the tests of pools share: children, and looks at memory.
#![allow(dead_code, reason = "each test uses some of it")]

use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use core::time::Duration;
use std::process::{Command, Output};
use std::time::Instant;

/// Runs the ignored test `name` of the calling test program in a process of its own, which is ended if it
/// hangs.
pub(crate) fn rerun(name: &str, environment: &[(&str, &str)]) -> Output {
    Command::new("timeout")
        .args(["-k", "5", "300"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// As [`rerun`], which must succeed. Says what it skipped.
#[track_caller]
pub(crate) fn rerun_well(name: &str, environment: &[(&str, &str)]) {
    let output = rerun(name, environment);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{name} {environment:?}: {}\n{out}{err}", output.status);
    assert!(out.contains("1 passed"), "{name} was not run:\n{out}");
    out.lines().filter(|line| line.contains("skipped:")).for_each(|line| eprintln!("{line}"));
}

/// The wait status of a child that ends by itself. One that waits for a thread that it does not have
/// never does, and may have blocked all signals but one.
#[track_caller]
pub(crate) fn wait_for(child: libc::pid_t) -> libc::c_int {
    assert!(child > 0, "no child");
    let (begin, mut status) = (Instant::now(), 0);
    loop {
        // SAFETY: a child of ours; fills one word.
        match unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } {
            0 if begin.elapsed() > Duration::from_secs(30) => {
                // SAFETY: a child of ours, that was not waited for.
                unsafe { libc::kill(child, libc::SIGKILL) };
            }
            0 => {}
            ended => {
                assert_eq!(ended, child);
                return status;
            }
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Runs `what` in a child of `fork`, which is to say true.
#[track_caller]
pub(crate) fn in_child(what: impl FnOnce() -> bool) {
    // SAFETY: the child runs `what`, and ends.
    let child = unsafe {
        match libc::fork() {
            0 => libc::_exit(i32::from(!what())),
            child => child,
        }
    };
    assert_eq!(wait_for(child), 0, "the child's wait status");
}

/// The signal that ended the child that runs `what`, or 0.
pub(crate) fn signal_in_child(what: impl FnOnce()) -> i32 {
    // SAFETY: as in `in_child`.
    let child = unsafe {
        match libc::fork() {
            0 => {
                what();
                libc::_exit(0)
            }
            child => child,
        }
    };
    let status = wait_for(child);
    if libc::WIFSIGNALED(status) { libc::WTERMSIG(status) } else { 0 }
}

/// Waits until it is so: another thread makes it so, unless that one has failed.
#[track_caller]
pub(crate) fn until(is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(60), "in vain");
        std::thread::yield_now();
    }
}

/// The word at `copy`.
pub(crate) fn word<'a>(copy: NonNull<u8>) -> &'a AtomicU64 {
    // SAFETY: tests pass copies of items that are theirs, of 8 bytes at least.
    unsafe { AtomicU64::from_ptr(copy.cast().as_ptr()) }
}

/// Ends the loops of threads that run while it is true, when this is dropped: also by a panic, which
/// would else wait for them for ever.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}

/// Counts a thread that is done, also by a panic, when this is dropped.
pub(crate) struct Done<'a>(pub(crate) &'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

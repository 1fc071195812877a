//! Whether this kernel aborts sections on preemption, without which no section may run.
//!
//! ```text
//!                    release (uname)                 self_test, on one CPU
//!   arm64  < 6.19          true         watcher  ── arm ── ticks? ticks? ──────── ticks? ──
//!          6.19 … 7.0.13   false                            preempted ▼       ▲ resumed
//!          7.0.14, 7.1 …   true         ticker   ───────────────────── tick ──────────────
//!   others                 true
//!                                       resumed at the abort address   Aborted
//!                                       in the window, tick seen       NotAborted
//! ```
//!
//! Linux 6.19 lost the abort on arm64: a thread that was preempted in a window and resumed on
//! the same CPU went on as if nothing had happened, so that two threads were in one window at
//! once. 7.0.14 has it again. Distributions carry fixes back, and tools lie about releases:
//! hence a test that asks the kernel by doing it. It costs two short-lived processes and some
//! ten milliseconds, too much for the start of every process; the release costs nothing.
#![allow(unsafe_code)]

mod kernel;

#[cfg(target_arch = "x86_64")]
#[path = "soundness/x86_64.rs"]
mod arch;
#[cfg(target_arch = "aarch64")]
#[path = "soundness/aarch64.rs"]
mod arch;

use crate::abi::Rseq;
use crate::area;
use crate::registration::{Owner, Registration};
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

/// Whether a kernel of this `release`, as uname(2) gives it, aborts sections on preemption.
///
/// Only arm64 has releases that do not. There, what is doubtful counts as no: a refused kernel
/// costs time, a trusted one that does not abort corrupts memory.
/// - What stands behind the numbers is ignored, so a distribution's 7.0.13 with the fix carried
///   back is refused; [`self_test`] tells better.
/// - Release candidates of 6.19 and 7.1 are refused: the fault came and went between them.
/// - Below 4.18 there is no rseq: who has it and says so hides the release (personality
///   `UNAME26`, sandboxes). Texts that are no release are refused as well.
///
/// ```
/// use rseq_sys::soundness::release_aborts_sections;
/// assert!(release_aborts_sections(b"6.18.44-1-arm64", true));
/// assert!(!release_aborts_sections(b"6.19.0-rc1", true));
/// assert!(release_aborts_sections(b"6.19.0-rc1", false));
/// ```
#[must_use]
pub fn release_aborts_sections(release: &[u8], arch_is_arm64: bool) -> bool {
    const FIRST_WITH_RSEQ: [u32; 3] = [4, 18, 0];
    const FIRST_WITHOUT_ABORT: [u32; 3] = [6, 19, 0];
    const FIRST_WITH_FIX: [u32; 3] = [7, 0, 14];
    const NEXT: [u32; 3] = [7, 1, 0];
    if !arch_is_arm64 {
        return true;
    }
    let Some((version, rest)) = version(release) else { return false };
    if version == NEXT && rest.starts_with(b"-rc") {
        return false;
    }
    (FIRST_WITH_RSEQ..FIRST_WITHOUT_ABORT).contains(&version) || version >= FIRST_WITH_FIX
}

/// The three numbers at the beginning of a release, the third 0 if missing, and what follows.
fn version(release: &[u8]) -> Option<([u32; 3], &[u8])> {
    let (major, rest) = number(release)?;
    let (minor, rest) = number(rest.strip_prefix(b".")?)?;
    let third = rest.strip_prefix(b".").and_then(number);
    let (patch, rest) = third.unwrap_or((0, rest));
    Some(([major, minor, patch], rest))
}

fn number(text: &[u8]) -> Option<(u32, &[u8])> {
    let len = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(len);
    Some((core::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

/// What [`self_test`] saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The watcher was preempted in its window several times, and resumed at the abort address
    /// each time.
    Aborted,
    /// It went on in its window after another process had run on its CPU: no section may run.
    NotAborted,
    /// Nothing was seen.
    Unknown(Obstacle),
}

/// Why nothing was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The calling thread has no registered area.
    NoRseq,
    /// No further process can be had, or it was killed.
    NoProcess,
    /// A process cannot stay on one CPU.
    NotPinned,
    /// Nobody preempted the watcher often enough in the time that there was.
    NotPreempted,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRseq => "this thread has no registered rseq area",
            Self::NoProcess => "no process to be had for it (fork refused, or killed)",
            Self::NotPinned => "no process can stay on one CPU (sched_setaffinity refused)",
            Self::NotPreempted => "not preempted in 150 ms",
        })
    }
}

/// Time after which the watcher gives up.
const PATIENCE_NS: u64 = 150_000_000;
/// The ticker's nap between two ticks.
const NAP_NS: u64 = 100_000;
/// Ticks after which the ticker ends by itself, should the watcher have been killed.
const TICKS_MAX: u32 = 4000;
/// Turns of one window: some hundred microseconds, so that nearly all time is inside.
const TURNS: u64 = 1 << 18;
/// Aborts that make a verdict. More than one: where only migration aborts, a new process's
/// first preemption may look like one, since its ids change then.
const ABORTS_ENOUGH: u32 = 5;

/// How the watcher left its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Its turns were over.
    Quiet = 0,
    /// By itself, since it saw a tick.
    Ticked = 1,
    /// The kernel sent it to the abort address.
    Aborted = 2,
}

impl Left {
    fn from_raw(raw: u64) -> Self {
        match raw {
            0 => Self::Quiet,
            1 => Self::Ticked,
            _ => Self::Aborted,
        }
    }
}

/// What the two processes share.
#[derive(Debug)]
struct Shared {
    ticks: AtomicU32,
    /// Set by the watcher when it has seen enough.
    stop: AtomicU32,
    /// Set by the ticker when it runs on another CPU: then ticks prove nothing.
    astray: AtomicU32,
}

/// Lets a process spin in a section on one CPU while another one runs there now and then, and
/// says what became of the section. Takes some ten milliseconds, 150 at most.
///
/// Both are children of the caller, which stays as it is: its affinity, its signal mask, its
/// area, and its children's ends (they raise no SIGCHLD). They run nothing of the program, be it
/// handlers of `fork` or of signals. Not for a process under a filter that kills callers of
/// clone(2).
#[must_use]
pub fn self_test(registration: &Registration) -> Verdict {
    observe(registration, true)
}

/// [`self_test`]; when not `armed`, with a section of which the kernel does not know.
fn observe(registration: &Registration, armed: bool) -> Verdict {
    // SAFETY: the registration's own offset.
    let has_area = || unsafe { area::cpu_id(registration.offset) } >= 0;
    if registration.owner == Owner::Nobody || !has_area() {
        return Verdict::Unknown(Obstacle::NoRseq);
    }
    let area = area::thread_pointer().wrapping_add_signed(registration.offset);
    // A child inherits the mask: no handler of the program runs in it.
    let mask = kernel::block_signals();
    let ended =
        kernel::in_child(|| code(watcher(core::ptr::with_exposed_provenance_mut(area), armed)));
    kernel::set_signals(mask);
    ended.map_or(Verdict::Unknown(Obstacle::NoProcess), verdict)
}

/// Verdicts as exit statuses.
const CODES: [Verdict; 5] = [
    Verdict::Aborted,
    Verdict::NotAborted,
    Verdict::Unknown(Obstacle::NotPreempted),
    Verdict::Unknown(Obstacle::NotPinned),
    Verdict::Unknown(Obstacle::NoProcess),
];

fn code(verdict: Verdict) -> u8 {
    CODES.iter().position(|v| *v == verdict).unwrap_or(CODES.len() - 1) as u8
}

fn verdict(code: u8) -> Verdict {
    *CODES.get(usize::from(code)).unwrap_or(&CODES[CODES.len() - 1])
}

fn watcher(area: *mut Rseq, armed: bool) -> Verdict {
    let Some(cpu) = kernel::pin_where_we_are() else {
        return Verdict::Unknown(Obstacle::NotPinned);
    };
    let Some(shared) = kernel::shared_zeros::<Shared>() else {
        return Verdict::Unknown(Obstacle::NoProcess);
    };
    let Some(child) = kernel::start_child(|| ticker(shared, cpu)) else {
        return Verdict::Unknown(Obstacle::NoProcess);
    };
    let seen = watch(area, shared, armed);
    shared.stop.store(1, Ordering::Relaxed);
    let _ = child.wait();
    if shared.astray.load(Ordering::Relaxed) != 0 {
        return Verdict::Unknown(Obstacle::NotPinned);
    }
    seen
}

fn watch(area: *mut Rseq, shared: &Shared, armed: bool) -> Verdict {
    let end = kernel::now_ns() + PATIENCE_NS;
    let mut aborts = 0;
    while kernel::now_ns() < end {
        // SAFETY: this process's area, the parent's before it was copied; nothing else is armed.
        let (left, before) = unsafe { arch::watch(area, &shared.ticks, TURNS, armed) };
        match left {
            Left::Ticked => return Verdict::NotAborted,
            // An abort without a tick: somebody else ran.
            Left::Aborted if shared.ticks.load(Ordering::Relaxed) != before => aborts += 1,
            Left::Aborted | Left::Quiet => {}
        }
        if aborts == ABORTS_ENOUGH {
            return Verdict::Aborted;
        }
    }
    Verdict::Unknown(Obstacle::NotPreempted)
}

/// Wakes up now and then beside the watcher, which the kernel preempts for it.
fn ticker(shared: &Shared, cpu: u32) -> u8 {
    for _ in 0..TICKS_MAX {
        if shared.stop.load(Ordering::Relaxed) != 0 {
            break;
        }
        kernel::sleep_ns(NAP_NS);
        if kernel::current_cpu() != Some(cpu) {
            shared.astray.store(1, Ordering::Relaxed);
            break;
        }
        shared.ticks.fetch_add(1, Ordering::Relaxed);
    }
    0
}

#[cfg(test)]
#[path = "soundness/tests.rs"]
mod tests;

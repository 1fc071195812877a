//! Injection: what a test needs to hold a thread up within an operation. With the feature `inject`.
//!
//! ```text
//!   test's thread                       the section                      somebody else
//!   armed = point, spins = most
//!   calls an operation ───────────────► armed = this point?
//!                                       armed = 0 and at = point
//!                                       spins down to 0 … ◄───────────── sees `at`: a signal,
//!                                         passed += 1 and at = 0         another CPU, a fence;
//!                                         or until at = 0 ◄───────────── outside of windows this
//!                                       aborted: at = 0, aborted += 1
//!                                       … begins again, is not armed
//! ```
//!
//! A point in plain code calls [`set_hook`]'s function instead, which may do whatever a thread may
//! do there. Each section with a word to compare also compares twice: right before its commit the ids and
//! the word that it is about to replace must still be what it read, or the process ends at an undefined
//! instruction.
//!
//! The words are in static TLS at an address that only executables can use (local-exec), because a
//! window has no register to spare: a shared library built with this feature does not link.
#![allow(unsafe_code)]

use crate::area::thread_pointer;
use crate::lease::Lease;
use core::mem::offset_of;
use core::sync::atomic::{
    AtomicI32, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

#[cfg(not(target_arch = "x86_64"))]
compile_error!("the feature `inject` has points for x86-64 only: build without it");

/// A thread's words.
#[repr(C)]
#[derive(Debug)]
pub struct Control {
    /// The point at which the thread is to be held up next; 0 for none.
    pub armed: AtomicU16,
    /// The point at which it is held up now; 0 for none.
    pub at: AtomicU16,
    /// Points within windows that were left because all spins were used up; wraps.
    pub passed: AtomicU16,
    /// How often it spins there at most; below 0 it leaves for the abort address at once.
    pub spins: AtomicI32,
    /// Windows that were aborted at a point.
    pub aborted: AtomicU32,
    ids: AtomicU64,
    word: AtomicU64,
    /// Windows that were aborted, wherever they were.
    pub aborts: AtomicU32,
}

// As the texts of `points.rs` have them.
const _: () = {
    assert!(offset_of!(Control, armed) == 0 && offset_of!(Control, at) == 2);
    assert!(offset_of!(Control, passed) == 4);
    assert!(offset_of!(Control, spins) == 8 && offset_of!(Control, aborted) == 12);
    assert!(offset_of!(Control, ids) == 16 && offset_of!(Control, word) == 24);
    assert!(offset_of!(Control, aborts) == 32);
    assert!(size_of::<Control>() == 40);
};

core::arch::global_asm!(
    ".pushsection .tbss.cidalloc_inject, \"awT\", @nobits",
    ".balign 8",
    ".hidden cidalloc_inject",
    ".globl cidalloc_inject",
    ".type cidalloc_inject, @object",
    "cidalloc_inject:",
    ".zero 40",
    ".size cidalloc_inject, 40",
    ".popsection",
);

/// The calling thread's words. They are gone when the thread is: no other thread may look at them
/// then.
#[must_use]
pub fn control() -> &'static Control {
    let offset: usize;
    // SAFETY: computes an address.
    unsafe {
        core::arch::asm!("lea {0}, [cidalloc_inject@tpoff]", out(reg) offset,
             options(nostack, pure, nomem, preserves_flags));
    }
    let address = thread_pointer().wrapping_add(offset);
    // SAFETY: the variable above, in the calling thread's static TLS block, all atomics.
    unsafe { &*core::ptr::with_exposed_provenance(address) }
}

/// What a thread does at an armed point in plain code.
pub type Hook = fn(&'static Control, point: u16);

static HOOK: AtomicUsize = AtomicUsize::new(0);

/// Has threads call `hook` at armed points in plain code.
pub fn set_hook(hook: Hook) {
    HOOK.store(hook as *const () as usize, Release);
}

/// A point in plain code.
#[inline]
pub fn pass(point: u16) {
    let control = control();
    if control.armed.load(Relaxed) == point {
        hold(control, point);
    }
}

#[cold]
fn hold(control: &'static Control, point: u16) {
    control.armed.store(0, Relaxed);
    let hook = core::ptr::with_exposed_provenance::<()>(HOOK.load(Acquire));
    if !hook.is_null() {
        // SAFETY: `set_hook` stored a function of this type.
        let hook: Hook = unsafe { core::mem::transmute(hook) };
        hook(control, point);
    }
}

/// The points before and after an operation.
#[derive(Debug)]
#[must_use]
pub struct Around(u16);

/// The place of the point right before a section is armed.
pub const UNARMED: u16 = 14;
/// The place of the point after an operation.
pub const AFTER: u16 = 15;

impl Around {
    /// Passes the point before `operation`, and when dropped the one after it.
    #[inline]
    pub fn new(operation: u16) -> Self {
        pass(operation);
        Self(operation)
    }
}

impl Drop for Around {
    #[inline]
    fn drop(&mut self) {
        pass(self.0 + AFTER);
    }
}

/// Compares twice, in plain code: the thread is inside, and `header` still holds `word`.
#[inline]
pub fn unchanged(header: &AtomicU64, word: u64) {
    let inside = Lease::current().is_none_or(Lease::is_inside);
    if !inside || header.load(Relaxed) != word {
        // SAFETY: ends the process.
        unsafe { core::arch::asm!("ud2", options(noreturn, nostack, nomem)) }
    }
}

/// An operation and the accesses after which it has points: place 1 is the first.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// The number of its points less their place.
    pub code: u16,
    /// Its name.
    pub name: &'static str,
    /// What came right before each point inside.
    pub inside: &'static [&'static str],
}

const fn operation(code: u16, name: &'static str, inside: &'static [&'static str]) -> Operation {
    assert!(code.is_multiple_of(16) && inside.len() < UNARMED as usize);
    Operation { code, name, inside }
}

/// The sections.
pub const SECTIONS: [Operation; 8] = [
    operation(0x10, "pop", &["armed", "ids", "cpu", "table", "header", "cur", "slot"]),
    operation(0x20, "push", &["armed", "ids", "cpu", "table", "header", "slot"]),
    operation(0x30, "push_on_node", &["armed", "ids", "cpu", "table", "node", "header", "slot"]),
    operation(
        0x40,
        "pop_batch",
        &["armed", "ids", "cpu", "table", "header", "slot", "copy", "all"],
    ),
    operation(
        0x50,
        "push_batch",
        &["armed", "ids", "cpu", "table", "node", "header", "copy", "slot", "all"],
    ),
    operation(0x60, "reshape", &["armed", "ids", "cpu", "table", "header", "sentinel"]),
    operation(0x70, "take", &["armed", "ids", "cpu", "owner", "word"]),
    operation(0x80, "put", &["armed", "ids", "cpu", "owner", "word"]),
];

/// The sections on copies.
pub const COPIES: [Operation; 13] = [
    operation(0x210, "add", &["armed", "ids", "cpu"]),
    operation(0x220, "load", &["armed", "ids", "row"]),
    operation(0x230, "compare_store", &["armed", "ids", "row", "word"]),
    operation(0x240, "compare_two_store", &["armed", "ids", "row", "other", "word"]),
    operation(0x250, "compare_store_store", &["armed", "ids", "row", "word", "other"]),
    operation(0x260, "push", &["armed", "ids", "row", "head", "next"]),
    operation(0x270, "pop", &["armed", "ids", "row", "head", "next"]),
    operation(0x280, "pop_all", &["armed", "ids", "row", "head"]),
    operation(
        0x290,
        "compare_copy_store",
        &["armed", "ids", "row", "word", "8 bytes", "byte", "all"],
    ),
    operation(0x2a0, "add_through", &["armed", "cpu", "ids", "row", "route"]),
    operation(0x2b0, "add_through_cid", &["armed", "cpu", "route", "cid"]),
    operation(0x2c0, "add_through_cid_at", &["armed", "cpu", "route", "cid"]),
    operation(0x2f0, "add, in rows", &["armed", "ids", "row"]),
];

/// The operations under a lease. Those that share code share its points: `push_on_node` goes on as
/// `push` does, and `take` and `put` are one.
pub const LEASED: [Operation; 7] = [
    operation(0x110, "pop", &["turn", "base", "header", "slot", "commit"]),
    operation(0x120, "push", &["turn", "header", "slot", "commit"]),
    operation(0x130, "push_on_node", &["turn", "base", "node"]),
    operation(0x140, "pop_batch", &["turn", "base", "header", "slot", "copy", "commit"]),
    operation(0x150, "push_batch", &["turn", "base", "node", "header", "slot", "commit"]),
    operation(0x160, "reshape", &["turn", "base", "header", "sentinel", "commit"]),
    operation(0x170, "take or put", &["turn", "owner", "word", "commit"]),
];

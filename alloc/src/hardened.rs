//! The hardened mode: its parts' data, out of band, and what each does to one block.
//!
//! ```text
//!  PARTS  one word: UNSETTLED until the heap is started, then the parts; 0 is off
//!  TABLES ┬ state   a bit per grain of the region, committed with its pages        state.rs
//!         ├ lanes   rings of freed blocks that wait, and of random exchange        rings.rs
//!         └ secret  keys the marks behind blocks, and what is random     canary.rs, random.rs
//!  nothing: pages without access, cleared blocks                        guard.rs, zero.rs
//! ```
//!
//! Off, nothing of this is reserved, and the fast paths are not other ones: on, the line that they
//! read says that there is no heap, so that each call leaves to where `PARTS` is asked. How the
//! parts work together is in [`crate::careful`].
#![allow(unsafe_code)]

pub mod canary;
pub mod guard;
pub mod random;
pub mod rings;
pub mod state;
pub mod zero;

use crate::check;
use crate::os;
use crate::parts::Parts;
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use rseq_sys::sync::{AtomicU8, Ordering};

/// The heap was not started yet: nobody knows.
const UNSETTLED: u8 = 1 << 7;

static PARTS: AtomicU8 = AtomicU8::new(UNSETTLED);

/// Constant once [`PARTS`] is settled.
struct Tables {
    base: usize,
    state: *mut u8,
    lanes: *mut u64,
    secret: u64,
}

struct Cell(UnsafeCell<Tables>);
// SAFETY: written by the one thread that starts the heap, before PARTS is released; read after
// it was acquired.
unsafe impl Sync for Cell {}

static TABLES: Cell =
    Cell(UnsafeCell::new(Tables { base: 0, state: null_mut(), lanes: null_mut(), secret: 0 }));

fn tables() -> &'static Tables {
    // SAFETY: constant since PARTS says that there are parts, or all zero.
    unsafe { &*TABLES.0.get() }
}

/// What is known of the mode.
#[derive(Debug, Clone, Copy)]
pub struct Mode(u8);

impl Mode {
    /// Whether a caller must look closer: the mode is on, or the heap was not started.
    #[inline(always)]
    #[must_use]
    pub fn may_be_on(self) -> bool {
        self.0 != 0
    }
    /// Whether the mode is on.
    #[inline(always)]
    #[must_use]
    pub fn is_on(self) -> bool {
        self.0 & !UNSETTLED != 0
    }
}

/// What is known of the mode now, by one look.
#[inline(always)]
#[must_use]
pub fn mode() -> Mode {
    Mode(PARTS.load(Ordering::Acquire))
}

/// As [`Mode::may_be_on`], now.
#[inline(always)]
#[must_use]
pub fn may_be_on() -> bool {
    mode().may_be_on()
}

/// As [`Mode::is_on`], now.
#[inline(always)]
#[must_use]
pub fn is_on() -> bool {
    mode().is_on()
}

/// The parts that are on.
#[inline(always)]
#[must_use]
pub fn parts() -> Parts {
    Parts::from_bits(PARTS.load(Ordering::Acquire))
}

/// Sets up what `asked` needs for a region of `bytes` at `base`. To be called while the heap is
/// started. A part for which there is no memory is left out, which is said.
pub fn start(asked: Parts, base: usize, bytes: usize) {
    let mut parts = asked;
    if parts != Parts::NONE {
        let mut made = Tables { base, state: null_mut(), lanes: null_mut(), secret: os::random() };
        let mut need = |needed: Parts, table: Result<*mut u8, os::OutOfMemory>| {
            table.unwrap_or_else(|_| {
                check::say(format_args!("hardened mode without {needed}: no memory for it"));
                parts = parts.without(needed);
                null_mut()
            })
        };
        if asked.has(Parts::STATE) {
            made.state = need(Parts::STATE, state::reserve(bytes));
        }
        if asked.has(Parts::WAITS) {
            made.lanes = need(Parts::WAITS, rings::reserve()).cast();
        }
        // SAFETY: nobody reads before PARTS is settled, and only one thread starts the heap.
        unsafe { *TABLES.0.get() = made };
    }
    PARTS.store(parts.bits(), Ordering::Release);
}

/// A number that who does not know the secret cannot foretell, from one that anybody may know.
#[inline(always)]
fn keyed(value: usize) -> u64 {
    // One product of twice the width, folded: each bit of the value moves half of the bits.
    let product = u128::from(value as u64 ^ tables().secret) * 0x9e37_79b9_7f4a_7c15;
    (product >> 64) as u64 ^ product as u64 ^ tables().secret.rotate_left(32)
}

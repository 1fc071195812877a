//! Misuse: what is noticed, and the one line that is said of it.
//!
//! ```text
//!                        always                          robust
//!  foreign pointer       seen
//!  interior pointer      seen
//!  double free           while the item is where its     seen: a bit for each live item
//!                        second free leads
//!  write after free      –                               each copy that was changed was filled with
//!                                                        POISON at free, and is looked at when
//!                                                        the item is allocated again
//!  leak                  –                               counted when the pool is dropped
//! ```
//!
//! A copy that reads as if nobody had ever written it is left as it is, so that poison makes no
//! memory resident; a late write that turns a whole poisoned copy into that state again is not seen.

use crate::cids::Place;
use cidalloc::check::Line;
use cidalloc::os;
use core::fmt::{self, Write};

/// What freed items' copies are filled with: as an address it is outside of what a user can map.
pub(crate) const POISON: u64 = 0xc1d0_dead_c1d0_dead;

/// Why an item was not freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FreeError {
    /// The address is not in any range of this pool.
    Foreign,
    /// It is not where an item begins.
    Interior,
    /// The item is free already.
    DoubleFree,
    /// The pool was made by an ancestor process, which keeps it for itself.
    NotInChild,
}

impl fmt::Display for FreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "free of what is no item of this pool",
            Self::Interior => "free of a pointer into an item",
            Self::DoubleFree => "double free",
            Self::NotInChild => "the pool is not for children of the process that made it",
        })
    }
}

impl core::error::Error for FreeError {}

/// Says why in one line, and aborts.
#[cold]
#[inline(never)]
pub(crate) fn die(why: fmt::Arguments<'_>) -> ! {
    let mut line = Line::new();
    let _ = writeln!(line, "cidpool: {why}");
    line.write_to(2);
    os::abort()
}

/// The end for who freed wrongly.
#[cold]
#[inline(never)]
pub(crate) fn wrong_free(pool: &str, why: FreeError, address: usize) -> ! {
    die(format_args!("{pool}: {why}: {address:#x}"))
}

/// The end for who wrote to a free item.
#[cold]
#[inline(never)]
pub(crate) fn write_after_free(pool: &str, address: usize, place: Place) -> ! {
    die(format_args!("{pool}: write after free: {address:#x}, the copy of {place}"))
}

/// The end for who forgot items in a pool.
#[cold]
#[inline(never)]
pub(crate) fn leak(pool: &str, items: usize, first: usize) -> ! {
    let plural = if items == 1 { "" } else { "s" };
    die(format_args!("{pool}: dropped with {items} item{plural} allocated, one of them {first:#x}"))
}

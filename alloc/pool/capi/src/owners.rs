//! Whose item an address is: C frees by the address alone.
//!
//! ```text
//!   address   47     39     30     21     12      0
//!             ├─ a ──┼─ b ──┼─ c ──┼─ d ──┼───────┤        as the kernel's page table
//!   ROOT[a] ─► table[b] ─► table[c] ─► leaf[d] ─► pool     of each page of copy 0 of each range
//! ```
//!
//! Looking up is four loads. An entry is written before the first item of its range is handed out to
//! C, and taken out when the pool goes, for which all tables are gone through: who has an item finds
//! its pool, and no entry leads to a pool that is gone. Entries of ranges that were given back stay.
//!
//! Tables are mapped, and never unmapped: a page for each 2 MiB in which a copy 0 ever was. Nothing
//! here takes a lock or allocates from `malloc`, so it is for signal handlers, and no child of `fork`
//! waits for anybody.

#![allow(unsafe_code)]

use crate::errno::{NO_MEMORY, Result};
use crate::pool::Handle;
use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicPtr,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use memmap2::{MmapOptions, MmapRaw};

const PAGE: usize = 1 << 12;
const LEVEL_BITS: u32 = 9;
const ADDRESS_BITS: u32 = 48;
/// The shifts of the levels above the leaves.
const INNER: [u32; 3] = [39, 30, 21];
const LEAF: u32 = 12;
const _: () = assert!(INNER[0] + LEVEL_BITS == ADDRESS_BITS && INNER[2] == LEAF + LEVEL_BITS);

/// One table: of tables, or, at the leaves, of pools.
struct Table([AtomicPtr<()>; 1 << LEVEL_BITS]);

impl Table {
    const fn new() -> Self {
        Self([const { AtomicPtr::new(null_mut()) }; 1 << LEVEL_BITS])
    }

    fn entry(&self, address: usize, shift: u32) -> &AtomicPtr<()> {
        &self.0[(address >> shift) & ((1 << LEVEL_BITS) - 1)]
    }
}

static ROOT: Table = Table::new();

/// The table below `entry`, if there is one.
fn below(entry: &AtomicPtr<()>) -> Option<&'static Table> {
    // SAFETY: null, or a table that was given up for ever; entries of inner tables hold no others.
    unsafe { entry.load(Acquire).cast::<Table>().as_ref() }
}

/// The table below `entry`, which is made if need be.
fn made_below(entry: &AtomicPtr<()>) -> Result<&'static Table> {
    if let Some(table) = below(entry) {
        return Ok(table);
    }
    let map = MmapOptions::new().len(size_of::<Table>()).map_anon();
    let map = MmapRaw::from(map.map_err(|_| NO_MEMORY)?);
    let new: *mut () = map.as_mut_ptr().cast();
    match entry.compare_exchange(null_mut(), new, AcqRel, Acquire) {
        Ok(_) => {
            core::mem::forget(map);
            // SAFETY: zero is a table of nulls, and it is given up for ever.
            Ok(unsafe { &*new.cast() })
        }
        // SAFETY: as in `below`.
        Err(theirs) => Ok(unsafe { &*theirs.cast() }),
    }
}

/// The pool that the page of `address` is of.
pub(crate) fn of(address: usize) -> Option<*const Handle> {
    if address >> ADDRESS_BITS != 0 {
        return None;
    }
    let mut table = &ROOT;
    for shift in INNER {
        table = below(table.entry(address, shift))?;
    }
    let pool = table.entry(address, LEAF).load(Acquire);
    (!pool.is_null()).then(|| pool.cast_const().cast())
}

/// Has the pages of copy 0 of the range at `base` lead to `pool`, whose range it is. Two threads that
/// come at once write the same.
#[cold]
pub(crate) fn add(base: usize, stride: usize, pool: *const Handle) -> Result<()> {
    for page in (base..base + stride).step_by(PAGE) {
        let mut table = &ROOT;
        for shift in INNER {
            table = made_below(table.entry(page, shift))?;
        }
        table.entry(page, LEAF).store(pool.cast_mut().cast(), Release);
    }
    Ok(())
}

/// Takes all entries out that lead to `pool`, which goes: nobody has its items.
pub(crate) fn remove_all(pool: *const Handle) {
    remove_below(&ROOT, &INNER, pool.cast_mut().cast());
}

/// `inner` are the shifts of `table` and of those below it, but for the leaves.
fn remove_below(table: &Table, inner: &[u32], pool: *mut ()) {
    for entry in &table.0 {
        match inner.split_first() {
            Some((_, inner)) => {
                if let Some(table) = below(entry) {
                    remove_below(table, inner, pool);
                }
            }
            None => {
                // A range that was given back may be another pool's by now.
                if entry.load(Relaxed) == pool {
                    let _ = entry.compare_exchange(pool, null_mut(), AcqRel, Relaxed);
                }
            }
        }
    }
}

//! Whose item an address is: C frees by the address alone.
//!
//! ```text
//!   address   47     39     30     21     12      0
//!             ├─ a ──┼─ b ──┼─ c ──┼─ d ──┼───────┤        as the kernel's page table
//!   ROOT[a] ─► table[b] ─► table[c] ─► leaf[d] ─► pool     of each page of copy 0 of each range
//! ```
//!
//! Looking up is four loads, for signal handlers too. Tables are never freed. An entry is written
//! before the first item of its range is handed out to C, and taken out when the pool goes: who has
//! an item finds its pool, and no entry leads to a pool that is gone.

#![allow(unsafe_code)]

use crate::pool::Handle;
use core::iter::from_fn;
use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicPtr,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

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
fn made_below(entry: &AtomicPtr<()>) -> &'static Table {
    if let Some(table) = below(entry) {
        return table;
    }
    let new: *mut Table = Box::into_raw(Box::new(Table::new()));
    match entry.compare_exchange(null_mut(), new.cast(), AcqRel, Acquire) {
        // SAFETY: given up for ever.
        Ok(_) => unsafe { &*new },
        Err(theirs) => {
            // SAFETY: made above, and seen by nobody.
            drop(unsafe { Box::from_raw(new) });
            // SAFETY: as in `below`.
            unsafe { &*theirs.cast() }
        }
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

/// The entries of the pages of copy 0 of the range at `base`.
fn entries(base: usize, stride: usize) -> impl Iterator<Item = &'static AtomicPtr<()>> {
    (base..base + stride).step_by(PAGE).map(|page| {
        let leaf = INNER.iter().fold(&ROOT, |table, &shift| made_below(table.entry(page, shift)));
        leaf.entry(page, LEAF)
    })
}

/// The ranges of one pool that have entries: a list that only grows while it is shared.
#[derive(Debug)]
pub(crate) struct Ranges(AtomicPtr<Link>);

#[derive(Debug)]
struct Link {
    base: usize,
    next: *mut Link,
}

impl Ranges {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    /// Has the pages of the range at `base` lead to `pool`, whose ranges these are. No lock, so
    /// that no child of `fork` waits for one; two threads that come at once write the same.
    #[cold]
    pub(crate) fn add(&self, base: usize, stride: usize, pool: *const Handle) {
        // On the list first: what has entries is on it.
        if !self.has(base) {
            let link = Box::into_raw(Box::new(Link { base, next: null_mut() }));
            self.0.update(Release, Relaxed, |next| {
                // SAFETY: not on the list yet, so nobody else's.
                unsafe { (*link).next = next };
                link
            });
        }
        for entry in entries(base, stride) {
            entry.store(pool.cast_mut().cast(), Release);
        }
    }

    /// Whether a range at `base` is on the list: one that was given back may come again, also when
    /// another pool had its addresses meanwhile.
    fn has(&self, base: usize) -> bool {
        // SAFETY: links are freed by `remove_all` alone, which nobody is beside.
        let mut link = unsafe { self.0.load(Acquire).as_ref() };
        while let Some(Link { base: known, next }) = link {
            if *known == base {
                return true;
            }
            // SAFETY: as above.
            link = unsafe { next.as_ref() };
        }
        false
    }

    /// Takes all entries out that lead to `pool`, which goes: nobody has its items.
    pub(crate) fn remove_all(&mut self, stride: usize, pool: *const Handle) {
        let mut next = core::mem::replace(self.0.get_mut(), null_mut());
        let links = from_fn(|| {
            // SAFETY: a link of the list that is ours alone now.
            let link = (!next.is_null()).then(|| unsafe { Box::from_raw(next) })?;
            next = link.next;
            Some(link)
        });
        for link in links {
            for entry in entries(link.base, stride) {
                // The range may have been given back, and be another pool's by now.
                let pool = pool.cast_mut().cast();
                let _ = entry.compare_exchange(pool, null_mut(), AcqRel, Relaxed);
            }
        }
    }
}

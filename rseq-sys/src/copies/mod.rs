//! Sections on data of which there is a copy for each cid: counters, lists, logs.
//!
//! ```text
//!   an address in copy 0          its counterpart in copy n
//!   ┌──────────┬──────────┬──────────┬─ ─ ─        n = rows[ids.low] + ids.high
//!   │ copy 0   │ copy 1   │ copy 2   │             a copy is 1 << shift bytes
//!   │   v      │   v      │   v      │
//!   └───┼──────┴──────────┴───┼──────┴─ ─ ─        d = n << shift
//!       └───────── d ─────────►
//! ```
//!
//! `ids` is (node_id, mm_cid), or (cpu_id_start, cpu_id) where CPU numbers are the ids, as in
//! [`crate::cs`]. `rows` says which copy is the first one of a node, or of a CPU's node: a cid that
//! turns up on another node is at another copy there. It is the same for all data of a process.
//!
//! # Contract, for every architecture
//!
//! Each section finds the copy inside its window, and ends with one store or, in `load`, with the
//! load. A window that is interrupted starts over from its first line; what it had written before
//! the commit store lies where nobody looks. `v[d]` is the word at address `v + d`; all but `node`
//! are addresses in copy 0.
//!
//! ```text
//! copy:                if cpu_id < 0 leave with NoCid               (thread not registered)
//!                      n = rows[ids.low] + ids.high                  (one 64-bit load of ids)
//!                      d = n << shift
//! add:                 v[d] += k;  → true                            (NoCid → false)
//! add_through:         a = *route; if a is odd leave with false
//!                      (a + offset)[d] += k;  → true
//! load:                → Done(v[d])
//! compare_store:       if v[d] != e leave with Differs(v[d])
//!                      v[d] = new;  → Done(e)
//! compare_two_store:   o = w[d];  if v[d] != e leave with Differs(v[d])
//!                      if o != f leave with Differs(o)
//!                      v[d] = new;  → Done(e)
//! compare_store_store: if v[d] != e leave with Differs(v[d])
//!                      w[d] = x;  v[d] = new;  → Done(e)
//! push:                h = head[d];  node[next] = h;  head[d] = node;  → Done(h)
//! pop:                 h = head[d];  if h == 0 leave with Differs(0)
//!                      head[d] = h[next];  → Done(h)
//! pop_all:             h = head[d];  if h == 0 leave with Done(0)
//!                      head[d] = 0;  → Done(h)
//! compare_copy_store:  if v[d] != e leave with Differs(v[d])
//!                      to[d .. d + len] = from[0 .. len];  v[d] = new;  → Done(e)
//! ```
//!
//! The threads without rseq have the same operations under their leases: [`leased`].
//!
//! # Invariants
//! Those of [`crate::cs`]: CID-EXCLUSIVE, COMMIT-LAST, NO-CALL-IN-WINDOW. So:
//! - what `compare_store_store` writes to `w`, and `compare_copy_store` to `to`, nobody else reads
//!   unless they saw `v` committed, and each new try may write it anew. So `v` is not among it: a try
//!   that was interrupted would have changed it, and the next one would compare what that one wrote;
//! - a window ends before the thread's time does, or it never would. So `compare_copy_store` copies no
//!   more than [`COPY_MAX`];
//! - where `w` of `compare_two_store` is a gate, who closed it and made a fence may change `v` and open
//!   it again: it is read before `v`, so that who finds it open again finds the new `v`;
//! - a word that other threads change too (an atomic exchange, say) is not for these operations
//!   unless that thread first makes sure, by a fence, that no section is under way on the copy.
//!
//! # Ordering
//! As in [`crate::cs`]: who is at a copy sees what was committed there before. Who reads a copy from
//! elsewhere reads with acquire, and sees what was written before the commit that it sees: on x86-64
//! stores become visible in order, arm64 commits with store-release.
//!
//! What is written before a commit, readers may still trust by an earlier one (the other entry of a cache's
//! slot, say): who sees a word of it sees, after an acquire fence, all commits before it. On arm64
//! sections load the word with load-acquire for that, which no store-release before it passes.
#![allow(unsafe_code)]

use crate::registration::Registration;

#[cfg(cidalloc_model)]
use crate::model::copies as arch;
#[cfg(all(target_arch = "x86_64", not(cidalloc_model)))]
#[path = "x86_64.rs"]
mod arch;
#[cfg(all(target_arch = "aarch64", not(cidalloc_model)))]
#[path = "aarch64.rs"]
mod arch;
pub mod leased;

pub use arch::{
    add, add_through, compare_copy_store, compare_store, compare_store_store, compare_two_store,
    load, pop, pop_all, push,
};
#[cfg(target_arch = "x86_64")]
pub use arch::{add_through_cid, add_through_cid_at};

/// Where the sections find the ids, and which copy is theirs. Constant for the process.
#[repr(C)]
#[derive(Debug)]
pub struct Current {
    /// From the thread pointer to the thread's area.
    pub area: isize,
    /// From the thread pointer to the pair of ids: `node_id` and `mm_cid`, or `cpu_id_start` and
    /// `cpu_id`.
    pub ids: isize,
    /// The first copy of each node; or for each CPU the first copy of its node.
    pub rows: *const u32,
    /// The same where there are several rows. Null where all of them begin at copy 0: so a section
    /// spares a load on which the address of its word would wait (1.4 of 2.4 ns of an `add` on Zen).
    pub several: *const u32,
}

// SAFETY: constants, and a table that is never written again.
unsafe impl Send for Current {}
// SAFETY: as above.
unsafe impl Sync for Current {}

impl Current {
    /// For `registration`, with `rows` indexed by node, or by CPU number.
    #[must_use]
    pub fn new(registration: &Registration, by_cpu: bool, rows: &'static [u32]) -> Self {
        let pair = if by_cpu { crate::abi::CPU_ID_START } else { crate::abi::NODE_ID };
        let is_one = rows.iter().all(|&first| first == 0);
        Self {
            area: registration.offset,
            ids: registration.offset + pair as isize,
            rows: rows.as_ptr(),
            several: if is_one { core::ptr::null() } else { rows.as_ptr() },
        }
    }

    /// The copy of the calling thread, or `None` while it is not registered. A hint, stale at once.
    ///
    /// # Safety
    /// The offsets are those of a [`Registration`] of this process; `rows` is readable at each id.
    #[inline(always)]
    #[must_use]
    pub unsafe fn number(&self) -> Option<usize> {
        // SAFETY: by the caller's promise.
        unsafe {
            if crate::area::cpu_id(self.area) < 0 {
                return None;
            }
            let (row, id) = crate::area::ids_at(self.ids);
            if self.several.is_null() {
                return Some(id as usize);
            }
            Some(self.several.add(row as usize).read() as usize + id as usize)
        }
    }
}

/// The most bytes that `compare_copy_store` may copy: some ten microseconds, where a thread runs on for a
/// millisecond at least before another one comes.
pub const COPY_MAX: usize = 64 << 10;

/// What came of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It is done; the word as it was before.
    Done(u64),
    /// Nothing was done: a word was this, and not what was expected.
    Differs(u64),
    /// Nothing was done: the thread has no cid now.
    NoCid,
}

impl Outcome {
    /// Of a section that found `found` at a copy where it expected `expected`.
    #[inline(always)]
    fn of(found: u64, expected: u64) -> Self {
        if found == expected { Self::Done(found) } else { Self::Differs(found) }
    }
}

#[cfg(all(test, not(cidalloc_model)))]
mod tests;

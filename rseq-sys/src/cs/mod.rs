//! The critical sections: contract, outcomes, and the memory they work on.
//!
//! ```text
//!  table[node << CID_BITS | cid]          a shard                           one class
//!  ┌──────────────┐   ┌──────────────────────────────┐      header word (one u64)
//!  │ base ────────┼──►│ header[0] header[1] …        │      ┌─────┬─────┬──────────┐
//!  │ base         │   │ …       header[255]          │      │ cur │ end │   ops    │
//!  │ MISS         │   │ slots of class 1: [1 p p p ·]│      │ u16 │ u16 │   u32    │
//!  └──────────────┘   │ slots of class 2: [1 p · · ·]│      └─────┴─────┴──────────┘
//!                     └──────────────────────────────┘   cur, end count in words from base
//! ```
//!
//! `cur` is the slot after the top object; `cur == end` is full. The slot before a class's
//! first holds an odd word, the sentinel: it is what `pop` finds when the class is empty. A
//! class begins as `{1, 1}`, [`INACTIVE`], and `reshape` gives it its slots and its sentinel.
//! [`MISS`] is a whole shard of headers `{3, 3, 0}`, whose slot 2 (one of its headers) is
//! odd: every `pop` finds a sentinel there and every `push` a full class, so a table entry
//! that points to it stops a shard. `ops` counts pops and pushes that hit, modulo 2³²; in
//! header 0, on which nobody pops or pushes, it is the shard's [`home`](home_of_shard) instead.
//!
//! # Contract, for every architecture
//!
//! Each section reads `shard` anew inside its window and ends with one store. A window that
//! is interrupted starts over from its first line; what it had written before the commit
//! store lies where nobody looks (above `cur`, or in the caller's buffer).
//!
//! ```text
//! shard:      if cpu_id < 0 leave with the miss outcome          (thread not registered)
//!             index = ids.low << CID_BITS + ids.high              (one 64-bit load)
//!             base  = table[index]
//! pop:        h = base[class]; p = base[h.cur - 1]; if p is odd leave with p
//!             base[class] = h { cur - 1, ops + 1 };  → p
//! push:       h = base[class]; if h.cur == h.end leave with false
//!             base[h.cur] = p; base[class] = h { cur + 1, ops + 1 };  → true
//! push_on_node: as push, but leave with false if base[0].ops != node
//! pop_batch:  h = base[class]; n = min(h.cur - begin, max), 0 for a stopped shard
//!             buf[0..n] = base[h.cur - n .. h.cur]; base[class] = h { cur - n };  → n
//! push_batch: if base[0].ops != node leave with 0
//!             h = base[class]; n = min(h.end - h.cur, len)
//!             base[h.cur .. h.cur + n] = buf[0..n]; base[class] = h { cur + n };  → n
//! reshape:    h = base[class]; if h { cur, end } != expected leave with false
//!             base[begin - 1] = 1; base[class] = h { cur, end: new };  → true
//! take:       if index != *owner leave with none;  w = *word; *word = w & !mask;  → w & mask
//! put:        if index != *owner leave with none;  w = *word; *word = w | mask;   → w
//! ```
//!
//! `ids` is (node_id, mm_cid), or (cpu_id_start, cpu_id) where CPU numbers index shards: a
//! registered thread's two CPU numbers are equal, so those shards lie on the table's diagonal.
//!
//! `take` and `put` load `*owner` inside the window. To change an owner, write one that no
//! index equals, make a fence, and write the new one: after the fence no window that saw the
//! old owner can still commit, and before it none sees the new one.
//!
//! # Invariants
//! - CID-EXCLUSIVE: inside a window no other thread is inside one with the same index.
//! - COMMIT-LAST: the last instruction of a window is its only store that others see.
//! - NO-CALL-IN-WINDOW: no call, no system call, no stack operation inside.
//!
//! # Ordering
//! The next holder of a cid must see the last one's commit. On x86-64 stores become visible in
//! order and the switch between two threads on one CPU, or the hand-over of a cid between two
//! CPUs, is a full barrier. arm64 commits with store-release and begins with load-acquire.

use crate::registration::Registration;

#[cfg(cidalloc_model)]
use crate::model::cs as arch;
#[cfg(all(target_arch = "x86_64", not(cidalloc_model)))]
#[path = "x86_64.rs"]
mod arch;
#[cfg(all(target_arch = "aarch64", not(cidalloc_model)))]
#[path = "aarch64.rs"]
mod arch;

#[cfg(all(target_arch = "x86_64", not(cidalloc_model)))]
pub(crate) use arch::window::section;
pub use arch::{pop, pop_batch, push, push_batch, push_on_node, put, reshape, take};

/// Bits of a shard index that hold the id; the node is above them.
pub const CID_BITS: u32 = 13;
/// Ids per node: the largest number of CPUs that Linux can be built for.
pub const CIDS_PER_NODE: usize = 1 << CID_BITS;
/// Header words at the beginning of each shard.
pub const HEADERS: usize = 256;

/// Where the sections find the ids and the shards. Constant once the first shard exists.
#[repr(C)]
#[derive(Debug)]
pub struct Anchor {
    /// From the thread pointer to the thread's area.
    pub area: isize,
    /// From the thread pointer to the pair of ids that indexes shards: `node_id` and `mm_cid`,
    /// or `cpu_id_start` and `cpu_id`.
    pub ids: isize,
    /// The table of shard bases.
    pub table: *const *mut u64,
}

// SAFETY: three constants; what they lead to is reached inside sections only.
#[allow(unsafe_code)]
unsafe impl Send for Anchor {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Anchor {}

impl Anchor {
    /// The shard index of the calling thread, or `None` while it is not registered. A hint,
    /// stale at once: sections check it again.
    ///
    /// # Safety
    /// The offsets are those of a [`Registration`] of this process.
    #[inline(always)]
    #[must_use]
    #[allow(unsafe_code)]
    pub unsafe fn shard_index(&self) -> Option<u32> {
        // SAFETY: by the caller's promise.
        unsafe {
            if crate::area::cpu_id(self.area) < 0 {
                return None;
            }
            let (row, id) = crate::area::ids_at(self.ids);
            Some((row << CID_BITS).wrapping_add(id))
        }
    }

    /// An anchor for `registration` over `table`, indexed by `mm_cid` or by CPU number.
    #[must_use]
    pub fn new(registration: &Registration, by_cpu: bool, table: *const *mut u64) -> Self {
        let pair = if by_cpu { crate::abi::CPU_ID_START } else { crate::abi::NODE_ID };
        Self { area: registration.offset, ids: registration.offset + pair as isize, table }
    }
}

/// The header word of one class.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header(pub u64);

impl Header {
    /// An empty class whose first slot is `begin` and which may hold `capacity` objects.
    #[must_use]
    pub const fn empty(begin: u16, capacity: u16) -> Self {
        assert!(begin.checked_add(capacity).is_some());
        Self(begin as u64 | ((begin + capacity) as u64) << 16)
    }
    /// The slot after the top object.
    #[must_use]
    pub const fn current(self) -> u16 {
        self.0 as u16
    }
    /// The slot where the class is full.
    #[must_use]
    pub const fn end(self) -> u16 {
        (self.0 >> 16) as u16
    }
    /// `cur` and `end` alone, as [`reshape`] compares and sets them.
    #[must_use]
    pub const fn shape(self) -> u32 {
        self.0 as u32
    }
    /// Pops and pushes that hit, modulo 2³².
    #[must_use]
    pub const fn ops(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// The header of a class that has no slots yet: it misses, for slot 0 of every shard, the
/// header of class 0, keeps this odd word for ever.
pub const INACTIVE: Header = Header(1 | 1 << 16);

/// Header 0 of a shard whose objects are of `node`: the sentinel of classes without slots, and
/// what [`push_on_node`] and [`push_batch`] compare with. [`INACTIVE`] stands for node 0.
#[must_use]
pub const fn home_of_shard(node: u32) -> Header {
    Header(INACTIVE.0 | (node as u64) << 32)
}

/// The headers of [`MISS`]: unlike [`INACTIVE`], so that no `reshape` ever finds them.
const MISS_HEADER: u64 = 3 | 3 << 16;
const _: () = assert!(MISS_HEADER & 1 == 1 && MISS_HEADER != INACTIVE.0 && HEADERS > 3);

/// A shard in which every operation misses; never written.
pub static MISS: MissShard = MissShard([MISS_HEADER; HEADERS]);

/// The type of [`MISS`].
#[repr(C, align(64))]
#[derive(Debug)]
pub struct MissShard([u64; HEADERS]);

impl MissShard {
    /// What a table entry holds while its shard is stopped.
    #[must_use]
    pub fn base(&'static self) -> *mut u64 {
        (&raw const self.0).cast_mut().cast()
    }
}

#[cfg(all(test, not(cidalloc_model)))]
mod tests;

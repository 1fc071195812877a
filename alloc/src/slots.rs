//! Who holds which cid, and how a cid is stopped.
//!
//! ```text
//!  slot of a cid                                       bit in the set of cids
//!  FREE ─────claim──────► HELD(thread) ◄──resume── PARKED      clear when FREE, and
//!   ▲                      │  ▲     └────park──────►  │         only then
//!   │◄────its end──────────┘  │                       └─ taken over ─► HELD(who took it)
//!   │                    stop │ start, or
//!   │                         ▼ HELD(who took it over)
//!   └──start, nobody's── STOPPED(thread or 0, by whom)
//! ```
//!
//! LEASE-HOLDER: only the thread that a slot is HELD by, or STOPPED by, uses the shards of that cid.
//! A slot leaves HELD(a thread) by that thread itself, or by way of STOPPED and a fence after
//! which that thread was found outside of operations. BIT-COVERS-SLOT: a slot that is not FREE
//! has its bit set, and who set the bit owns the FREE slot.

use crate::check::check;
use crate::cid_set::CidSet;
use crate::records::{self, NUMBER_BITS};
use rseq_sys::cs::CIDS_PER_NODE;
use rseq_sys::lease::Lease;
use rseq_sys::membarrier;
use rseq_sys::sync::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, SeqCst},
    fence,
};

/// The cids, and how many may have them.
pub static CIDS: CidSet = CidSet::new();

static SLOTS: [AtomicU64; CIDS_PER_NODE] = [const { AtomicU64::new(0) }; CIDS_PER_NODE];
/// Whether the kernel makes the fences. A filter that a program installs may end that.
static ASYMMETRIC: AtomicBool = AtomicBool::new(false);

/// What a slot says of its cid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Nobody's.
    Free,
    /// The lease of the thread with this record.
    Held(u32),
    /// Nobody is at work on its shards but the thread with record `by`.
    Stopped {
        /// Whose lease it was and will be again; 0 for nobody's.
        holder: u32,
        /// Who stopped it.
        by: u32,
    },
    /// Without a thread: a scheduler's, known by this number.
    Parked(u64),
}

impl Slot {
    fn of(word: u64) -> Self {
        let number = |shift: u32| (word >> shift) as u32 & ((1 << NUMBER_BITS) - 1);
        match word & 3 {
            0 => Self::Free,
            1 => Self::Held(number(2)),
            2 => Self::Stopped { holder: number(2), by: number(2 + NUMBER_BITS) },
            _ => Self::Parked(word >> 2),
        }
    }
    fn word(self) -> u64 {
        match self {
            Self::Free => 0,
            Self::Held(holder) => 1 | u64::from(holder) << 2,
            Self::Stopped { holder, by } => {
                2 | u64::from(holder) << 2 | u64::from(by) << (2 + NUMBER_BITS)
            }
            Self::Parked(parking) => 3 | parking << 2,
        }
    }
    /// The slot of `cid` now.
    #[must_use]
    pub fn read(cid: u32) -> Self {
        Self::of(SLOTS[cid as usize].load(Acquire))
    }
    /// Moves the slot of `cid` on if it is as it was. SeqCst: a fence follows where it matters.
    #[must_use]
    pub fn replace(cid: u32, from: Self, to: Self) -> bool {
        SLOTS[cid as usize].compare_exchange(from.word(), to.word(), SeqCst, Relaxed).is_ok()
    }
    /// Writes the slot of `cid`, whose bit the caller has just set: free, therefore (BIT-COVERS-SLOT).
    /// Were it somebody's still, two would be at work on one shard.
    pub fn occupy(self, cid: u32) {
        check(Self::replace(cid, Self::Free, self), "the slot of a claimed cid is not free");
    }
    /// Writes the slot of `cid`, which is the caller's to write.
    pub fn write(self, cid: u32) {
        SLOTS[cid as usize].store(self.word(), SeqCst);
    }
}

/// Asks the kernel for the fences.
pub fn start() {
    ASYMMETRIC.store(membarrier::register_barrier() && membarrier::barrier(), Relaxed);
}

/// Whether operations are fenced by the kernel, at no cost to who makes them.
#[must_use]
pub fn is_asymmetric() -> bool {
    ASYMMETRIC.load(Relaxed)
}

/// A cid on whose shard nobody is at work, nor begins to, until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Stopped {
    cid: u32,
    by: u32,
}

impl Stopped {
    /// Leaves the cid to the one that stopped it.
    pub fn keep(self) {
        Slot::Held(self.by).write(self.cid);
        core::mem::forget(self);
    }
}

/// Stops `cid` on behalf of the thread with record `by`: its holder's operations miss from now
/// on, and none of them is under way. `None` when one may be, when it is parked, or somebody else
/// stops it.
pub fn stop(by: u32, cid: u32) -> Option<Stopped> {
    let slot = Slot::read(cid);
    let holder = match slot {
        Slot::Free => {
            // A handler that forks must find the bit ours.
            let _inside = Lease::current().and_then(Lease::enter);
            if !CIDS.claim_this(cid) {
                return None;
            }
            Slot::Stopped { holder: 0, by }.occupy(cid);
            return Some(Stopped { cid, by });
        }
        Slot::Held(holder) => holder,
        Slot::Parked(_) | Slot::Stopped { .. } => return None,
    };
    if !Slot::replace(cid, slot, Slot::Stopped { holder, by }) {
        return None;
    }
    let stopped = Stopped { cid, by };
    let lease = &records::at(holder).lease;
    lease.stop();
    // A holder that was binding its lease meanwhile did so before it left the operation.
    (barrier(lease) && !lease.is_inside() && lease.is_stopped()).then_some(stopped)
}

/// A full barrier in the thread of `lease`. False if the kernel refuses all of a sudden: its holder,
/// whom the stop sends to a slow path, makes its own from then on.
fn barrier(lease: &Lease) -> bool {
    if !lease.is_asymmetric() {
        fence(SeqCst);
        return true;
    }
    barrier_of_all()
}

/// A full barrier in all threads, if the kernel makes them; false if it does not, or not any more.
#[must_use]
pub fn barrier_of_all() -> bool {
    if !is_asymmetric() {
        return false;
    }
    // A child of `fork` may have lost the registration.
    let made = membarrier::barrier() || (membarrier::register_barrier() && membarrier::barrier());
    if !made {
        ASYMMETRIC.store(false, Relaxed);
    }
    made
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // A handler that forks must find either the slot stopped by us, or all of it done.
        let _inside = Lease::current().and_then(Lease::enter);
        let Self { cid, by } = *self;
        while let slot @ Slot::Stopped { holder, by: stopper } = Slot::read(cid)
            && stopper == by
        {
            let next = if holder == 0 { Slot::Free } else { Slot::Held(holder) };
            if Slot::replace(cid, slot, next) {
                if next == Slot::Free {
                    CIDS.release(cid);
                }
                return;
            }
        }
    }
}

/// In a child of `fork`: of all threads there is only the one with record `me`, or 0. `claiming`:
/// it forked from a handler above an operation, and some bits may be its own.
pub fn forget_others(me: u32, claiming: bool) {
    let mut parked = 0;
    for cid in 0..CIDS.allowed() {
        match Slot::read(cid) {
            Slot::Held(holder) if holder == me => {}
            Slot::Stopped { by, .. } if by == me => Slot::Stopped { holder: 0, by }.write(cid),
            Slot::Parked(_) => parked += 1,
            Slot::Free if claiming => {}
            _ => {
                Slot::Free.write(cid);
                CIDS.release(cid);
            }
        }
    }
    CIDS.set_users(u32::from(me != 0) + parked);
}

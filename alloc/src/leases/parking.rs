//! Leases without a thread, between two workers of a scheduler (see [`crate::handover`]).
//!
//! A parked cid counts as a user of its own, so that the thread that parked it may have another.

use super::{COUNTERS, mine, register};
use crate::slots::{CIDS, Slot};
use rseq_sys::lease::Lease;
use rseq_sys::sync::{AtomicU64, Ordering::Relaxed};

/// A cid that nobody runs on, kept for whoever comes with this.
#[derive(Debug)]
pub struct Parking {
    /// The cid.
    pub cid: u32,
    number: u64,
    /// The record of the thread that left it.
    by: u32,
}

static PARKINGS: AtomicU64 = AtomicU64::new(0);

/// Parks the calling thread's cid, as a user of its own; `None` when it holds none just now.
pub fn park() -> Option<Parking> {
    let me = mine()?;
    // Inside, since a handler would lead the lease back to the shard.
    let _inside = me.lease.enter()?;
    let cid = me.cid.load(Relaxed);
    if !me.holds(cid) {
        return None;
    }
    me.lease.stop();
    let number = PARKINGS.fetch_add(1, Relaxed) + 1;
    CIDS.add_user();
    if Slot::replace(cid, Slot::Held(me.number()), Slot::Parked(number)) {
        return Some(Parking { cid, number, by: me.number() });
    }
    CIDS.remove_user();
    None
}

/// Makes a parked cid the calling thread's, whose own goes back; false when it was taken over
/// meanwhile, or the thread is at its end.
#[must_use]
pub fn resume(parking: &Parking) -> bool {
    let Some(me) = mine().or_else(register) else {
        return false;
    };
    let Some(inside) = me.lease.enter() else {
        return false;
    };
    me.release(&inside);
    let &Parking { cid, number, by } = parking;
    let resumed = Slot::replace(cid, Slot::Parked(number), Slot::Held(me.number()));
    if resumed {
        CIDS.remove_user();
        me.cid.store(cid, Relaxed);
        if by != me.number() {
            COUNTERS.transfers.fetch_add(1, Relaxed);
        }
    }
    resumed
}

/// Gives a parked cid back, unless it was taken over meanwhile.
pub fn discard(parking: &Parking) {
    // A handler that forks finds either the parked cid, or all of this done.
    let _inside = Lease::current().and_then(Lease::enter);
    if Slot::replace(parking.cid, Slot::Parked(parking.number), Slot::Free) {
        CIDS.release(parking.cid);
        CIDS.remove_user();
        COUNTERS.removals.fetch_add(1, Relaxed);
    }
}

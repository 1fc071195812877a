//! The part of the statistics that only processes with emulated cids have.

use crate::leases::{self, COUNTERS};
use crate::records;
use crate::report::Out;
use crate::slots::CIDS;
use rseq_sys::sync::{AtomicU64, Ordering};

/// The facts of emulated cids.
pub(super) fn write(out: &mut Out<'_>) {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (now, policy) = (&COUNTERS, leases::policy_word());
    let users = CIDS.users();
    out.number("lease_users", users, format_args!("threads that may hold a cid, {policy}"));
    out.number("lease_records", records::most(), format_args!("of 64 B each, for threads"));
    let (used, bound) = (CIDS.used(), CIDS.bound());
    out.number("leases", used, format_args!("cids held, of {bound} that may be"));
    let claims = format_args!("claims while there was one thread");
    out.number("lease_single", count(&now.single_threaded), claims);
    out.number("lease_recent", count(&now.recent), format_args!("claims of a thread's last cid"));
    let claims = format_args!("claims of a free cid of the thread's node");
    out.number("lease_node_local", count(&now.node_local), claims);
    out.number("lease_expansions", count(&now.expansions), format_args!("claims of a new cid"));
    out.number(
        "lease_first_free",
        count(&now.first_free),
        format_args!("claims of the first free"),
    );
    out.number("lease_evictions", count(&now.evictions), format_args!("idle cids taken over"));
    out.number("lease_transfers", count(&now.transfers), format_args!("handed to another thread"));
    out.number("lease_removals", count(&now.removals), format_args!("given back"));
    let without = format_args!("times that there was none to be had");
    out.number("lease_misses", count(&now.without), without);
}

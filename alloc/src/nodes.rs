//! Which node a CPU is on, for ever, and on which a cid was last.
//!
//! ```text
//!  CPU_NODES[cpu]    node                read from sysfs when the heap starts; absent: node 0
//!  LAST_NODES[cid]   0, or node + 1      a slow path found the cid there; another one: a drift
//! ```
//!
//! A byte each, in pages that are zero and not resident until they are written.

use numa_sys::topology::Sysfs;
use rseq_sys::cs::CIDS_PER_NODE;
use rseq_sys::sync::{AtomicU8, AtomicU64, Ordering::Relaxed};

static CPU_NODES: [AtomicU8; CIDS_PER_NODE] = [const { AtomicU8::new(0) }; CIDS_PER_NODE];
static LAST_NODES: [AtomicU8; CIDS_PER_NODE] = [const { AtomicU8::new(0) }; CIDS_PER_NODE];
static DRIFTS: AtomicU64 = AtomicU64::new(0);

/// Notes the node of each CPU that there is now, of `nodes` ones. Not for more of them than a
/// byte counts.
pub fn learn(nodes: usize) {
    // What sysfs does not say stays node 0: a shard needs a node for ever, be it the wrong one.
    let _ = Sysfs::SYSTEM.each_cpu(|cpu, node| {
        if let Some(entry) = CPU_NODES.get(cpu as usize)
            && (node as usize) < nodes
        {
            entry.store(node as u8, Relaxed);
        }
    });
}

/// The node of `cpu`.
#[inline]
#[must_use]
pub fn of_cpu(cpu: usize) -> usize {
    CPU_NODES.get(cpu).map_or(0, |node| node.load(Relaxed).into())
}

/// Notes that `cid` is on `node`, and counts it when it was on another one before.
#[inline]
pub fn see(cid: usize, node: usize) {
    let Some(last) = LAST_NODES.get(cid) else { return };
    let now = (node as u8).wrapping_add(1);
    let before = last.load(Relaxed);
    if before != now {
        last.store(now, Relaxed);
        if before != 0 {
            DRIFTS.fetch_add(1, Relaxed);
        }
    }
}

/// Cids that were found on another node than the time before, so far.
#[must_use]
pub fn drifts() -> u64 {
    DRIFTS.load(Relaxed)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn a_cid_drifts_when_it_is_seen_on_another_node_than_before() {
        // Of cids that no machine of the tests has.
        let (a, b) = (CIDS_PER_NODE - 1, CIDS_PER_NODE - 2);
        let before = drifts();
        see(a, 3);
        see(b, 1);
        see(a, 3);
        assert_eq!(drifts(), before);
        see(a, 0);
        see(b, 1);
        see(a, 0);
        assert_eq!(drifts(), before + 1);
        see(a, 3);
        see(CIDS_PER_NODE, 1);
        assert_eq!(drifts(), before + 2);
    }

    #[test]
    fn cpus_are_on_the_nodes_that_sysfs_names_and_others_on_node_0() {
        let Some(nodes) = numa_sys::topology::possible_nodes() else {
            std::eprintln!("skipped: sysfs does not say which nodes there are");
            return;
        };
        learn(nodes as usize);
        let online = Sysfs::SYSTEM.online_cpus().unwrap();
        for cpu in &online {
            assert_eq!(Some(of_cpu(cpu as usize) as u32), numa_sys::topology::node_of_cpu(cpu));
        }
        assert_eq!(of_cpu(CIDS_PER_NODE - 1), 0);
        assert_eq!(of_cpu(usize::MAX), 0);
    }
}

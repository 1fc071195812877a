//! CPUs and nodes: possible, online, allowed; nodes with memory, nodes without CPUs.
//!
//! ```text
//!  sysfs    cpu/{possible,online}  node/{possible,online,has_memory,has_cpu}
//!  status   Cpus_allowed_list, Mems_allowed_list     the cpuset, and this process's affinity
//! ```

use super::point::{Point, field};
use cidalloc::config::NODES_MAX;
use numa_sys::topology::Sysfs;
use numa_sys::{CpuMask, NodeMask};

/// What the machine has, and what of it this process may use; `None` where nobody tells.
#[derive(Debug)]
pub(crate) struct Machine {
    cpus_possible: Option<CpuMask>,
    cpus_online: Option<CpuMask>,
    cpus_allowed: Option<CpuMask>,
    nodes_possible: Option<NodeMask>,
    nodes_online: Option<NodeMask>,
    nodes_with_memory: Option<NodeMask>,
    nodes_with_cpus: Option<NodeMask>,
    nodes_allowed: Option<NodeMask>,
    /// Nodes of CPUs that are allowed.
    nodes_used: NodeMask,
}

impl Machine {
    /// Asks; `status` is the text of `/proc/self/status`.
    pub(crate) fn look(status: &str) -> Self {
        Self::of(Sysfs::SYSTEM, status)
    }

    fn of(sysfs: Sysfs<'_>, status: &str) -> Self {
        let list = |key| field(status, key).map(str::as_bytes);
        let cpus_allowed = list("Cpus_allowed_list").and_then(|l| CpuMask::from_list(l).ok());
        let mut nodes_used = NodeMask::EMPTY;
        for cpu in cpus_allowed.iter().flatten() {
            if let Ok(node) = sysfs.node_of_cpu(cpu) {
                // Fits: sysfs named it in a mask of this kind.
                let _ = nodes_used.insert(node);
            }
        }
        Self {
            cpus_possible: sysfs.possible_cpus().ok(),
            cpus_online: sysfs.online_cpus().ok(),
            cpus_allowed,
            nodes_possible: sysfs.possible_nodes().ok(),
            nodes_online: sysfs.online_nodes().ok(),
            nodes_with_memory: sysfs.nodes_with_memory().ok(),
            nodes_with_cpus: sysfs.nodes_with_cpus().ok(),
            nodes_allowed: list("Mems_allowed_list").and_then(|l| NodeMask::from_list(l).ok()),
            nodes_used,
        }
    }

    /// CPUs that this process may run on.
    pub(crate) fn allowed(&self) -> Option<&CpuMask> {
        self.cpus_allowed.as_ref()
    }
    /// How many those are.
    pub(crate) fn allowed_cpus(&self) -> Option<u32> {
        self.cpus_allowed.as_ref().map(CpuMask::count)
    }
    /// The highest possible CPU and one.
    pub(crate) fn possible_cpus_end(&self) -> Option<u32> {
        self.cpus_possible.as_ref()?.highest().map(|cpu| cpu + 1)
    }
    /// Whether sysfs tells which nodes may be there: else the library uses no kernel's cids.
    pub(crate) fn nodes_are_known(&self) -> bool {
        self.nodes_possible.is_some()
    }
    /// Nodes online.
    pub(crate) fn node_count(&self) -> Option<u32> {
        self.nodes_online.as_ref().map(NodeMask::count)
    }

    /// Its lines.
    pub(crate) fn points(&self) -> Vec<Point> {
        let mut points = vec![
            cpus("cpus_possible", self.cpus_possible.as_ref()),
            cpus("cpus_online", self.cpus_online.as_ref()),
            cpus("cpus_allowed", self.cpus_allowed.as_ref()),
            self.possible_point(),
            nodes("nodes_online", self.nodes_online.as_ref()),
            nodes("nodes_memory", self.nodes_with_memory.as_ref()),
        ];
        if let (Some(online), Some(with)) = (&self.nodes_online, &self.nodes_with_cpus) {
            let without = without(online, with);
            points.push(nodes("nodes_no_cpus", Some(&without)));
        }
        points.push(self.allowed_point());
        points
    }

    fn possible_point(&self) -> Point {
        let point = nodes("nodes_possible", self.nodes_possible.as_ref());
        match self.nodes_possible.as_ref().map(NodeMask::highest) {
            None => point.costs(
                "nodes unknown: CPU numbers instead of cids, no memory bound",
                "mount sysfs at /sys",
            ),
            Some(Some(highest)) if highest as usize >= NODES_MAX => point.costs(
                format!("more than {NODES_MAX} nodes: memory is not bound to any"),
                "report the machine: the limit is a constant of the library",
            ),
            Some(_) => point,
        }
    }

    /// A thread on a node whose memory is not allowed has all its memory elsewhere.
    fn allowed_point(&self) -> Point {
        let point = nodes("nodes_allowed", self.nodes_allowed.as_ref());
        let (Some(allowed), Some(memory)) = (&self.nodes_allowed, &self.nodes_with_memory) else {
            return point;
        };
        let remote = without(&self.nodes_used.and(memory), allowed);
        if remote.is_empty() {
            return point;
        }
        point.costs(
            format!("CPUs of node {remote} may be used and its memory may not: all is remote"),
            "give the cpuset memory (cpuset.mems) and CPUs (cpuset.cpus) of the same nodes",
        )
    }
}

fn without(all: &NodeMask, some: &NodeMask) -> NodeMask {
    let mut left = *all;
    for node in some {
        left.remove(node);
    }
    left
}

fn cpus(name: &'static str, mask: Option<&CpuMask>) -> Point {
    counted(name, mask.map(|mask| (mask.count(), mask.to_string())))
}

fn nodes(name: &'static str, mask: Option<&NodeMask>) -> Point {
    counted(name, mask.map(|mask| (mask.count(), mask.to_string())))
}

fn counted(name: &'static str, set: Option<(u32, String)>) -> Point {
    match set {
        Some((0, _)) => Point::number(name, 0u32, "none"),
        Some((count, list)) => Point::number(name, count, list),
        None => Point::word(name, "unknown", "nobody tells"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::point::Value;
    use std::ffi::CString;

    const STATUS: &str = "Cpus_allowed:\tf0\nCpus_allowed_list:\t4-7\nMems_allowed_list:\t0,2\n";

    /// Node 0 with CPUs 0 to 3, node 1 with 4 to 7, node 2 of memory alone.
    fn three_nodes() -> (std::path::PathBuf, CString) {
        let root = std::env::temp_dir().join(format!("cidalloc-nodes-{}", std::process::id()));
        let files = [
            ("cpu/possible", "0-15"),
            ("cpu/online", "0-7"),
            ("node/possible", "0-3"),
            ("node/online", "0-2"),
            ("node/has_memory", "0-2"),
            ("node/has_cpu", "0-1"),
            ("node/node0/cpulist", "0-3"),
            ("node/node1/cpulist", "4-7"),
            ("node/node2/cpulist", ""),
        ];
        for (name, text) in files {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, format!("{text}\n")).unwrap();
        }
        let name = CString::new(root.to_str().unwrap()).unwrap();
        (root, name)
    }

    #[test]
    fn a_cpuset_with_cpus_and_memory_of_different_nodes_is_degraded() {
        let (root, name) = three_nodes();
        let machine = Machine::of(Sysfs::new(&name), STATUS);
        let wider = Machine::of(Sysfs::new(&name), &STATUS.replace("0,2", "0-2"));
        std::fs::remove_dir_all(root).unwrap();
        let numbers = machine.points();
        let numbers = numbers.iter().map(|point| (point.name, &point.value, &*point.remark));
        let expected = [
            ("cpus_possible", 16, "0-15"),
            ("cpus_online", 8, "0-7"),
            ("cpus_allowed", 4, "4-7"),
            ("nodes_possible", 4, "0-3"),
            ("nodes_online", 3, "0-2"),
            ("nodes_memory", 3, "0-2"),
            ("nodes_no_cpus", 1, "2"),
            ("nodes_allowed", 2, "0,2"),
        ];
        let expected = expected.map(|(name, n, list)| (name, Value::Number(n), list));
        assert!(numbers.eq(expected.iter().map(|(name, n, list)| (*name, n, *list))));
        let why = machine.allowed_point().degraded.expect("CPUs of node 1, memory of 0 and 2");
        assert!(why.cost.contains("node 1 "), "{}", why.cost);
        assert_eq!(wider.allowed_point().degraded, None);
        assert_eq!((machine.allowed_cpus(), machine.possible_cpus_end()), (Some(4), Some(16)));
    }

    #[test]
    fn without_sysfs_nothing_is_made_up() {
        let machine = Machine::of(Sysfs::new(c"/nowhere"), "");
        assert_eq!((machine.node_count(), machine.nodes_are_known()), (None, false));
        let points = machine.points();
        assert!(points.iter().all(|point| point.value == Value::Word("unknown".into())));
        let degraded: Vec<_> = points.iter().filter(|point| point.degraded.is_some()).collect();
        assert_eq!(degraded.len(), 1);
        assert_eq!(degraded[0].name, "nodes_possible");
    }
}

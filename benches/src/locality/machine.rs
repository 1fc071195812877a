//! What shares what: CPUs, cores, third-level caches, sockets.
//!
//! ```text
//!   socket 0                        socket 1
//!   ┌ L3 ─────────────┐ ┌ L3 ──┐    ┌ L3 ──┐
//!   │ core 0 … core 7 │ │ 8 …  │ …  │ 96 … │ …      cores are numbered through
//!   │ cpu 0    cpu 7  │ │      │    │      │        CPU c is a thread of core c modulo cores,
//!   │ cpu 192  cpu 199│ │      │    │      │        as Linux numbers them there
//!   └─────────────────┘ └──────┘    └──────┘
//! ```

/// A machine whose parts are all alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Sockets; a NUMA node each.
    pub sockets: usize,
    /// Third-level caches of a socket.
    pub l3s: usize,
    /// Cores that share one.
    pub cores: usize,
    /// Hardware threads of a core.
    pub threads: usize,
}

/// Two EPYC 9654, the machine of the published table: 24 L3, 192 cores, 384 threads.
pub const EPYC_9654_TWICE: Machine = Machine { sockets: 2, l3s: 12, cores: 8, threads: 2 };

impl Machine {
    /// Cores of the machine.
    #[must_use]
    pub const fn core_count(&self) -> usize {
        self.sockets * self.l3s * self.cores
    }

    /// CPUs as the kernel counts them.
    #[must_use]
    pub const fn cpu_count(&self) -> usize {
        self.core_count() * self.threads
    }

    /// Third-level caches of the machine.
    #[must_use]
    pub const fn l3_count(&self) -> usize {
        self.sockets * self.l3s
    }

    /// The core that a CPU is a thread of.
    #[must_use]
    pub const fn core_of(&self, cpu: usize) -> usize {
        cpu % self.core_count()
    }

    /// The third-level cache of a core.
    #[must_use]
    pub const fn l3_of(&self, core: usize) -> usize {
        core / self.cores
    }

    /// The socket of a third-level cache.
    #[must_use]
    pub const fn socket_of(&self, l3: usize) -> usize {
        l3 / self.l3s
    }

    /// The node of a CPU.
    #[must_use]
    pub const fn node_of(&self, cpu: usize) -> usize {
        self.socket_of(self.l3_of(self.core_of(cpu)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_machine_has_the_parts_that_its_author_lists() {
        let m = EPYC_9654_TWICE;
        assert_eq!((m.cpu_count(), m.core_count(), m.l3_count()), (384, 192, 24));
    }

    #[test]
    fn threads_of_a_core_share_all_and_neighbours_their_third_level() {
        let m = EPYC_9654_TWICE;
        assert_eq!(m.core_of(7), m.core_of(7 + 192));
        assert_eq!((m.l3_of(0), m.l3_of(7), m.l3_of(8), m.l3_of(191)), (0, 0, 1, 23));
        assert_eq!((m.node_of(95), m.node_of(96), m.node_of(192), m.node_of(383)), (0, 1, 0, 1));
    }
}

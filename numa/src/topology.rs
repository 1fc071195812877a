//! CPUs, nodes, and which belongs to which, from sysfs.
//!
//! ```text
//!   /sys/devices/system            = Sysfs::SYSTEM, any other folder in tests
//!     cpu/{possible,present,online}   lists          cpu/cpu3/node1       link: CPU 3 is on node 1
//!     node/{possible,online}          lists          node/node1/cpulist   its online CPUs
//!     node/{has_memory,has_cpu}       lists          node/node1/distance  one number per online node
//!                                                    node/node1/meminfo   its memory in KiB
//! ```
//!
//! A machine whose sysfs has `cpu` but no `node` (kernel without NUMA) has one node, 0. Node
//! numbers may have holes; nodes may lack CPUs or memory; the lists above say which. Where sysfs
//! is not mounted at all nothing is made up: the answer is an error or `None`.
//!
//! All functions are thread-safe and async-signal-safe, allocate nothing, leave the C library's
//! `errno` alone, hold one file descriptor while they read, and need 3 to 5 KiB of stack when
//! optimised (a [`CpuMask`] is 1 KiB). Source of the files: `Documentation/ABI/stable/
//! sysfs-devices-node`, `sysfs-devices-system-cpu`; distances are those of ACPI's SLIT, 10 = local.

use crate::cpulist::{Pieces, Region};
use crate::file::{self, File, Path};
use crate::mask::{Bits, CpuMask, NodeMask};
use crate::parse::{ParseError, ParseErrorKind, decimal_kib, whole_number};
use crate::sys::{self, Errno};
use core::ffi::CStr;
use core::fmt;
use core::ops::ControlFlow;

/// Distance of a node to itself, by which all others are scaled (ACPI SLIT).
pub const LOCAL_DISTANCE: u32 = 10;

/// Why a question about the machine has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The kernel refused; `ENOENT` where there is no such node or CPU, or no sysfs.
    Sys(Errno),
    /// The file is there but not as Linux writes it.
    Malformed(ParseError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Sys(Errno::ENOENT) => {
                f.write_str("no such node or CPU, or sysfs is not mounted: see that /sys is there")
            }
            Error::Sys(errno) => errno.fmt(f),
            Error::Malformed(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Error {
        Error::Sys(errno)
    }
}

impl From<ParseError> for Error {
    fn from(error: ParseError) -> Error {
        Error::Malformed(error)
    }
}

/// Memory of one node, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeMemory {
    /// All of it (`MemTotal`).
    pub total_bytes: u64,
    /// What was free when asked (`MemFree`).
    pub free_bytes: u64,
}

/// The folder that says what the machine is made of.
///
/// ```
/// use numa_sys::topology::Sysfs;
/// let nodes = Sysfs::SYSTEM.online_nodes()?;
/// for node in &nodes {
///     let cpus = Sysfs::SYSTEM.node_cpus(node)?;
///     assert!(cpus.iter().all(|cpu| Sysfs::SYSTEM.node_of_cpu(cpu) == Ok(node)));
/// }
/// # Ok::<(), numa_sys::topology::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sysfs<'a> {
    root: &'a CStr,
}

impl<'a> Sysfs<'a> {
    /// This machine's own.
    pub const SYSTEM: Sysfs<'static> = Sysfs::new(c"/sys/devices/system");

    /// Another folder of the same shape; of at most about 200 bytes.
    pub const fn new(root: &'a CStr) -> Sysfs<'a> {
        Sysfs { root }
    }

    /// CPUs that may ever be there.
    ///
    /// # Errors
    ///
    /// See [`Error`]; so for all methods that name no errors of their own.
    pub fn possible_cpus(self) -> Result<CpuMask, Error> {
        self.mask(format_args!("cpu/possible"))
    }

    /// CPUs that run.
    pub fn online_cpus(self) -> Result<CpuMask, Error> {
        self.mask(format_args!("cpu/online"))
    }

    /// The highest possible CPU plus one, however high; `None` if the list is empty.
    pub fn possible_cpus_end(self) -> Result<Option<u32>, Error> {
        self.end(format_args!("cpu/possible"))
    }

    /// The highest possible node plus one; `None` if the list is empty.
    pub fn possible_nodes_end(self) -> Result<Option<u32>, Error> {
        if self.one_node()? { Ok(Some(1)) } else { self.end(format_args!("node/possible")) }
    }

    /// Nodes that may ever be there.
    pub fn possible_nodes(self) -> Result<NodeMask, Error> {
        self.nodes("possible")
    }

    /// Nodes that are there, with or without memory and CPUs.
    pub fn online_nodes(self) -> Result<NodeMask, Error> {
        self.nodes("online")
    }

    /// Nodes with memory: the only ones that a policy may name.
    pub fn nodes_with_memory(self) -> Result<NodeMask, Error> {
        self.nodes("has_memory")
    }

    /// Nodes with CPUs.
    pub fn nodes_with_cpus(self) -> Result<NodeMask, Error> {
        self.nodes("has_cpu")
    }

    fn nodes(self, which: &str) -> Result<NodeMask, Error> {
        if self.one_node()? {
            return Ok(ONE_NODE);
        }
        self.mask(format_args!("node/{which}"))
    }

    /// The node's online CPUs; empty for a node of memory alone.
    pub fn node_cpus(self, node: u32) -> Result<CpuMask, Error> {
        if !self.one_node()? {
            return self.mask(format_args!("node/node{node}/cpulist"));
        }
        if node == 0 { self.online_cpus() } else { Err(Error::Sys(Errno::ENOENT)) }
    }

    /// The CPU's node, also for a CPU that is present but offline.
    ///
    /// # Errors
    ///
    /// `ENOENT` for a CPU that is not present. Other errors as in [`Error`].
    pub fn node_of_cpu(self, cpu: u32) -> Result<u32, Error> {
        if self.one_node()? {
            let end = self.possible_cpus_end()?;
            return if end.is_some_and(|end| cpu < end) {
                Ok(0)
            } else {
                Err(Errno::ENOENT.into())
            };
        }
        let nodes = self.online_nodes()?;
        for node in &nodes {
            let link = Path::new(self.root, format_args!("cpu/cpu{cpu}/node{node}"))?;
            if file::exists(link.as_cstr()).is_ok() {
                return Ok(node);
            }
        }
        // Sandboxes show `cpu` without its links: then the nodes' own lists decide.
        for node in &nodes {
            let list = format_args!("node/node{node}/cpulist");
            let found = self.each_region(list, |region| {
                if region.contains(cpu) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            match found {
                Ok(Some(())) => return Ok(node),
                Ok(None) | Err(Error::Sys(Errno::ENOENT)) => {} // went offline meanwhile
                Err(error) => return Err(error),
            }
        }
        Err(Error::Sys(Errno::ENOENT))
    }

    /// Calls `each` with every CPU that is present, and its node; also with those that are offline.
    /// A CPU that comes to be present later is on a node that nobody knows now.
    pub fn each_cpu(self, mut each: impl FnMut(u32, u32)) -> Result<(), Error> {
        let mut known = CpuMask::EMPTY;
        for node in &self.online_nodes()? {
            let cpus = match self.node_cpus(node) {
                Err(Error::Sys(Errno::ENOENT)) => continue, // went offline meanwhile
                cpus => cpus?,
            };
            for cpu in &cpus {
                each(cpu, node);
                known.insert(cpu).map_err(|_| Error::Sys(Errno::ERANGE))?;
            }
        }
        // A node's list has those that run; the others have a link only.
        let present: CpuMask = match self.mask(format_args!("cpu/present")) {
            Err(Error::Sys(Errno::ENOENT)) => return Ok(()),
            present => present?,
        };
        for cpu in present.iter().filter(|&cpu| !known.contains(cpu)) {
            let _ = self.node_of_cpu(cpu).map(|node| each(cpu, node));
        }
        Ok(())
    }

    /// How far node `to` is from node `from`: 10 is local, 20 twice as far. Not always the same
    /// the other way round.
    ///
    /// # Errors
    ///
    /// `ENOENT` if one of them is not online. Other errors as in [`Error`].
    pub fn distance(self, from: u32, to: u32) -> Result<u32, Error> {
        let nodes = self.online_nodes()?;
        if !nodes.contains(from) || !nodes.contains(to) {
            return Err(Error::Sys(Errno::ENOENT));
        }
        if self.one_node()? {
            return Ok(LOCAL_DISTANCE);
        }
        // The file has one number per *online* node: a hole in the numbers is no column.
        let mut columns = nodes.iter();
        let file = self.open(format_args!("node/node{from}/distance"))?;
        let answer = file.for_each_token(
            |byte| byte == b' ' || byte == b'\n',
            |token| {
                if token.bytes.is_empty() || columns.next() != Some(to) {
                    return ControlFlow::Continue(());
                }
                ControlFlow::Break(whole_number(token.bytes, token.offset))
            },
        )?;
        Ok(answer.unwrap_or(Err(ParseError::new(ParseErrorKind::Missing, 0)))?)
    }

    /// The node nearest to `node` that has memory, the lower number of equals; `node` itself if
    /// it has some. A policy cannot name a node without memory, so this is whom to name instead.
    pub fn nearest_node_with_memory(self, node: u32) -> Result<u32, Error> {
        let candidates = self.nodes_with_memory()?;
        if candidates.contains(node) {
            return Ok(node);
        }
        let mut best = Err(Error::Sys(Errno::ENOENT));
        let mut best_distance = u32::MAX;
        for candidate in &candidates {
            let distance = self.distance(node, candidate)?;
            if distance < best_distance {
                best_distance = distance;
                best = Ok(candidate);
            }
        }
        best
    }

    /// The node's memory, in bytes; zero for a node of CPUs alone.
    pub fn node_memory(self, node: u32) -> Result<NodeMemory, Error> {
        if !self.one_node()? {
            return Ok(NodeMemory {
                total_bytes: self.meminfo(node, b"MemTotal:")?,
                free_bytes: self.meminfo(node, b"MemFree:")?,
            });
        }
        if node != 0 {
            return Err(Error::Sys(Errno::ENOENT));
        }
        let (total_bytes, free_bytes) = sys::memory_total_free()?;
        Ok(NodeMemory { total_bytes, free_bytes })
    }

    /// One line of meminfo: `Node 0 MemTotal:        4155604 kB`.
    fn meminfo(self, node: u32, name: &[u8]) -> Result<u64, Error> {
        let file = self.open(format_args!("node/node{node}/meminfo"))?;
        let answer = file.for_each_token(
            |byte| byte == b'\n',
            |line| {
                let mut words = line.bytes.split(|&byte| byte == b' ').filter(|w| !w.is_empty());
                let (_node, _number) = (words.next(), words.next());
                if words.next() != Some(name) {
                    return ControlFlow::Continue(());
                }
                ControlFlow::Break(match (words.next(), words.next()) {
                    (Some(kib), Some(b"kB")) => decimal_kib(kib, line.offset),
                    _ => Err(ParseError::new(ParseErrorKind::UnexpectedByte, line.offset)),
                })
            },
        )?;
        Ok(answer.unwrap_or(Err(ParseError::new(ParseErrorKind::Missing, 0)))?)
    }

    /// Whether this kernel knows no nodes. An error if there is no sysfs to tell.
    fn one_node(self) -> Result<bool, Error> {
        let node = Path::new(self.root, format_args!("node"))?;
        match file::exists(node.as_cstr()) {
            Ok(()) => Ok(false),
            Err(Errno::ENOENT) => {
                let cpu = Path::new(self.root, format_args!("cpu"))?;
                file::exists(cpu.as_cstr())?;
                Ok(true)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    fn open(self, name: fmt::Arguments<'_>) -> Result<File, Error> {
        Ok(File::open(Path::new(self.root, name)?.as_cstr())?)
    }

    fn each_region<B>(
        self,
        name: fmt::Arguments<'_>,
        mut each: impl FnMut(Region) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        let mut pieces = Pieces::new();
        let found = self.open(name)?.for_each_token(
            |byte| byte == b',',
            |token| match pieces.next(token.bytes, token.offset) {
                Ok(None) => ControlFlow::Continue(()),
                Ok(Some(region)) => each(region).map_break(Ok),
                Err(error) => ControlFlow::Break(Err(error)),
            },
        )?;
        Ok(found.transpose()?)
    }

    fn mask<const WORDS: usize>(self, name: fmt::Arguments<'_>) -> Result<Bits<WORDS>, Error> {
        let mut mask = Bits::EMPTY;
        let refused = self.each_region(name, |region| {
            match region.ids().try_for_each(|id| mask.insert(id).map(drop)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })?;
        match refused {
            None => Ok(mask),
            Some(()) => Err(Error::Sys(Errno::ERANGE)),
        }
    }

    fn end(self, name: fmt::Arguments<'_>) -> Result<Option<u32>, Error> {
        let mut end = None;
        self.each_region(name, |region| {
            end = end.max(region.highest().map(|highest| highest.saturating_add(1)));
            ControlFlow::<()>::Continue(())
        })?;
        Ok(end)
    }
}

const ONE_NODE: NodeMask = match NodeMask::single(0) {
    Ok(mask) => mask,
    Err(_) => unreachable!(),
};

/// This machine's highest possible CPU plus one: what an array indexed by CPU must hold.
/// `None` where sysfs does not say.
pub fn possible_cpus() -> Option<u32> {
    Sysfs::SYSTEM.possible_cpus_end().ok().flatten()
}

/// This machine's highest possible node plus one: what an array indexed by node must hold.
/// 1 on a kernel without NUMA, `None` where sysfs does not say.
pub fn possible_nodes() -> Option<u32> {
    Sysfs::SYSTEM.possible_nodes_end().ok().flatten()
}

/// The CPU's node on this machine; `None` if the CPU is not present or sysfs does not say.
pub fn node_of_cpu(cpu: u32) -> Option<u32> {
    Sysfs::SYSTEM.node_of_cpu(cpu).ok()
}

/// CPU and node on which the calling thread runs at this instant (getcpu(2)); stale at once.
///
/// # Errors
///
/// `ENOSYS` or `EPERM` under a system call filter.
pub fn current_cpu_and_node() -> Result<(u32, u32), Errno> {
    sys::getcpu()
}

#[cfg(test)]
#[path = "topology_tests.rs"]
mod tests;

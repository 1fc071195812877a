//! Concurrency ids in user space: which are free, and which one a thread should have.
//!
//! ```text
//!  cid        0 1 2 3 4 5 6 7 8 …
//!  used       1 1 0 1 0 0 0 0 0      held by somebody
//!  bound      1 1 1 1 0 0 0 0 0      to some node, for ever         only with several nodes
//!  on node 0  1 0 1 0 0 0 0 0 0
//!  on node 1  0 1 0 1 0 0 0 0 0
//!                     ▲ max_nr_cid ≤ bound() = min(CPUs allowed, users)
//! ```
//!
//! After the kernel's algorithm (`mm_get_cid`, Linux 6.13, and the NUMA form that was proposed for it
//! and never merged). For a thread that needs a cid, in this order:
//!
//! 1. the one that it had last, if it is below `max_nr_cid`, free, and at home on this node;
//! 2. with several nodes: the first one that is bound to this node and free (one-and-zero);
//! 3. while `max_nr_cid` is below [`CidSet::bound`]: the next one, which was in nobody's cache; with
//!    several nodes the first one that is neither bound nor used (zero-and-zero), bound from then on;
//! 4. the first free one below the bound.
//!
//! [`Policy::Compact`] leaves the first step out, and always takes the lowest of the others.
//!
//! No claim yields a cid that is not below the bound at that moment. Lock-free; nobody waits, no
//! system calls, no memory but its own, and all zero is the empty set. A claim that finds nothing
//! returns at once: what to do then is the caller's to know ([`crate::leases`] takes an idle one over).

use crate::config::NODES_MAX;
use rseq_sys::cs::CIDS_PER_NODE;
use rseq_sys::sync::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// Which free cid is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The lowest one, always: the fewest shards.
    Compact,
    /// The one that the thread had last; new ones while there are any: the warmest caches.
    CacheLocal,
}

/// How a claim came to its cid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// There was nobody else.
    SingleThreaded,
    /// It is the one that the thread had last.
    Recent,
    /// It is the first one that is at home on the node.
    NodeLocal,
    /// It was in no use before.
    Expansion,
    /// It is the first free one.
    FirstFree,
}

/// A cid that is the caller's until it is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The cid.
    pub cid: u32,
    /// How it was found.
    pub how: How,
}

/// Scans of a full set that ought to have a free cid, since there are no more users than cids: who
/// is leaving has given its cid back, or is about to.
const SCANS: usize = 64;

/// The cids of one process.
#[derive(Debug)]
pub struct CidSet {
    used: Bits,
    bound: Bits,
    on_node: [Bits; NODES_MAX],
    max_nr_cid: AtomicU32,
    allowed: AtomicU32,
    users: AtomicU32,
}

impl CidSet {
    /// The empty set, with no users and no CPUs allowed.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            used: Bits::new(),
            bound: Bits::new(),
            on_node: [const { Bits::new() }; NODES_MAX],
            max_nr_cid: AtomicU32::new(0),
            allowed: AtomicU32::new(0),
            users: AtomicU32::new(0),
        }
    }

    /// Says that `cpus` CPUs have been allowed to one thread or another; fewer than before change
    /// nothing.
    pub fn allow(&self, cpus: usize) {
        self.allowed.fetch_max(cpus.min(CIDS_PER_NODE) as u32, AcqRel);
    }
    /// CPUs that were ever allowed.
    #[must_use]
    pub fn allowed(&self) -> u32 {
        self.allowed.load(Acquire)
    }
    /// One more thread that may claim one cid.
    pub fn add_user(&self) {
        self.users.fetch_add(1, AcqRel);
    }
    /// One less: it holds no cid any more.
    pub fn remove_user(&self) {
        self.users.fetch_sub(1, AcqRel);
    }
    /// Threads that may hold a cid.
    #[must_use]
    pub fn users(&self) -> u32 {
        self.users.load(Acquire)
    }
    /// In a child of `fork`: there is `users` only.
    pub fn set_users(&self, users: u32) {
        self.users.store(users, Release);
    }

    /// How many cids may be in use now, all of them below this number.
    #[must_use]
    pub fn bound(&self) -> u32 {
        self.allowed().min(self.users())
    }
    /// Cids that were given out since the bound last fell below their number are below this.
    #[must_use]
    pub fn max_nr_cid(&self) -> u32 {
        self.max_nr_cid.load(Acquire)
    }
    /// Cids in use now.
    #[must_use]
    pub fn used(&self) -> u32 {
        self.used.count()
    }
    /// Whether somebody has claimed `cid`.
    #[must_use]
    pub fn is_used(&self, cid: u32) -> bool {
        self.used.has(cid)
    }
    /// Whether `cid` is bound to `node`.
    #[must_use]
    pub fn is_bound_to(&self, cid: u32, node: usize) -> bool {
        self.on_node[node.min(NODES_MAX - 1)].has(cid)
    }

    /// A free cid for a user that holds none. `recent` is the one that it held last; `node` is
    /// where it runs, `None` on machines with one node.
    #[must_use]
    pub fn claim(&self, policy: Policy, recent: Option<u32>, node: Option<usize>) -> Option<Claim> {
        let node = node.map(|node| node.min(NODES_MAX - 1));
        for _ in 0..SCANS {
            let max_nr_cid = self.lower_max_nr_cid();
            let recent = recent.filter(|_| policy == Policy::CacheLocal);
            let found = recent
                .and_then(|cid| self.reclaim(cid, max_nr_cid, node))
                .or_else(|| node.and_then(|node| self.at_home(node)))
                .or_else(|| self.expand(policy, node))
                .or_else(|| self.first_free());
            if let Some(Claim { cid, how }) = found {
                if cid >= self.bound() {
                    // The bound fell in between.
                    self.release(cid);
                    continue;
                }
                self.raise_max_nr_cid(cid);
                let how = if self.users() == 1 { How::SingleThreaded } else { how };
                return Some(Claim { cid, how });
            }
            if self.users() > self.allowed() {
                // Full in earnest.
                return None;
            }
            core::hint::spin_loop();
        }
        None
    }

    /// Claims `cid` itself, for whatever purpose; false when somebody holds it.
    #[must_use]
    pub fn claim_this(&self, cid: u32) -> bool {
        self.used.try_set(cid)
    }

    /// Gives a claimed cid back.
    pub fn release(&self, cid: u32) {
        self.used.clear(cid);
    }

    /// Brings `max_nr_cid` down to the bound, so that later growth spreads anew.
    fn lower_max_nr_cid(&self) -> u32 {
        let bound = self.bound();
        self.max_nr_cid.fetch_min(bound, AcqRel).min(bound)
    }

    fn raise_max_nr_cid(&self, cid: u32) {
        self.max_nr_cid.fetch_max(cid + 1, AcqRel);
    }

    /// Step 1.
    fn reclaim(&self, cid: u32, max_nr_cid: u32, node: Option<usize>) -> Option<Claim> {
        let at_home = node.is_none_or(|node| self.on_node[node].has(cid));
        (cid < max_nr_cid && at_home && self.used.try_set(cid))
            .then_some(Claim { cid, how: How::Recent })
    }

    /// Step 2.
    fn at_home(&self, node: usize) -> Option<Claim> {
        let free = |word: usize| self.on_node[node].word(word) & !self.used.word(word);
        self.take_first(free).map(|cid| Claim { cid, how: How::NodeLocal })
    }

    /// Step 3.
    fn expand(&self, policy: Policy, node: Option<usize>) -> Option<Claim> {
        let cid = match (node, policy) {
            (Some(node), _) => {
                let free = |word: usize| !self.bound.word(word) & !self.used.word(word);
                let cid = self.take_first(free)?;
                // Nobody else binds it: the bit in `used` is ours.
                self.bound.set(cid);
                self.on_node[node].set(cid);
                cid
            }
            (None, Policy::Compact) => return None,
            (None, Policy::CacheLocal) => self.take_next()?,
        };
        Some(Claim { cid, how: How::Expansion })
    }

    fn take_next(&self) -> Option<u32> {
        loop {
            let next = self.max_nr_cid.load(Acquire);
            if next >= self.bound() {
                return None;
            }
            let grown = self.max_nr_cid.compare_exchange(next, next + 1, AcqRel, Relaxed);
            if grown.is_ok() && self.used.try_set(next) {
                return Some(next);
            }
        }
    }

    /// Step 4. On a machine with several nodes it is one that is bound to another: the shard is
    /// then that of this node and this cid.
    fn first_free(&self) -> Option<Claim> {
        self.take_first(|word| !self.used.word(word)).map(|cid| Claim { cid, how: How::FirstFree })
    }

    /// Takes the lowest cid below the bound that `free` has a bit for.
    fn take_first(&self, free: impl Fn(usize) -> u64) -> Option<u32> {
        let bound = self.bound();
        for word in 0..bound.div_ceil(64) as usize {
            let mut bits = free(word);
            while bits != 0 {
                let cid = word as u32 * 64 + bits.trailing_zeros();
                if cid >= bound {
                    return None;
                }
                if self.used.try_set(cid) {
                    return Some(cid);
                }
                bits &= bits - 1;
            }
        }
        None
    }
}

impl Default for CidSet {
    fn default() -> Self {
        Self::new()
    }
}

/// A bit for each cid.
#[derive(Debug)]
struct Bits([AtomicU64; CIDS_PER_NODE / 64]);

impl Bits {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; CIDS_PER_NODE / 64])
    }
    fn at(&self, cid: u32) -> (&AtomicU64, u64) {
        (&self.0[cid as usize / 64], 1 << (cid % 64))
    }
    fn word(&self, word: usize) -> u64 {
        self.0[word].load(Acquire)
    }
    fn has(&self, cid: u32) -> bool {
        let (word, bit) = self.at(cid);
        word.load(Acquire) & bit != 0
    }
    fn set(&self, cid: u32) {
        let (word, bit) = self.at(cid);
        word.fetch_or(bit, AcqRel);
    }
    /// Sets the bit; false when it was set before.
    fn try_set(&self, cid: u32) -> bool {
        let (word, bit) = self.at(cid);
        word.fetch_or(bit, AcqRel) & bit == 0
    }
    fn clear(&self, cid: u32) {
        let (word, bit) = self.at(cid);
        word.fetch_and(!bit, Release);
    }
    fn count(&self) -> u32 {
        self.0.iter().map(|word| word.load(Relaxed).count_ones()).sum()
    }
}

#[cfg(test)]
mod tests;

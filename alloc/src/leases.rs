//! Leases on emulated cids: how a thread comes to one, keeps it, and loses it.
//!
//! ```text
//!              no cid, or robbed             free, or at an end
//!  operation ─ miss ─► place ─► acquire ─┬─► claim ─────────────► HELD(me) ─► bind ─► hits
//!     ▲                 │                └─► take an idle one over ──┘
//!     └── hit           └─ none to be had: the orphan arena, this time
//! ```
//!
//! A thread claims a cid at its first slow operation ([`CidSet::claim`]) and keeps it between
//! operations, until its end. When there are more threads than cids, one that needs a cid takes
//! an idle one over: it stops it ([`crate::slots`]), and if the holder is not inside an operation
//! the cid is its own. Who was robbed finds out at its next operation, which misses. Holders
//! whose turn has not changed since somebody last looked go first.
//!
//! Nobody waits. While a thread has no cid, since all holders are preempted inside of operations,
//! or somebody drains its shard, its operations go to the orphan arena.
//!
//! [`CidSet::claim`]: crate::cid_set::CidSet::claim

mod dead;
#[cfg(cidalloc_model)]
mod model;
mod parking;

#[cfg(cidalloc_model)]
pub use model::end_of_thread;
pub use parking::{Parking, discard, park, resume};

use crate::cid_set::{How, Policy};
use crate::os;
use crate::records::{self, ENDED, NO_CID, Record};
use crate::slots::{self, CIDS, Slot, Stopped};
use core::ffi::c_void;
use rseq_sys::cs::CIDS_PER_NODE;
use rseq_sys::lease::{Inside, Lease};
use rseq_sys::sync::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed},
};

/// What became of leases since the start.
#[derive(Debug)]
pub struct Counters {
    /// Claims of a process with one thread.
    pub single_threaded: AtomicU64,
    /// Claims of the cid that the thread had last.
    pub recent: AtomicU64,
    /// Claims of a free cid at home on the thread's node.
    pub node_local: AtomicU64,
    /// Claims of a cid that was in no use before.
    pub expansions: AtomicU64,
    /// Claims of the first free cid.
    pub first_free: AtomicU64,
    /// Idle cids taken over from the threads that held them.
    pub evictions: AtomicU64,
    /// Cids given back, by threads that ended or schedulers.
    pub removals: AtomicU64,
    /// Leases handed from one thread to another.
    pub transfers: AtomicU64,
    /// Operations of threads that found no cid to have.
    pub without: AtomicU64,
}

/// Since the start.
pub static COUNTERS: Counters = Counters {
    single_threaded: AtomicU64::new(0),
    recent: AtomicU64::new(0),
    node_local: AtomicU64::new(0),
    expansions: AtomicU64::new(0),
    first_free: AtomicU64::new(0),
    evictions: AtomicU64::new(0),
    removals: AtomicU64::new(0),
    transfers: AtomicU64::new(0),
    without: AtomicU64::new(0),
};

/// The holder's turn when somebody last looked for an idle cid.
static SEEN: [AtomicU32; CIDS_PER_NODE] = [const { AtomicU32::new(0) }; CIDS_PER_NODE];
/// Where the next search for an idle cid begins.
static HAND: AtomicU32 = AtomicU32::new(0);
static COMPACT: AtomicBool = AtomicBool::new(false);
static SEVERAL_NODES: AtomicBool = AtomicBool::new(false);
/// Shards that a node may have: no cid is given out from there on.
static SHARDS: AtomicU32 = AtomicU32::new(0);
/// The thread-specific key and one; 0 until it is made.
static KEY: AtomicU32 = AtomicU32::new(0);

/// Prepares for leases on `cids` cids at most: `compact` asks for [`Policy::Compact`]. False when
/// the system has no thread-specific key left, by which the end of a thread is known.
///
/// Before any other function of this module, and again if the heap could not be started then.
#[must_use]
#[allow(unsafe_code)]
pub fn start(compact: bool, nodes: usize, cids: usize) -> bool {
    COMPACT.store(compact, Relaxed);
    SEVERAL_NODES.store(nodes > 1, Relaxed);
    SHARDS.store(cids as u32, Relaxed);
    slots::start();
    if KEY.load(Relaxed) != 0 {
        return true;
    }
    let mut key = 0;
    // SAFETY: the destructor is a function of this library, which is never unloaded.
    let made = unsafe { libc::pthread_key_create(&raw mut key, Some(on_thread_end)) } == 0;
    KEY.store(if made { key + 1 } else { 0 }, Relaxed);
    made
}

/// Has libc tell the end of the calling thread, whose record this is; false when it has no memory
/// for that. May allocate.
#[allow(unsafe_code)]
fn announce_end(record: *const c_void) -> bool {
    // SAFETY: our own key; the value is only handed back to us.
    unsafe { libc::pthread_setspecific(KEY.load(Relaxed) - 1, record) == 0 }
}

/// Which cid a thread gets, in words.
#[must_use]
pub fn policy_word() -> &'static str {
    if COMPACT.load(Relaxed) { "compact" } else { "cache-local" }
}

/// A thread's place: its shard is this one.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Node on which it was last seen; 0 where there is only one.
    pub node: usize,
    /// The cid that it holds.
    pub cid: u32,
}

/// Where the calling thread is, with a cid of its own: claimed or taken over if need be. `None`
/// while none can be had, in a handler above an operation, and at the end of a thread.
pub fn place() -> Option<Place> {
    let me = match mine() {
        Some(me) => me,
        None => register()?,
    };
    if me.lease.is_inside() {
        return None;
    }
    if !slots::is_asymmetric() {
        me.lease.make_barriers();
    }
    let node = if SEVERAL_NODES.load(Relaxed) { os::current_node() } else { 0 };
    let cid = me.cid.load(Relaxed);
    if me.holds(cid) && cid < CIDS.bound() {
        return Some(Place { node, cid });
    }
    let cid = if me.is_stopped(cid) { None } else { me.acquire(node) };
    if cid.is_none() {
        COUNTERS.without.fetch_add(1, Relaxed);
    }
    cid.map(|cid| Place { node, cid })
}

/// Leads the calling thread's operations to the shard `index` of its cid, whose base stands in
/// `entry`: not if the thread lost the cid meanwhile.
pub fn bind(cid: u32, index: u32, entry: &AtomicPtr<u64>) {
    let Some(me) = mine() else { return };
    if me.lease.shard_index() == Some(index) {
        return;
    }
    if let Some(inside) = me.lease.enter()
        && me.holds(cid)
    {
        // Who stops the cid stops the slot first, and looks whether we are inside afterwards.
        inside.bind(index, entry.load(Acquire));
    }
}

/// The calling thread's record, if it has one.
#[inline]
#[allow(unsafe_code)]
fn mine() -> Option<&'static Record> {
    // SAFETY: only records' leases are made known as a thread's, and those begin them.
    Lease::current().map(|lease| unsafe { &*core::ptr::from_ref(lease).cast::<Record>() })
}

#[cold]
fn register() -> Option<&'static Record> {
    // Records are taken apart from the handlers of this thread, which may fork.
    let _signals = os::SignalsBlocked::new();
    if let Some(me) = mine() {
        return Some(me);
    }
    dead::bury_if_none_is_free();
    let me = records::take()?;
    me.lease.reset(slots::is_asymmetric());
    allow_more();
    CIDS.add_user();
    Lease::set_current(Some(&me.lease));
    // Known already: libc may allocate here.
    if !announce_end(core::ptr::from_ref(me).cast()) {
        // Its end would not be known. It may have more luck the next time.
        me.leave(None);
        return None;
    }
    Some(me)
}

/// Notes which CPUs the calling thread is allowed.
fn allow_more() {
    static MASK: [AtomicU64; 128] = [const { AtomicU64::new(0) }; 128];
    let mut mask = [0u64; 128];
    let most = SHARDS.load(Relaxed) as usize;
    if !os::allowed_cpus(&mut mask) {
        // Unknown: as many as there are shards for.
        return CIDS.allow(most);
    }
    let all = MASK.iter().zip(mask).map(|(word, more)| {
        // Most threads add nothing, and write nothing.
        let before = word.load(Relaxed);
        let after = if more & !before == 0 { before } else { word.fetch_or(more, Relaxed) | more };
        after.count_ones() as usize
    });
    CIDS.allow(all.sum::<usize>().min(most));
}

/// The round of destructors, of four in all libcs (`PTHREAD_DESTRUCTOR_ITERATIONS`), that is our
/// last one: what others free in the round before still finds the thread's shard. No later one,
/// since a thread whose first operation is in a destructor has fewer rounds to be told of; of one
/// that has none left, [`dead`] finds out.
const FAREWELLS: u32 = 2;

/// The end of a thread, in each of the rounds of its destructors.
#[allow(unsafe_code)]
extern "C" fn on_thread_end(record: *mut c_void) {
    // SAFETY: the value set by `register`.
    let me = unsafe { &*record.cast::<Record>().cast_const() };
    if me.farewells.fetch_add(1, Relaxed) + 1 < FAREWELLS && announce_end(record) {
        return;
    }
    let _signals = os::SignalsBlocked::new();
    if me.lease.is_inside() {
        // It ends in a handler above an operation, which nobody will finish: it has not happened.
        me.lease.abandon();
    }
    // Whatever libc frees after this goes to the orphan arena.
    me.leave(Some(&ENDED.lease));
}

impl Record {
    /// Gives the cid and the record back; from now on the thread has lease `next`.
    fn leave(&self, next: Option<&'static Lease>) {
        if let Some(inside) = self.lease.enter() {
            self.release(&inside);
        }
        Lease::set_current(next);
        CIDS.remove_user();
        records::give_back(self);
    }

    fn holds(&self, cid: u32) -> bool {
        cid != NO_CID && Slot::read(cid) == Slot::Held(self.number())
    }

    /// Whether somebody is at work on the shards of the thread's cid, for a moment.
    fn is_stopped(&self, cid: u32) -> bool {
        let me = self.number();
        cid != NO_CID && matches!(Slot::read(cid), Slot::Stopped { holder, .. } if holder == me)
    }

    fn acquire(&self, node: usize) -> Option<u32> {
        // From here on handlers of this thread do without, so that it never holds two.
        let inside = self.lease.enter()?;
        let cid = self.cid.load(Relaxed);
        if self.holds(cid) && cid < CIDS.bound() {
            // One of them was here before.
            return Some(cid);
        }
        self.release(&inside);
        let node = SEVERAL_NODES.load(Relaxed).then_some(node);
        let policy = if COMPACT.load(Relaxed) { Policy::Compact } else { Policy::CacheLocal };
        let recent = (cid != NO_CID).then_some(cid);
        let Some(claim) = CIDS.claim(policy, recent, node) else {
            let taken = self.take_over(node).or_else(|| {
                // Who was preempted inside of an operation must run to leave it: with many threads
                // that would take a round of everybody's time slices. Once, so that a thread that
                // yields to nobody below it goes on as well.
                os::yield_now();
                self.take_over(node)
            });
            // Affinities may have been widened since threads began: looked at now and then.
            if taken.is_none() && COUNTERS.without.load(Relaxed).is_multiple_of(ASK_EVERY) {
                allow_more();
            }
            return taken;
        };
        Slot::Held(self.number()).occupy(claim.cid);
        self.cid.store(claim.cid, Relaxed);
        let counter = match claim.how {
            How::SingleThreaded => &COUNTERS.single_threaded,
            How::Recent => &COUNTERS.recent,
            How::NodeLocal => &COUNTERS.node_local,
            How::Expansion => &COUNTERS.expansions,
            How::FirstFree => &COUNTERS.first_free,
        };
        counter.fetch_add(1, Relaxed);
        Some(claim.cid)
    }

    /// Takes a cid over whose holder is idle: it did nothing since somebody's last look, on this
    /// node, or since our own a moment ago. From holders that are at work nothing is taken: they
    /// would come for another one at once, and so would its holder.
    fn take_over(&self, node: Option<usize>) -> Option<u32> {
        let bound = CIDS.bound().max(1);
        for round in 0..2 {
            for _ in 0..bound.min(SEARCH) {
                let cid = HAND.fetch_add(1, Relaxed) % bound;
                let turn = match Slot::read(cid) {
                    Slot::Held(holder) => records::at(holder).lease.turn(),
                    // Counted in twos, as turns outside of operations are.
                    Slot::Parked(parking) => parking as u32 * 2,
                    Slot::Free | Slot::Stopped { .. } => continue,
                };
                let seen = SEEN[cid as usize].swap(turn, Relaxed);
                let at_home = node.is_none_or(|node| CIDS.is_bound_to(cid, node));
                let is_idle = seen == turn && turn & 1 == 0;
                if is_idle && (at_home || round > 0) && self.seize(cid) {
                    return Some(cid);
                }
            }
        }
        None
    }

    /// Makes the cid of somebody else this thread's, if that one is idle.
    fn seize(&self, cid: u32) -> bool {
        let me = self.number();
        match Slot::read(cid) {
            slot @ Slot::Parked(_) => {
                if !Slot::replace(cid, slot, Slot::Held(me)) {
                    return false;
                }
                CIDS.remove_user();
            }
            _ => match slots::stop(me, cid) {
                Some(stopped) => stopped.keep(),
                None => return false,
            },
        }
        self.cid.store(cid, Relaxed);
        COUNTERS.evictions.fetch_add(1, Relaxed);
        true
    }

    /// Gives the cid back, if the thread holds one: inside, since a handler would lead the lease
    /// back to the shard.
    fn release(&self, _inside: &Inside<'_>) {
        let cid = self.cid.load(Relaxed);
        if cid == NO_CID {
            return;
        }
        self.lease.stop();
        let me = self.number();
        loop {
            match Slot::read(cid) {
                Slot::Held(holder) if holder == me => {
                    if Slot::replace(cid, Slot::Held(me), Slot::Free) {
                        CIDS.release(cid);
                        COUNTERS.removals.fetch_add(1, Relaxed);
                        return;
                    }
                }
                Slot::Stopped { holder, by } if holder == me => {
                    let (with, without) =
                        (Slot::Stopped { holder, by }, Slot::Stopped { holder: 0, by });
                    if Slot::replace(cid, with, without) {
                        COUNTERS.removals.fetch_add(1, Relaxed);
                        return;
                    }
                }
                _ => return,
            }
        }
    }
}

/// Searches in vain from one look at the CPUs allowed to the next.
const ASK_EVERY: u64 = 64;

/// Cids that one search for an idle one looks at, at most, in each round.
const SEARCH: u32 = 64;

/// Stops `cid` for the calling thread, which is not at its end; see [`slots::stop`].
pub fn stop(cid: u32) -> Option<Stopped> {
    let me = match mine() {
        Some(me) => me,
        None => register()?,
    };
    (me.number() != 0).then(|| slots::stop(me.number(), cid)).flatten()
}

/// In a child of `fork`: all threads but the calling one are not here, and hold nothing.
pub fn forget_others() {
    // A handler would claim a cid that is found free a moment later, or take a record that is.
    let _signals = os::SignalsBlocked::new();
    // A thread at its end has no number, and is inside of nothing.
    let mine = mine().filter(|me| me.number() != 0);
    let me = mine.map_or(0, Record::number);
    slots::forget_others(me, mine.is_some_and(|me| me.lease.is_inside()));
    records::forget_all_but(me);
}

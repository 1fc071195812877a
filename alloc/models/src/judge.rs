//! What must hold when all tasks of an execution have ended.

use crate::hands;
use crate::run::{Fact, Shared};
use crate::world::{self, Fences, Setting};
use cidalloc::heap::{self, Heap, Source};
use cidalloc::ids::{PageId, ShardId};
use cidalloc::slots::{CIDS, Slot};
use cidalloc::{leases, maintenance, records, supply, validate};
use core::cell::RefCell;
use core::sync::atomic::Ordering::Relaxed;

type Last = Box<dyn FnOnce(&Shared)>;

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// Has `judge` look when all tasks of this execution have ended.
pub(crate) fn at_end(judge: Last) {
    LAST.set(Some(judge));
}

/// What the scenario itself has to look at.
pub(crate) fn last(counts: &Shared) {
    if let Some(judge) = LAST.take() {
        judge(counts);
    }
}

fn heap() -> &'static Heap {
    heap::started().expect("the heap was started")
}

/// The spans and whose they are.
pub(crate) fn owners() -> Vec<(PageId, ShardId)> {
    let mut owners = Vec::new();
    supply::for_each_span(heap(), |page, span| owners.push((page, span.owner())));
    owners
}

/// Counts the spans that have another owner than in `before`.
pub(crate) fn adoptions(before: &[(PageId, ShardId)], counts: &Shared) {
    let now = owners();
    let adopted = before
        .iter()
        .filter(|(page, owner)| now.iter().any(|(other, now)| page == other && owner != now));
    counts.add(Fact::Adoptions, adopted.count() as u64);
}

/// Counts what the allocator counted.
pub(crate) fn counters(counts: &Shared) {
    let leases = &leases::COUNTERS;
    counts.add(Fact::Drains, maintenance::drains());
    counts.add(Fact::Evictions, leases.evictions.load(Relaxed));
    counts.add(Fact::Transfers, leases.transfers.load(Relaxed));
    counts.add(Fact::Without, leases.without.load(Relaxed));
    let unburied = records::all().filter(|record| {
        let owner = record.owner();
        !owner.is_nobody() && rseq_sys::model::world().is_gone(owner.thread())
    });
    counts.add(Fact::Buried, world::vanished() - unburied.count() as u64);
    let heap = heap();
    for index in 0..heap.page_heaps() {
        counts.add(Fact::PurgedBytes, heap.page_heap(index).0.counters.purged_bytes.load(Relaxed));
    }
    for shard in cidalloc::shard::all_ready(heap) {
        let homeward = &shard.arena.homeward;
        counts.add(Fact::Homeward, homeward.sent.load(Relaxed) + homeward.straight.load(Relaxed));
    }
}

/// Each object is in one place, and none is lost.
pub(crate) fn all_is_there(held: &[usize]) {
    let census =
        validate::validate(heap(), held.iter().copied()).unwrap_or_else(|why| panic!("{why}"));
    assert!(census.elsewhere() == 0, "{} objects lost: {census:?}", census.elsewhere());
    assert!(census.large_elsewhere() == 0, "large objects lost: {census:?}");
    cids_are_in_order();
}

/// Looks between any two steps of the tasks: what is somebody's is nobody else's to claim
/// (BIT-COVERS-SLOT).
pub(crate) fn bits_cover_slots() {
    for cid in 0..CIDS.allowed() {
        let slot = Slot::read(cid);
        assert!(
            slot == Slot::Free || CIDS.is_used(cid),
            "the bit of cid {cid} is clear while its slot is {slot:?}"
        );
    }
}

/// A cid's slot and its bit say the same, and each cid has one holder.
fn cids_are_in_order() {
    if heap().source != Source::Emulated {
        return;
    }
    let mut holders = Vec::new();
    for cid in 0..CIDS.allowed() {
        match Slot::read(cid) {
            Slot::Free | Slot::Parked(_) => {}
            Slot::Held(holder) => holders.push(holder),
            slot @ Slot::Stopped { .. } => panic!("cid {cid} was left {slot:?}"),
        }
    }
    let living = |holder: &u32| world::leases().contains(&&raw const records::at(*holder).lease);
    let dead = holders.iter().find(|&holder| !living(holder));
    assert!(
        dead.is_none() || world::vanished() > 0,
        "a cid is held by record {dead:?} of a thread that has ended"
    );
    let slots = (0..CIDS.allowed()).filter(|&cid| Slot::read(cid) != Slot::Free).count();
    assert!(slots == CIDS.used() as usize, "{slots} slots in use, and {} bits", CIDS.used());
    let parked = (0..CIDS.allowed()).filter(|&cid| matches!(Slot::read(cid), Slot::Parked(_)));
    let records = records::all().filter(|record| !record.owner().is_nobody());
    let users = (records.count() + parked.count()) as u32;
    assert!(users == CIDS.users(), "{users} users, and {} are counted", CIDS.users());
    let count = holders.len();
    holders.sort_unstable();
    holders.dedup();
    assert!(holders.len() == count, "a thread holds two cids");
}

/// When all blocks are freed and the heap is trimmed, no span is left: none is out of reach.
pub(crate) fn all_comes_back(setting: Setting) {
    hands::held().into_iter().for_each(hands::free);
    maintenance::trim(heap());
    all_is_there(&[]);
    // Without a fence other shards keep what they cache.
    if setting.fences == Fences::Kernel {
        let spans = owners();
        assert!(spans.is_empty(), "spans that nobody releases: {spans:?}");
    }
    world::take_turns(false);
}

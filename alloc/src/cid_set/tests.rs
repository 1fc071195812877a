//! The order of the steps, the bound at every moment, and what several nodes change.
extern crate std;

use super::*;
use core::sync::atomic::AtomicBool;
use std::boxed::Box;
use std::thread;
use std::vec::Vec;

fn set(allowed: usize, users: u32) -> Box<CidSet> {
    let set = Box::new(CidSet::new());
    set.allow(allowed);
    (0..users).for_each(|_| set.add_user());
    set
}

fn claim(set: &CidSet, policy: Policy, recent: Option<u32>) -> Option<(u32, How)> {
    set.claim(policy, recent, None).map(|claim| (claim.cid, claim.how))
}

#[test]
fn a_single_user_has_cid_0_and_no_other() {
    let set = set(8, 1);
    assert_eq!(claim(&set, Policy::CacheLocal, None), Some((0, How::SingleThreaded)));
    set.release(0);
    assert_eq!(claim(&set, Policy::CacheLocal, Some(0)), Some((0, How::SingleThreaded)));
    assert_eq!(set.max_nr_cid(), 1);
}

#[test]
fn cache_local_prefers_the_recent_cid_then_new_ones_then_the_first_free() {
    let set = set(3, 4);
    let policy = Policy::CacheLocal;
    assert_eq!(claim(&set, policy, None), Some((0, How::Expansion)));
    set.release(0);
    assert_eq!(claim(&set, policy, None), Some((1, How::Expansion)), "0 is in somebody's cache");
    set.release(1);
    assert_eq!(claim(&set, policy, Some(0)), Some((0, How::Recent)));
    assert_eq!(claim(&set, policy, Some(0)), Some((2, How::Expansion)), "0 is taken");
    assert_eq!(claim(&set, policy, Some(0)), Some((1, How::FirstFree)));
    assert_eq!(claim(&set, policy, Some(0)), None, "four users, three CPUs");
}

#[test]
fn compact_takes_the_lowest_whatever_was_recent() {
    let set = set(8, 8);
    let policy = Policy::Compact;
    for cid in 0..4 {
        assert_eq!(claim(&set, policy, Some(7)), Some((cid, How::FirstFree)));
    }
    set.release(1);
    set.release(3);
    assert_eq!(claim(&set, policy, Some(3)), Some((1, How::FirstFree)));
}

#[test]
fn users_that_leave_bring_the_highest_cid_down() {
    let set = set(8, 4);
    let held: Vec<_> = (0..4).map(|_| set.claim(Policy::CacheLocal, None, None).unwrap()).collect();
    assert_eq!(set.max_nr_cid(), 4);
    for claim in &held[1..] {
        set.release(claim.cid);
        set.remove_user();
    }
    set.release(0);
    set.add_user();
    assert_eq!(claim(&set, Policy::CacheLocal, Some(3)), Some((0, How::FirstFree)));
    assert_eq!(set.max_nr_cid(), 2, "the recent cid 3 is not below the bound of 2 any more");
}

#[test]
fn nodes_keep_the_cids_that_were_bound_to_them() {
    let set = set(4, 5);
    let claim = |recent, node| {
        set.claim(Policy::CacheLocal, recent, Some(node)).map(|claim| (claim.cid, claim.how))
    };
    assert_eq!(claim(None, 0), Some((0, How::Expansion)));
    assert_eq!(claim(None, 1), Some((1, How::Expansion)));
    assert_eq!(claim(None, 1), Some((2, How::Expansion)));
    set.release(0);
    set.release(2);
    assert_eq!(claim(Some(0), 1), Some((2, How::NodeLocal)), "0 is at home on the other node");
    assert_eq!(claim(Some(2), 0), Some((0, How::NodeLocal)));
    assert_eq!(claim(None, 0), Some((3, How::Expansion)));
    set.release(1);
    assert_eq!(claim(None, 0), Some((1, How::FirstFree)), "all are bound: one of another node");
    assert!(set.is_bound_to(1, 1) && !set.is_bound_to(1, 0), "which it stays bound to");
}

#[test]
fn a_cid_has_one_holder_and_the_bound_holds_at_every_moment() {
    const THREADS: u32 = 6;
    let set = set(4, THREADS);
    let held: Vec<AtomicBool> = (0..THREADS).map(|_| AtomicBool::new(false)).collect();
    let in_use = AtomicU32::new(0);
    for policy in [Policy::Compact, Policy::CacheLocal] {
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let mut recent = None;
                    for _ in 0..20_000 {
                        let Some(Claim { cid, .. }) = set.claim(policy, recent, None) else {
                            thread::yield_now();
                            continue;
                        };
                        let now = in_use.fetch_add(1, AcqRel) + 1;
                        assert!(now <= set.bound() && cid < set.allowed(), "{now} with {cid}");
                        assert!(!held[cid as usize].swap(true, AcqRel), "two holders of {cid}");
                        in_use.fetch_sub(1, AcqRel);
                        held[cid as usize].store(false, Release);
                        set.release(cid);
                        recent = Some(cid);
                    }
                });
            }
        });
        assert_eq!((set.used(), set.bound()), (0, 4));
    }
}

#[test]
fn words_beyond_the_first_are_searched() {
    let set = set(200, 200);
    let cids: Vec<_> =
        (0..200).map(|_| set.claim(Policy::Compact, None, None).unwrap().cid).collect();
    assert_eq!(cids, (0..200).collect::<Vec<_>>());
    assert_eq!(claim(&set, Policy::Compact, None), None);
    set.release(130);
    assert_eq!(claim(&set, Policy::Compact, None), Some((130, How::FirstFree)));
}

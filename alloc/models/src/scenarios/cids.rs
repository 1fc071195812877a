//! The set of cids, and the stack of records: by their own functions, without a heap above.

use super::tasks;
use crate::run::{Scenario, Task};
use crate::world::{self, Setting};
use cidalloc::cid_set::{CidSet, Policy};
use cidalloc::records::{self, Record};
use core::cell::RefCell;
use std::collections::VecDeque;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a_record_is_given_to_one_thread_at_a_time",
        fault: "records are taken and given back while others stand still before they take one",
        setting: Setting::EMULATED,
        executions: 800,
        tasks: reuse_records,
        reaches: &[],
    },
    Scenario {
        name: "a_claim_is_below_the_bound_that_holds_then",
        fault: "the bound of cids falls while one is claimed",
        setting: Setting::EMULATED,
        executions: 800,
        tasks: claim_below_bound,
        reaches: &[],
    },
    Scenario {
        name: "a_cid_is_claimed_once",
        fault: "cids are claimed, released and bound to nodes by several threads",
        setting: Setting::EMULATED,
        executions: 300,
        tasks: claim_once,
        reaches: &[],
    },
];

thread_local! {
    /// Numbers that tasks have.
    static TAKEN: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

fn note(number: u32) {
    TAKEN.with_borrow_mut(|taken| {
        assert!(!taken.contains(&number), "number {number} is given out twice");
        taken.push(number);
    });
}

fn forget(number: u32) {
    TAKEN.with_borrow_mut(|taken| taken.retain(|&other| other != number));
}

fn give_back(record: &Record) {
    forget(record.number());
    records::give_back(record);
}

fn reuse_records() -> Vec<Task> {
    let first: Vec<_> = (0..8).map(|_| records::take().expect("there is memory")).collect();
    first.into_iter().for_each(records::give_back);
    fn take() -> &'static Record {
        let record = records::take().expect("there is memory");
        note(record.number());
        record
    }
    // What was taken first comes back first: to the top of a stack whose next ones are gone.
    fn take_and_give() {
        let mut mine: VecDeque<_> = (0..2).map(|_| take()).collect();
        for _ in 0..6 {
            mine.pop_front().into_iter().for_each(give_back);
            mine.push_back(take());
            if world::random(4) == 0 {
                mine.push_back(take());
            }
        }
        mine.into_iter().for_each(give_back);
    }
    tasks([take_and_give, take_and_give, take_and_give])
}

static SET: CidSet = CidSet::new();

/// A set in which `users` may have cids.
fn begin(users: u32) {
    SET.allow(4);
    (0..users).for_each(|_| SET.add_user());
}

/// What the monitor saw since the bit of the one who claims was set: the highest bound.
static HIGHEST: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);

fn look() {
    use core::sync::atomic::Ordering::Relaxed;
    let bound = if SET.used() == 0 { 0 } else { HIGHEST.load(Relaxed).max(SET.bound()) };
    HIGHEST.store(bound, Relaxed);
}

fn claim_below_bound() -> Vec<Task> {
    begin(4);
    // So that the claims of two executions in three begin with the last one's cid.
    for _ in 0..3 {
        let all: Vec<_> = (0..4).map_while(|_| SET.claim(Policy::CacheLocal, None, None)).collect();
        all.iter().for_each(|claim| SET.release(claim.cid));
    }
    world::monitor(Some(Box::new(look)));
    tasks([
        || {
            for _ in 0..3 {
                let policy = [Policy::CacheLocal, Policy::Compact][world::random(2)];
                let recent = [None, Some(3), Some(2)][world::random(3)];
                let Some(claim) = SET.claim(policy, recent, None) else { continue };
                world::at_once(look);
                let highest = HIGHEST.load(core::sync::atomic::Ordering::Relaxed);
                assert!(
                    claim.cid < highest,
                    "cid {} was claimed when the bound had fallen to {highest}",
                    claim.cid
                );
                SET.release(claim.cid);
            }
        },
        || (0..3).for_each(|_| SET.remove_user()),
    ])
}

fn claim_once() -> Vec<Task> {
    begin(3);
    fn claim_and_release() {
        let mut recent = None;
        for _ in 0..4 {
            let policy = [Policy::CacheLocal, Policy::Compact][world::random(2)];
            let node = [None, Some(0), Some(1)][world::random(3)];
            // There are no more users than cids.
            let claim = SET.claim(policy, recent, node).expect("a cid for each user");
            note(claim.cid);
            assert!(claim.cid < 3, "cid {} for three users", claim.cid);
            recent = Some(claim.cid);
            forget(claim.cid);
            SET.release(claim.cid);
        }
    }
    tasks([claim_and_release, claim_and_release, claim_and_release])
}

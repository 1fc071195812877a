//! Leases on emulated cids: entry, take-over, end, drain, parking, and who makes the barriers.
//!
//! One cid or two for three tasks: somebody always has to take one over, or do without.

use super::tasks;
use crate::hands::Hand;
use crate::run::{Fact, Scenario, Task};
use crate::world::{self, Fences, Setting};
use cidalloc::{handover, heap, leases, maintenance};

const BIG: usize = 32 << 10;
const MID: usize = 16 << 10;

/// One cid for all.
const ONE: Setting = Setting { cpus: 2, allowed: 1, moves: 0, ..Setting::EMULATED };
/// Two, of which task 0 holds one that is idle.
const TWO: Setting = Setting { cpus: 3, allowed: 2, moves: 0, ..Setting::EMULATED };

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "take_over_meets_a_holder_who_enters",
        fault: "a lease is taken over while its holder enters an operation (barriers by the kernel)",
        setting: ONE,
        executions: 1200,
        tasks: contend,
        reaches: &[Fact::Evictions, Fact::Without],
    },
    Scenario {
        name: "take_over_works_with_barriers_of_the_holders",
        fault: "a lease is taken over while its holder enters an operation (barriers by the holders)",
        setting: Setting { fences: Fences::Nobody, ..ONE },
        executions: 600,
        tasks: contend,
        reaches: &[Fact::Evictions],
    },
    Scenario {
        name: "take_over_survives_a_barrier_that_is_refused",
        fault: "the kernel refuses barriers from some moment on",
        setting: Setting { fences: Fences::Refused, ..TWO },
        executions: 300,
        tasks: contend,
        reaches: &[Fact::Evictions],
    },
    Scenario {
        name: "the_end_of_a_thread_meets_a_take_over",
        fault: "threads end and begin while others take cids over",
        setting: TWO,
        executions: 400,
        tasks: end,
        reaches: &[Fact::Evictions],
    },
    Scenario {
        name: "threads_that_vanish_are_buried_once",
        fault: "threads end without a word, and several others find that out at once",
        setting: TWO,
        executions: 400,
        tasks: vanish,
        reaches: &[Fact::Evictions, Fact::Buried],
    },
    Scenario {
        name: "a_leased_shard_is_drained_while_its_holder_comes_back",
        fault: "a shard is drained while its holder enters an operation",
        setting: Setting { allowed: 3, ..TWO },
        executions: 200,
        tasks: drain,
        reaches: &[Fact::Drains],
    },
    Scenario {
        name: "leased_spans_are_adopted_from_a_holder_who_comes_back",
        fault: "spans are adopted from a lease's shard while its holder enters an operation",
        setting: Setting { allowed: 3, jumps: 64, ..TWO },
        executions: 300,
        tasks: adopt,
        reaches: &[Fact::Adoptions],
    },
    Scenario {
        name: "a_parked_lease_is_resumed_or_taken_over_never_both",
        fault: "leases are parked, resumed, discarded and taken over",
        setting: TWO,
        executions: 300,
        tasks: park,
        reaches: &[Fact::Evictions, Fact::Transfers],
    },
    Scenario {
        name: "leases_on_two_nodes_keep_objects_apart",
        fault: "threads with leases are moved between nodes",
        setting: Setting { nodes: 2, moves: 24, ..TWO },
        executions: 200,
        tasks: contend,
        reaches: &[Fact::Evictions],
    },
];

fn steps() {
    let mut hand = Hand::default();
    (0..8).for_each(|_| hand.anything(&[BIG, MID]));
    hand.free_all();
}

fn contend() -> Vec<Task> {
    let mut hand = Hand::default();
    (0..4).for_each(|_| hand.alloc(BIG));
    (0..4).for_each(|_| hand.give_any());
    tasks([steps, steps, steps])
}

fn short_lives() {
    for _ in 0..2 {
        let mut hand = Hand::default();
        (0..4).for_each(|_| hand.anything(&[BIG]));
        hand.free_all();
        leases::end_of_thread();
        world::reborn();
    }
}

fn end() -> Vec<Task> {
    tasks([short_lives, short_lives, || {
        // Stops cids, and starts them again.
        steps();
        maintenance::trim(heap::started().expect("started by task 0"));
        steps();
    }])
}

fn vanish() -> Vec<Task> {
    fn lives() {
        for _ in 0..4 {
            let mut hand = Hand::default();
            (0..3).for_each(|_| hand.anything(&[BIG]));
            hand.free_all();
            world::vanish();
        }
    }
    tasks([lives, lives, steps])
}

/// Leaves free objects in queued spans of task 1's shard, which is task 0's until it ends.
fn drain() -> Vec<Task> {
    tasks([steps, || {
        steps();
        maintenance::trim(heap::started().expect("started by task 0"));
    }])
}

fn adopt() -> Vec<Task> {
    let mut hand = Hand::default();
    (0..6).for_each(|_| hand.alloc(BIG));
    (0..3).for_each(|_| hand.give_any());
    hand.free_all();
    world::pass(5000);
    fn owner() {
        let mut hand = Hand::default();
        for _ in 0..4 {
            hand.alloc(BIG);
            hand.alloc(MID);
            hand.free_any();
            hand.free_given();
        }
        hand.free_all();
    }
    tasks([owner, owner])
}

fn park() -> Vec<Task> {
    use std::sync::Mutex;
    /// Of whoever comes next: handed on at once, with no point in between.
    static PARKED: Mutex<Vec<handover::Parked>> = Mutex::new(Vec::new());
    fn pass_on() {
        let mut hand = Hand::default();
        for _ in 0..3 {
            hand.anything(&[BIG]);
            if let Some(parked) = handover::park() {
                PARKED.lock().expect("no task panics").push(parked);
            }
            hand.anything(&[BIG]);
            let parked = PARKED.lock().expect("no task panics").pop();
            match (parked, world::random(3)) {
                (Some(parked), 0) => drop(parked),
                (Some(parked), _) => {
                    let _ = parked.resume();
                }
                (None, _) => {}
            }
        }
        hand.free_all();
    }
    tasks([pass_on, pass_on, steps])
}

//! Page heaps: runs that are taken, split, merged, deferred and purged.

use super::tasks;
use crate::hands::Hand;
use crate::run::{Fact, Scenario, Task};
use crate::world::{self, Setting};
use cidalloc::{heap, purge};

const PAGE: usize = 64 << 10;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "purges_spare_what_is_allocated",
        fault: "free pages are purged while runs are allocated and freed",
        setting: Setting::KERNEL,
        executions: 500,
        tasks: purge_and_allocate,
        reaches: &[Fact::PurgedBytes],
    },
    Scenario {
        name: "pages_of_two_nodes_stay_apart",
        fault: "runs of two nodes are taken, freed and purged by threads that move",
        setting: Setting { nodes: 2, cpus: 2, allowed: 2, moves: 24, ..Setting::KERNEL },
        executions: 200,
        tasks: purge_and_allocate,
        reaches: &[Fact::PurgedBytes, Fact::Moves],
    },
];

fn runs() {
    let mut hand = Hand::default();
    for _ in 0..6 {
        hand.alloc(PAGE * (1 + world::random(3)));
        if world::random(3) > 0 {
            hand.free_any();
        }
        // A span of one page, between the runs.
        hand.alloc(PAGE / 2);
    }
    hand.free_all();
}

fn purge_and_allocate() -> Vec<Task> {
    let mut hand = Hand::default();
    (0..5).for_each(|_| hand.alloc(PAGE * 2));
    (0..3).for_each(|_| hand.free_any());
    (0..2).for_each(|_| hand.give_any());
    tasks([
        runs,
        || {
            Hand::default().free_given();
            runs();
        },
        || {
            for _ in 0..3 {
                purge::purge_all(heap::started().expect("started by task 0"));
                Hand::default().free_given();
            }
        },
    ])
}

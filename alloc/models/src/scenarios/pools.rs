//! Pools: items that cids have to themselves, thefts, searches, ranges that are given back.
//!
//! ```text
//!  1 KiB    four items to a range, one group: who finds none has to steal
//!  2 KiB    two
//!  56 B     seventy-three: two words of free bits
//! ```

use super::tasks;
use crate::pools::{self, Hand};
use crate::run::{Fact, Scenario, Task};
use crate::world::{Fences, Setting};
use cidpool::{Builder, Pool};

const STRIDE: usize = 4096;
const KIB: usize = 1 << 10;

const LEASED: Setting = Setting { moves: 0, ..Setting::EMULATED };
const REFUSED: Setting = Setting { fences: Fences::Refused, ..Setting::KERNEL };
const NODES: Setting = Setting { nodes: 2, cpus: 2, allowed: 2, moves: 32, ..Setting::KERNEL };
const NONE: Setting = Setting { source: "none", ..Setting::KERNEL };

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a_theft_meets_the_cid_whose_items_it_takes",
        fault: "a pool's items are stolen from a cid while its section is under way",
        setting: Setting::KERNEL,
        executions: 1000,
        tasks: || contend(Setting::KERNEL),
        reaches: &[Fact::Thefts, Fact::Aborts, Fact::Moves],
    },
    Scenario {
        name: "a_theft_without_a_fence_leaves_the_items",
        fault: "items are stolen while the kernel refuses the fence from some moment on",
        setting: REFUSED,
        executions: 300,
        tasks: || contend(REFUSED),
        reaches: &[Fact::Thefts],
    },
    Scenario {
        name: "leased_items_are_stolen_while_their_holder_comes_back",
        fault: "items are stolen from a lease's copy while its holder is inside of an operation",
        setting: LEASED,
        executions: 300,
        tasks: || contend(LEASED),
        reaches: &[Fact::Thefts],
    },
    Scenario {
        name: "thefts_find_the_copies_of_all_nodes",
        fault: "items are stolen from cids that are moved between nodes",
        setting: NODES,
        executions: 200,
        tasks: || contend(NODES),
        reaches: &[Fact::Thefts, Fact::Moves],
    },
    Scenario {
        name: "a_search_that_found_nothing_looks_again",
        fault: "an item is freed while a search says that there is none",
        setting: NONE,
        executions: 1500,
        tasks: || search(NONE),
        reaches: &[],
    },
    Scenario {
        name: "a_pool_grows_only_when_nothing_is_free",
        fault: "several searches come upon the same item, of which each but one has to look for another",
        setting: NONE,
        executions: 300,
        tasks: || several_for_several(NONE),
        reaches: &[],
    },
    Scenario {
        name: "a_range_goes_when_all_its_items_are_free",
        fault: "ranges are given back while their items are allocated and freed",
        setting: Setting::KERNEL,
        executions: 300,
        tasks: give_ranges_back,
        reaches: &[Fact::Retired],
    },
];

fn builder(len: usize, ranges: usize) -> Builder {
    Pool::builder(len).stride(STRIDE).ranges_max(ranges)
}

fn churn() {
    let mut hand = Hand::default();
    (0..8).for_each(|_| hand.anything());
    hand.give_all();
}

fn contend(setting: Setting) -> Vec<Task> {
    pools::begin(setting, builder(KIB, 1));
    tasks([churn, churn, churn])
}

/// All items are given away. The last that is done may be a search that finds nothing: nobody comes
/// after it who would look again.
fn search(setting: Setting) -> Vec<Task> {
    pools::begin(setting, builder(2 * KIB, 1));
    let mut hand = Hand::default();
    hand.take(2);
    (0..2).for_each(|_| hand.pass_on());
    tasks([
        || (0..2).for_each(|_| Hand::default().give_given()),
        || Hand::default().take(1),
        || {
            let mut hand = Hand::default();
            hand.take(1);
            hand.give(1);
            hand.take(1);
        },
    ])
}

/// There is an item for each, and one more.
fn several_for_several(setting: Setting) -> Vec<Task> {
    pools::begin(setting, builder(KIB, 2));
    let mut hand = Hand::default();
    hand.take(1);
    hand.give(1);
    fn take() {
        Hand::default().take(1);
        assert!(pools::capacity() == STRIDE / KIB, "another range, and there was a free item");
    }
    tasks([take, take, take])
}

fn give_ranges_back() -> Vec<Task> {
    pools::begin(Setting::KERNEL, builder(56, 2));
    // Of two words of free bits the first one is full, and the second one is not.
    let mut hand = Hand::default();
    hand.take(STRIDE / 56);
    (0..3).for_each(|_| hand.pass_on());
    hand.give_all();
    tasks([
        || {
            let mut hand = Hand::default();
            (0..3).for_each(|_| hand.give_given());
            hand.take(1);
            hand.give(1);
        },
        || {
            let mut hand = Hand::default();
            for _ in 0..3 {
                hand.take(1);
                hand.give(1);
            }
        },
        || (0..4).for_each(|_| pools::trim()),
    ])
}

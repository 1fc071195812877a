//! Spans and the shards that own them: refill, flush, queues, adoption, draining.
//!
//! ```text
//!  32 KiB   two objects to a span, two at first in a shard: each second operation is slow
//!  16 KiB   four to a span
//!   1 KiB   sixty-four: a whole word of a bitmap
//! ```

use super::tasks;
use crate::hands::{self, Hand};
use crate::run::{Fact, Scenario, Task};
use crate::world::{self, Fences, Setting};
use cidalloc::{heap, maintenance};
use std::collections::VecDeque;

const BIG: usize = 32 << 10;
const MID: usize = 16 << 10;
const KIB: usize = 1 << 10;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "refills_and_remote_frees_lose_nothing",
        fault: "remote frees set bits while the owner takes them",
        // The one who frees keeps nothing: each object goes home by itself.
        setting: Setting { without: Some(2), ..Setting::KERNEL },
        executions: 400,
        tasks: refill_and_remote,
        reaches: &[Fact::Aborts, Fact::Moves],
    },
    Scenario {
        name: "flushes_of_own_and_foreign_objects_meet",
        fault: "flushes of own spans by sections and of others by atomics meet in a word",
        setting: Setting { moves: 32, ..Setting::KERNEL },
        executions: 400,
        tasks: flush_own_and_foreign,
        reaches: &[Fact::Aborts, Fact::Moves],
    },
    Scenario {
        name: "a_span_that_empties_while_it_is_queued_is_queued_once",
        fault: "a span's last objects come back from several threads while others look for it",
        setting: Setting::KERNEL,
        executions: 400,
        tasks: emptied,
        reaches: &[Fact::Aborts],
    },
    Scenario {
        name: "threads_without_cids_queue_a_span_once",
        fault: "each object goes straight to its span, and comes straight from it",
        setting: Setting { source: "none", ..Setting::KERNEL },
        executions: 600,
        tasks: straight,
        reaches: &[],
    },
    Scenario {
        name: "a_pop_that_stood_still_does_not_bring_an_old_list_back",
        fault: "a span is taken from a queue and put back while another thread is about to take it",
        setting: Setting { source: "none", ..Setting::KERNEL },
        executions: 1200,
        tasks: pop_and_push,
        reaches: &[],
    },
    Scenario {
        name: "adoption_meets_the_owner_who_comes_back",
        fault: "spans are adopted while a section of their owner is under way",
        setting: Setting::KERNEL,
        executions: 1000,
        tasks: adopt_from_owner,
        reaches: &[Fact::Adoptions, Fact::Fences],
    },
    Scenario {
        name: "two_adopters_share_nothing",
        fault: "two threads adopt from one idle shard",
        setting: Setting { jumps: 32, moves: 0, cpus: 4, allowed: 4, ..Setting::KERNEL },
        executions: 400,
        tasks: two_adopters,
        reaches: &[Fact::Adoptions, Fact::Fences],
    },
    Scenario {
        name: "adoption_without_a_fence_puts_the_spans_back",
        fault: "the kernel has no fence, or refuses it from some moment on",
        setting: Setting { jumps: 24, fences: Fences::Refused, ..Setting::KERNEL },
        executions: 300,
        tasks: adopt_from_owner,
        reaches: &[Fact::Fences],
    },
    Scenario {
        name: "a_shard_is_drained_while_its_owner_comes_back",
        fault: "a shard is drained while a section of its owner is under way",
        setting: Setting { moves: 2, ..Setting::KERNEL },
        executions: 300,
        tasks: drain,
        reaches: &[Fact::Drains, Fact::Fences],
    },
    Scenario {
        name: "arenas_that_cids_share_lose_nothing",
        fault: "neighbouring cids share an arena whose objects are in remote bits alone",
        setting: Setting {
            arena_cids: 2,
            cpus: 4,
            allowed: 4,
            jumps: 4,
            cache_bytes_max: "2m",
            ..Setting::KERNEL
        },
        executions: 300,
        tasks: anything,
        reaches: &[Fact::Aborts, Fact::Moves],
    },
    Scenario {
        name: "a_thread_without_rseq_works_beside_others",
        fault: "a thread that is not registered allocates and frees beside others",
        setting: Setting { without: Some(2), cache_bytes_max: "2m", ..Setting::KERNEL },
        executions: 300,
        tasks: anything,
        reaches: &[Fact::Aborts],
    },
    Scenario {
        name: "cpu_numbers_index_shards_as_cids_do",
        fault: "anything, where CPU numbers index the shards",
        setting: Setting { source: "cpu", jumps: 4, ..Setting::KERNEL },
        executions: 200,
        tasks: anything,
        reaches: &[Fact::Aborts, Fact::Moves],
    },
    Scenario {
        name: "objects_of_another_node_go_home",
        fault: "frees on another node, by threads that are moved between nodes",
        setting: Setting { nodes: 2, cpus: 2, allowed: 2, moves: 24, jumps: 8, ..Setting::KERNEL },
        executions: 400,
        tasks: across_nodes,
        reaches: &[Fact::Homeward, Fact::Moves],
    },
];

/// Task 0 stands where task 1 will, and leaves `n` blocks of `size` in the mailbox.
fn give_away(n: usize, size: usize) {
    let mut hand = Hand::default();
    (0..n).for_each(|_| hand.alloc(size));
    (0..n).for_each(|_| hand.give_any());
}

fn refill_and_remote() -> Vec<Task> {
    give_away(8, BIG);
    give_away(8, MID);
    tasks([
        || {
            let mut hand = Hand::default();
            for _ in 0..6 {
                hand.alloc(MID);
                hand.alloc(BIG);
                if world::random(2) == 0 {
                    hand.give_any();
                }
            }
        },
        || (0..16).for_each(|_| Hand::default().free_given()),
    ])
}

fn flush_own_and_foreign() -> Vec<Task> {
    give_away(4, BIG);
    give_away(8, MID);
    tasks([mixed_frees, mixed_frees])
}

fn mixed_frees() {
    let mut hand = Hand::default();
    for _ in 0..4 {
        hand.alloc(MID);
        hand.free_given();
        hand.alloc(BIG);
        hand.free_given();
        hand.free_any();
    }
    hand.free_all();
}

fn emptied() -> Vec<Task> {
    give_away(8, BIG);
    // Blocks of one span go to several tasks.
    fn free_then_allocate() {
        let mut hand = Hand::default();
        (0..3).for_each(|_| hand.free_given());
        hand.alloc(BIG);
        hand.alloc(BIG);
        hand.free_all();
    }
    tasks([free_then_allocate, free_then_allocate, free_then_allocate])
}

fn straight() -> Vec<Task> {
    give_away(4, BIG);
    give_away(8, MID);
    fn to_and_from() {
        let mut hand = Hand::default();
        for _ in 0..3 {
            hand.free_given();
            hand.free_given();
            hand.alloc(MID);
        }
        hand.free_all();
    }
    tasks([to_and_from, to_and_from, to_and_from])
}

/// Spans of two objects, one of them free: each allocation takes a span off the queue, each free puts
/// one there.
fn pop_and_push() -> Vec<Task> {
    let mut hand = Hand::default();
    (0..20).for_each(|_| hand.alloc(BIG));
    for (i, block) in hands::held().into_iter().enumerate() {
        if i.is_multiple_of(2) {
            hands::free(block);
        }
    }
    fn first_comes_back_first() {
        let mut blocks: VecDeque<_> = (0..2).map(|_| hands::alloc(BIG)).collect();
        for _ in 0..3 {
            blocks.pop_front().into_iter().for_each(hands::free);
            blocks.push_back(hands::alloc(BIG));
        }
        blocks.into_iter().for_each(hands::free);
    }
    tasks([first_comes_back_first, first_comes_back_first, first_comes_back_first])
}

/// Leaves free objects in local bits of queued spans of the shard of (0, 0), and in its cache. The
/// other objects of these spans are given away.
fn leave_idle() {
    world::stand(0, 0);
    let mut hand = Hand::default();
    (0..8).for_each(|_| hand.alloc(BIG));
    (0..12).for_each(|_| hand.alloc(MID));
    for (i, block) in hands::held().into_iter().enumerate() {
        if i.is_multiple_of(2) {
            hands::give(block);
        } else {
            hands::free(block);
        }
    }
    world::pass(5000);
}

fn adopt_from_owner() -> Vec<Task> {
    leave_idle();
    tasks([
        || {
            let mut hand = Hand::default();
            for size in [MID, BIG, MID] {
                (0..3).for_each(|_| hand.free_given());
                hand.alloc(size);
            }
            hand.free_all();
        },
        || {
            for _ in 0..2 {
                // The owner was idle for long, whatever it has just done.
                world::pass(1500);
                allocate_some();
            }
        },
    ])
}

fn allocate_some() {
    let mut hand = Hand::default();
    for size in [MID, BIG, MID, BIG] {
        hand.alloc(size);
        hand.alloc(size);
    }
    hand.free_all();
}

fn two_adopters() -> Vec<Task> {
    leave_idle();
    tasks([
        || {
            // Not the owner's place, which stays idle.
            world::stand(0, 3);
            allocate_some();
        },
        allocate_some,
    ])
}

fn drain() -> Vec<Task> {
    world::stand(0, 0);
    give_away(4, BIG);
    give_away(6, MID);
    (0..10).for_each(|_| Hand::default().free_given());
    tasks([
        || {
            let mut hand = Hand::default();
            for size in [MID, BIG, MID, MID, BIG, MID] {
                hand.alloc(size);
                hand.free_any();
            }
            hand.free_all();
        },
        || {
            let heap = heap::started().expect("started by task 0");
            maintenance::trim(heap);
        },
    ])
}

fn anything() -> Vec<Task> {
    give_away(4, BIG);
    fn steps() {
        let mut hand = Hand::default();
        (0..12).for_each(|_| hand.anything(&[BIG, MID]));
        hand.free_all();
    }
    tasks([steps, steps, steps])
}

fn across_nodes() -> Vec<Task> {
    give_away(6, KIB);
    give_away(4, BIG);
    fn steps() {
        let mut hand = Hand::default();
        (0..14).for_each(|_| hand.anything(&[BIG, KIB]));
        hand.free_all();
    }
    tasks([steps, steps])
}

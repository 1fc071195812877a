//! Counters: the second thread that comes, and sums that are exact.
//!
//! Each add is a bit of its own: a sum says which adds are in it.

use super::tasks;
use crate::judge;
use crate::run::{Fact, Scenario, Shared, Task};
use crate::world::{self, Fences, Setting};
use cidpool::Counter;
use core::cell::{Cell, RefCell};

const LEASED: Setting = Setting { moves: 0, ..Setting::EMULATED };
const REFUSED: Setting = Setting { fences: Fences::Refused, ..Setting::KERNEL };

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "no_add_is_lost_when_the_second_thread_comes",
        fault: "a counter gets its copies while several threads add to it",
        setting: Setting::KERNEL,
        executions: 300,
        tasks: || {
            begin();
            tasks([add, add, add])
        },
        reaches: &[Fact::Aborts, Fact::Moves],
    },
    Scenario {
        name: "an_exact_sum_is_a_value_that_there_was",
        fault: "exact sums are taken while sections that add are under way",
        setting: Setting::KERNEL,
        executions: 600,
        tasks: || sum(Setting::KERNEL),
        reaches: &[Fact::Exact, Fact::Aborts],
    },
    Scenario {
        name: "an_exact_sum_of_leased_copies_is_a_value_that_there_was",
        fault: "exact sums are taken while threads with leases are inside of adds",
        setting: LEASED,
        executions: 300,
        tasks: || sum(LEASED),
        reaches: &[Fact::Exact],
    },
    Scenario {
        name: "no_add_is_lost_when_an_exact_sum_is_refused",
        fault: "exact sums are taken while the kernel refuses the fence from some moment on",
        setting: REFUSED,
        executions: 200,
        tasks: || sum(REFUSED),
        reaches: &[Fact::Exact],
    },
];

static COUNTER: Counter = Counter::new();

thread_local! {
    /// The values that there were, one after the other.
    static HISTORY: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    /// Adds that have begun, and that have happened.
    static BEGUN: Cell<u64> = const { Cell::new(0) };
    static HAPPENED: Cell<u64> = const { Cell::new(0) };
    static EXACT: Cell<u64> = const { Cell::new(0) };
}

fn begin() {
    look();
    world::monitor(Some(Box::new(look)));
    judge::at_end(Box::new(last));
}

/// Looks between any two steps.
fn look() {
    let now = COUNTER.sum();
    HISTORY.with_borrow_mut(|history| {
        if history.last() != Some(&now) {
            history.push(now);
        }
    });
}

fn last(counts: &Shared) {
    let (sum, all) = (COUNTER.sum(), HAPPENED.get());
    assert!(sum == all, "{sum:#x}, where {all:#x} were added");
    counts.add(Fact::Exact, EXACT.get());
}

fn add_once() {
    let bit = BEGUN.get() + 1;
    BEGUN.set(BEGUN.get() | bit);
    COUNTER.add(bit);
    HAPPENED.set(HAPPENED.get() | bit);
}

fn add() {
    (0..5).for_each(|_| add_once());
}

/// A sum has all adds that happened before it began, and none that began when it was over.
fn sum_of_some_time() {
    let least = HAPPENED.get();
    let sum = COUNTER.sum();
    let most = BEGUN.get();
    assert!(
        sum & least == least && sum & !most == 0,
        "{sum:#x} is not from {least:#x} to {most:#x}"
    );
}

fn exact_sum(setting: Setting) {
    world::at_once(look);
    let from = HISTORY.with_borrow(Vec::len) - 1;
    match COUNTER.sum_exact() {
        Ok(sum) => {
            world::at_once(look);
            HISTORY.with_borrow(|history| {
                let seen = &history[from..];
                assert!(seen.contains(&sum), "{sum:#x} is an exact sum, and was none of {seen:x?}");
            });
            EXACT.set(EXACT.get() + 1);
        }
        // A holder may stay inside for long.
        Err(why) => {
            assert!(setting.fences != Fences::Kernel || setting.source == "emulated", "{why}")
        }
    }
}

fn sum(setting: Setting) -> Vec<Task> {
    COUNTER.spread().expect("there is memory");
    begin();
    let adds = |n: usize| -> Task {
        Box::new(move || {
            for _ in 0..n {
                add_once();
                sum_of_some_time();
            }
        })
    };
    let sums: Task = Box::new(move || {
        exact_sum(setting);
        add_once();
        exact_sum(setting);
    });
    let one_sum: Task = Box::new(move || {
        (0..3).for_each(|_| add_once());
        exact_sum(setting);
    });
    vec![adds(4), sums, one_sum]
}

//! One stress run, as the environment says, in the process that `parent.rs` starts.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `STRESS_SEED` | where all randomness comes from |
//! | `STRESS_THREADS`, `STRESS_MS` | workers, and for how long |
//! | `STRESS_WITH` | of `signals`, `prof`, `fork`, `trim`, `churn`, `affinity`, `pin` those that run beside |

use crate::blocks::{Face, fail};
use crate::engine::{Plan, board, finish, number, seed, set_seed, start, variable, work};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Runs. `knows_all`: nobody else has blocks of this heap.
pub(crate) fn run(face: &'static impl Face, knows_all: bool) {
    set_seed(number("STRESS_SEED", 1));
    let (heap, before) = start(face, knows_all);
    let with = variable("STRESS_WITH");
    let plan =
        Plan { threads: number("STRESS_THREADS", 16), ms: number("STRESS_MS", 1000), with: &with };
    let board = board();
    let done = work(face, heap, &plan, &board);
    for (word, handled) in ["signals", "prof"].into_iter().zip(done.signals) {
        if plan.has(word) && handled == 0 {
            fail!("not one signal of `{word}` was handled");
        }
    }
    finish(face, heap, board, knows_all, &before);
    let count = |counter: &AtomicU64| counter.load(Relaxed);
    println!(
        "ok: seed {}, {} lives, {} signals, {} of CPU time, {} forks, {} moves",
        seed(),
        count(&done.lives),
        done.signals[0],
        done.signals[1],
        count(&done.forks),
        count(&done.moves)
    );
}

//! A run in one process: sweeps over all cells, with a count of everything after each.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `STRESS_SEED` | where all randomness comes from |
//! | `STRESS_THREADS` | workers of the first sweep; each further one has one more |
//! | `STRESS_MS` | for how long new sweeps begin; there is always one |
//! | `STRESS_WITH` | `one`: workers are on one CPU; `many`: on all |

use crate::agent::{self, SIGNAL};
use crate::blocks::{Block, Random, fail};
use crate::cells::{Cell, Kind, Means, Spot, cells};
use crate::signals;
use crate::tally::{Outcome, Tally};
use crate::worker::{Ground, Whole, Worker, settle};
use cidalloc::heap::{Heap, Source};
use cidalloc::validate::validate;
use cidalloc::{maintenance, shard};
use cidalloc_tests::skip;
use core::alloc::Layout;
use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use core::time::Duration;
use rseq_sys::inject;
use std::backtrace::Backtrace;
use std::sync::{Barrier, Mutex};
use std::time::Instant;

static SEED: AtomicU64 = AtomicU64::new(0);
/// Sizes of the blocks of a sweep, in turn: of many to a bitmap word, and of few.
const SIZES: [usize; 3] = [1024, 64, 6000];

/// The seed of this run, for whoever fails.
pub(crate) fn seed() -> u64 {
    SEED.load(Relaxed)
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Runs as the environment says.
pub(crate) fn run() {
    SEED.store(number("STRESS_SEED", 1), Relaxed);
    std::panic::set_hook(Box::new(|info| fail!("{info}\n{}", Backtrace::force_capture())));
    let pinned = std::env::var("STRESS_WITH").is_ok_and(|with| with == "one");
    let deadline = Instant::now() + Duration::from_millis(number("STRESS_MS", 0));
    let cpus = agent::cpus().len() > 1;
    settle(pinned);
    let mut random = Random(seed());
    let layout = Layout::from_size_align(SIZES[0], 16).expect("a power of two");
    Block::new(&Whole, layout, &mut random).free(&Whole, &mut random);
    let heap = cidalloc::heap::get().expect("the heap has just given a block");
    let (source, leased) = match heap.source {
        Source::Kernel => ("kernel", false),
        Source::Cpu => ("cpu", false),
        Source::Emulated => ("emulated", true),
        Source::None => ("none", true),
    };
    println!();
    let wanted = std::env::var("CIDALLOC_CID").unwrap_or_default();
    if source != wanted {
        println!("ok: seed {}, skipped: there are no cids of {wanted} here", seed());
        return;
    }
    let means = Means { leased, pinned, cpus, fences: shard::fence() };
    if !means.cpus {
        skip("migration of held-up threads", "there is one CPU");
    }
    if !means.fences {
        skip("fences beside held-up threads", "the kernel makes no rseq fence");
    }
    // SAFETY: the handler writes and ends.
    unsafe { libc::signal(libc::SIGILL, on_difference as extern "C" fn(i32) as usize) };
    inject::set_hook(agent::hold);
    signals::install(&Whole, SIGNAL, agent::on_signal);
    let mut tally = Tally::default();
    let mut sweeps = 0;
    while sweeps == 0 || Instant::now() < deadline {
        let threads = number("STRESS_THREADS", 3) + u64::from(sweeps) % 8;
        let layout = Layout::from_size_align(SIZES[sweeps as usize % SIZES.len()], 16);
        let layout = layout.expect("a power of two");
        let cells = cells(means, sweeps);
        sweep(heap, layout, &cells, threads as usize, means, &mut tally);
        sweeps += 1;
    }
    tally.print(source, means);
    println!("ok: seed {}, {sweeps} sweeps", seed());
}

/// Where the library leaves when it compares twice.
extern "C" fn on_difference(_signal: i32) {
    let line = b"a section compared twice, and found another id or word at its commit\n";
    // SAFETY: bytes of this program, to standard error; then the end.
    unsafe {
        libc::write(2, line.as_ptr().cast(), line.len());
        libc::abort();
    }
}

type Board = [Mutex<Option<Block>>];

fn sweep(
    heap: &'static Heap,
    layout: Layout,
    cells: &[Cell],
    threads: usize,
    means: Means,
    tally: &mut Tally,
) {
    let pinned = means.pinned;
    let board: Vec<_> = (0..8).map(|_| Mutex::new(None)).collect();
    let workers: Vec<Worker> = (0..threads).map(|_| Worker::default()).collect();
    // Workers, and the agent, which counts: twice in a cell, at its beginning and at its end.
    let barrier = Barrier::new(threads + 1);
    let at_work = AtomicU32::new(0);
    let sum = Mutex::new(Outcome::default());
    std::thread::scope(|scope| {
        for (i, worker) in workers.iter().enumerate() {
            let (ground, barrier) = (Ground { heap, board: &board, layout }, &barrier);
            let (at_work, sum) = (&at_work, &sum);
            let mut random = Random(seed() ^ (i as u64 + 1) << 32);
            scope.spawn(move || {
                worker.begin();
                for cell in cells {
                    settle(pinned);
                    barrier.wait();
                    let mut blocks = worker.blocks.lock().expect("no panics");
                    let outcome = ground.work(cell, &mut blocks, &mut random);
                    drop(blocks);
                    sum.lock().expect("no panics").add(outcome);
                    at_work.fetch_sub(1, Release);
                    // Others are preempted only while somebody else wants their CPU.
                    while cell.kind == Kind::Preempt && at_work.load(Acquire) != 0 {
                        core::hint::spin_loop();
                    }
                    barrier.wait();
                }
            });
        }
        // Beside the workers, where there is room.
        let others = if pinned && means.cpus { &agent::cpus()[1..] } else { agent::cpus() };
        agent::set_affinity(0, others);
        for cell in cells {
            agent::prepare(cell);
            at_work.store(threads as u32, Release);
            barrier.wait();
            let drains = maintenance::drains();
            agent::attend(heap, means, cell, &workers, &at_work);
            barrier.wait();
            let mut outcome = core::mem::take(&mut *sum.lock().expect("no panics"));
            outcome.drains = maintenance::drains() - drains;
            let held_in_plain_code = agent::take_held();
            let words = cell.place_words();
            if outcome.held == 0 || (cell.aborts() && outcome.aborted == 0) {
                fail!("{words}, {:?}: no operation came to that point: {outcome:?}", cell.kind);
            }
            if cell.spot == Spot::Plain && outcome.held != held_in_plain_code {
                fail!("{words}: {} threads were held up, not {held_in_plain_code}", outcome.held);
            }
            tally.add(cell, outcome);
            let paused = signals::Paused::new();
            signals::free_all(&Whole);
            count(heap, &board, &workers, &format!("{words}, {:?}", cell.kind));
            drop(paused);
        }
    });
    let mut random = Random(seed());
    let hands = workers.iter().flat_map(|w| core::mem::take(&mut *w.blocks.lock().expect("rest")));
    let shared = board.iter().filter_map(|slot| slot.lock().expect("rest").take());
    hands.chain(shared).for_each(|block| block.free(&Whole, &mut random));
    count(heap, &board, &workers, "after a sweep, with all blocks freed");
}

/// Looks whether each object is in one place, and each block holds what it should.
fn count(heap: &Heap, board: &Board, workers: &[Worker], when: &str) {
    let hands: Vec<_> = workers.iter().map(|w| w.blocks.lock().expect("no panics")).collect();
    let shared: Vec<_> = board.iter().map(|slot| slot.lock().expect("no panics")).collect();
    let blocks =
        || hands.iter().flat_map(|h| h.iter()).chain(shared.iter().filter_map(|s| s.as_ref()));
    blocks().for_each(|block| block.check(when));
    match validate(heap, blocks().map(|block| block.address)) {
        Err(violation) => fail!("{when}: {violation}"),
        Ok(census) if census.elsewhere() != 0 || census.large_elsewhere() != 0 => {
            fail!(
                "{when}: lost {} objects, {} large",
                census.elsewhere(),
                census.large_elsewhere()
            );
        }
        Ok(_) => {}
    }
}

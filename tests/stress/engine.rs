//! The stress run of one process, and the check at its end that nothing was lost.
//!
//! ```text
//!  workers    die and are reborn; alloc, realloc, free ─┬─► board: blocks change hands
//!  SIGALRM    1 kHz, on any thread: alloc and free ─────┘   the dead leave theirs there
//!  SIGPROF    1 kHz of CPU time, or what the tick allows
//!  trimmer    maintenance::trim
//!  forker     the child checks the board, allocates, ends
//!  affinity   gives each thread of the process other CPUs, all the time
//!  end        all joined ► validate with all hands named ► free all ► validate ► trim: no span
//! ```

use crate::blocks::{Block, Face, Random, fail};
use crate::disturb::{fork_once, move_all, set_affinity};
use crate::signals;
use cidalloc::heap::Heap;
use cidalloc::maintenance;
use cidalloc::validate::{Census, validate};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use std::backtrace::Backtrace;
use std::sync::Mutex;
use std::time::Instant;

static SEED: AtomicU64 = AtomicU64::new(0);
/// Runs of this process so far: each draws other numbers.
static PHASES: AtomicU64 = AtomicU64::new(0);

/// The seed of this run, for whoever fails.
pub(crate) fn seed() -> u64 {
    SEED.load(Relaxed)
}

/// Draws all randomness from `seed` from now on.
pub(crate) fn set_seed(seed: u64) {
    SEED.store(seed, Relaxed);
}

pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

pub(crate) fn number(name: &str, default: u64) -> u64 {
    variable(name).parse().unwrap_or(default)
}

pub(crate) type Board = [Mutex<Option<Block>>];

/// What runs for how long.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) threads: u64,
    pub(crate) ms: u64,
    /// Of the words of `STRESS_WITH`.
    pub(crate) with: &'a str,
}

impl Plan<'_> {
    pub(crate) fn has(&self, word: &str) -> bool {
        self.with.split(',').any(|w| w == word)
    }
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Threads that lived and ended.
    pub(crate) lives: AtomicU64,
    pub(crate) forks: AtomicU64,
    /// Threads whose CPUs were changed from outside.
    pub(crate) moves: AtomicU64,
    /// Signals handled, of each kind.
    pub(crate) signals: [u64; 2],
}

/// The heap, brought into being, and what is in it.
pub(crate) fn start(face: &impl Face, knows_all: bool) -> (&'static Heap, Census) {
    // A panic, of a debug assertion of the allocator for one, says what it is and ends all.
    std::panic::set_hook(Box::new(|info| fail!("{info}\n{}", Backtrace::force_capture())));
    let mut random = Random(seed());
    Block::random(face, &mut random).free(face, &mut random);
    let heap = cidalloc::heap::get().expect("the heap has just given a block");
    (heap, census(heap, &[], "before the run", knows_all))
}

/// Where blocks change hands.
pub(crate) fn board() -> Vec<Mutex<Option<Block>>> {
    (0..512).map(|_| Mutex::new(None)).collect()
}

/// Does what `plan` says, until all threads of it have ended.
pub(crate) fn work(
    face: &'static impl Face,
    heap: &'static Heap,
    plan: &Plan<'_>,
    board: &Board,
) -> Done {
    let mut done = Done::default();
    let over = AtomicBool::new(false);
    let deadline = Instant::now() + Duration::from_millis(plan.ms);
    let first = seed().wrapping_add(PHASES.fetch_add(1, Relaxed) << 16);
    set_affinity(if plan.has("pin") { 0 } else { usize::MAX });
    let storms = ["signals", "prof"].map(|word| plan.has(word));
    if storms.contains(&true) {
        signals::start(face, storms);
    }
    std::thread::scope(|scope| {
        let (done, over) = (&done, &over);
        let workers: Vec<_> = (0..plan.threads)
            .map(|i| {
                let has_churn = plan.has("churn");
                let mut random = Random(first ^ (i + 1) << 32);
                scope.spawn(move || {
                    while Instant::now() < deadline {
                        // A life of its own thread, so that threads die all the time.
                        let life = random.next();
                        std::thread::scope(|inner| {
                            inner.spawn(|| live(face, board, deadline, life, has_churn));
                        });
                        done.lives.fetch_add(1, Relaxed);
                    }
                })
            })
            .collect();
        let repeat = |ms: u64, act: &mut dyn FnMut()| {
            while !over.load(Relaxed) {
                act();
                std::thread::sleep(Duration::from_millis(ms));
            }
        };
        if plan.has("trim") {
            scope.spawn(move || repeat(3, &mut || _ = maintenance::trim(heap)));
        }
        if plan.has("fork") {
            scope.spawn(move || repeat(20, &mut || fork_once(face, heap, board, &done.forks)));
        }
        if plan.has("affinity") {
            let mut random = Random(first);
            scope.spawn(move || repeat(1, &mut || move_all(&mut random, &done.moves)));
        }
        for worker in workers {
            worker.join().expect("workers abort rather than panic");
        }
        over.store(true, Relaxed);
    });
    set_affinity(usize::MAX);
    if storms.contains(&true) {
        done.signals = signals::stop(face);
    }
    done
}

/// Checks that nothing was lost, frees all, and checks again. The heap is empty then, if `knows_all`.
pub(crate) fn finish(
    face: &impl Face,
    heap: &Heap,
    board: Vec<Mutex<Option<Block>>>,
    knows_all: bool,
    before: &Census,
) -> Census {
    let mut random = Random(seed());
    let mut blocks: Vec<Block> =
        board.into_iter().filter_map(|slot| slot.into_inner().expect("no panics")).collect();
    while blocks.len() < 512 {
        blocks.push(Block::random(face, &mut random));
    }
    // Before and after: a loss shows as an object that nobody has.
    let named = |blocks: &[Block], when: &str| {
        let now = census(heap, blocks, when, knows_all);
        // What the standard library and the harness have is theirs to free when they like.
        let (slack, large_slack) = if knows_all { (0, 0) } else { (before.elsewhere() + 512, 16) };
        if now.elsewhere() > slack || now.large_elsewhere() > large_slack {
            fail!(
                "{when}: lost {} objects, {} large: {now:?}",
                now.elsewhere(),
                now.large_elsewhere()
            );
        }
        now
    };
    named(&blocks, "with all hands named");
    for block in blocks.drain(..) {
        block.free(face, &mut random);
    }
    let now = named(&[], "with all blocks freed");
    if !knows_all {
        return now;
    }
    // Whoever trims may move to another cid meanwhile, and leave its own cache behind.
    let mut now = named(&[], "before trim");
    for _ in 0..20 {
        maintenance::trim(heap);
        now = named(&[], "after trim");
        if now.spans == 0 && now.dirty_pages == 0 {
            return now;
        }
    }
    fail!("spans or dirty pages are left after trim: {now:?}");
}

/// Where everything is. Others may allocate unless `alone`: the harness's own threads, and workers
/// whose thread-local data are still being freed. Then the walk is tried again: what is really wrong
/// stays wrong.
fn census(heap: &Heap, blocks: &[Block], when: &str, alone: bool) -> Census {
    let tries = if alone { 1 } else { 50 };
    for i in 1.. {
        match validate(heap, blocks.iter().map(|block| block.address)) {
            Ok(census) => return census,
            Err(violation) if i == tries => fail!("{when}: {violation}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    unreachable!("the last try fails or returns")
}

/// One thread's life.
fn live(face: &impl Face, board: &Board, deadline: Instant, life: u64, churn: bool) {
    let mut random = Random(life);
    let mut mine: Vec<Block> = Vec::new();
    let most = 1 << random.below(10);
    for i in 0..1 << (8 + random.below(7)) {
        match random.below(16) {
            0..6 if mine.len() < most => mine.push(Block::random(face, &mut random)),
            6..8 if !mine.is_empty() => {
                let i = random.below(mine.len());
                mine[i].realloc(face, &mut random);
            }
            8..11 => exchange(face, board, &mut mine, &mut random),
            _ if !mine.is_empty() => {
                let i = random.below(mine.len());
                mine.swap_remove(i).free(face, &mut random);
            }
            _ => mine.push(Block::random(face, &mut random)),
        }
        if random.one_in(2000) {
            // A burst of one size: fills and empties whole spans.
            let layout = core::alloc::Layout::from_size_align(1 + random.below(1024), 8);
            let layout = layout.expect("a power of two");
            let burst: Vec<_> = (0..3000).map(|_| Block::new(face, layout, &mut random)).collect();
            burst.into_iter().for_each(|block| block.free(face, &mut random));
        }
        if churn && random.one_in(300) {
            set_affinity(random.below(8));
        }
        if i % 64 == 0 && Instant::now() >= deadline {
            break;
        }
    }
    for block in mine {
        hand_over(face, board, block, &mut random);
    }
}

/// Puts one block on the board, and takes the one that was there.
fn exchange(face: &impl Face, board: &Board, mine: &mut Vec<Block>, random: &mut Random) {
    let Ok(mut slot) = board[random.below(board.len())].try_lock() else { return };
    let gift = if random.one_in(3) || mine.is_empty() {
        None
    } else {
        let i = random.below(mine.len());
        Some(mine.swap_remove(i))
    };
    let other = core::mem::replace(&mut *slot, gift);
    drop(slot);
    if let Some(other) = other {
        other.check("from the board");
        if random.one_in(2) { mine.push(other) } else { other.free(face, random) }
    }
}

/// Leaves a block for whoever comes: its first heir frees it.
fn hand_over(face: &impl Face, board: &Board, block: Block, random: &mut Random) {
    let mut slot = board[random.below(board.len())].lock().expect("no panics");
    let other = slot.replace(block);
    drop(slot);
    if let Some(other) = other {
        other.free(face, random);
    }
}

//! The stress run of one process, and the check at its end that nothing was lost.
//!
//! ```text
//!  workers    die and are reborn; alloc, realloc, free ─┬─► board: blocks change hands
//!  SIGALRM    1 kHz, on any thread: alloc and free ─────┘   the dead leave theirs there
//!  trimmer    maintenance::trim
//!  forker     the child checks the board, allocates, ends
//!  end        all joined ► validate with all hands named ► free all ► validate ► trim: no span
//! ```
//!
//! | variable | meaning |
//! | --- | --- |
//! | `STRESS_SEED` | where all randomness comes from |
//! | `STRESS_THREADS`, `STRESS_MS` | workers, and for how long |
//! | `STRESS_WITH` | of `signals`, `fork`, `trim`, `churn`, `pin` those that run beside |

use crate::blocks::{Block, Face, Random, fail};
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

/// The seed of this run, for whoever fails.
pub(crate) fn seed() -> u64 {
    SEED.load(Relaxed)
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn number(name: &str, default: u64) -> u64 {
    variable(name).parse().unwrap_or(default)
}

type Board = [Mutex<Option<Block>>];

/// Runs as the environment says. `knows_all`: nobody else has blocks of this heap.
pub(crate) fn run(face: &'static impl Face, knows_all: bool) {
    SEED.store(number("STRESS_SEED", 1), Relaxed);
    // A panic, of a debug assertion of the allocator for one, says what it is and ends all.
    std::panic::set_hook(Box::new(|info| fail!("{info}\n{}", Backtrace::force_capture())));
    let threads = number("STRESS_THREADS", 16);
    let with = variable("STRESS_WITH");
    let has = |word: &str| with.split(',').any(|w| w == word);
    let deadline = Instant::now() + Duration::from_millis(number("STRESS_MS", 1000));
    let mut random = Random(seed());
    Block::random(face, &mut random).free(face, &mut random);
    let heap = cidalloc::heap::get().expect("the heap has just given a block");
    let before = census(heap, &[], "before the run", knows_all);
    if has("pin") {
        set_affinity(0);
    }
    if has("signals") {
        signals::start(face);
    }
    let board: Vec<_> = (0..512).map(|_| Mutex::new(None)).collect();
    let done = AtomicBool::new(false);
    let lives = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|i| {
                let (board, lives, has_churn) = (&board, &lives, has("churn"));
                let mut random = Random(seed() ^ (i + 1) << 32);
                scope.spawn(move || {
                    while Instant::now() < deadline {
                        // A life of its own thread, so that threads die all the time.
                        let life = random.next();
                        std::thread::scope(|inner| {
                            inner.spawn(|| live(face, board, deadline, life, has_churn));
                        });
                        lives.fetch_add(1, Relaxed);
                    }
                })
            })
            .collect();
        if has("trim") {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    maintenance::trim(heap);
                    std::thread::sleep(Duration::from_millis(3));
                }
            });
        }
        if has("fork") {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    fork_once(face, heap, &board);
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
        for worker in workers {
            worker.join().expect("workers abort rather than panic");
        }
        done.store(true, Relaxed);
    });
    let handled = if has("signals") { signals::stop(face) } else { 0 };
    if has("signals") && handled == 0 {
        fail!("not one signal was handled");
    }
    finish(face, heap, board, knows_all, &before);
    println!("ok: seed {}, {} lives, {handled} signals", seed(), lives.load(Relaxed));
}

fn finish(
    face: &impl Face,
    heap: &Heap,
    board: Vec<Mutex<Option<Block>>>,
    knows_all: bool,
    before: &Census,
) {
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
    named(&[], "with all blocks freed");
    if !knows_all {
        return;
    }
    // Whoever trims may move to another cid meanwhile, and leave its own cache behind.
    let mut now = named(&[], "before trim");
    for _ in 0..20 {
        maintenance::trim(heap);
        now = named(&[], "after trim");
        if now.spans == 0 && now.dirty_pages == 0 {
            return;
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

/// The thread's affinity: one CPU below 4, by number; all from there on.
fn set_affinity(n: usize) {
    // SAFETY: sets of the right size, filled by the calls; the thread is the caller.
    unsafe {
        static ALL: Mutex<Option<libc::cpu_set_t>> = Mutex::new(None);
        let mut all = ALL.lock().expect("no panics");
        let all = all.get_or_insert_with(|| {
            let mut set: libc::cpu_set_t = core::mem::zeroed();
            libc::sched_getaffinity(libc::getpid(), size_of_val(&set), &mut set);
            set
        });
        let allowed: Vec<_> =
            (0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, all)).collect();
        let mut set = *all;
        if n < 4 {
            set = core::mem::zeroed();
            libc::CPU_SET(allowed[n % allowed.len()], &mut set);
        }
        libc::sched_setaffinity(0, size_of_val(&set), &set);
    }
}

/// The child has one thread, and whatever state the others were in.
fn fork_once(face: &impl Face, heap: &Heap, board: &Board) {
    let paused = signals::Paused::new();
    // SAFETY: the child uses the allocator, which is what is tested, and `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: a deadline for the child: timers are not inherited.
        unsafe {
            libc::signal(libc::SIGALRM, libc::SIG_DFL);
            libc::alarm(60);
        }
        let mut random = Random(seed());
        for slot in board {
            if let Ok(mut slot) = slot.try_lock()
                && let Some(mut block) = slot.take()
            {
                block.check("in the child of a fork");
                block.realloc(face, &mut random);
                block.free(face, &mut random);
            }
        }
        let mut own: Vec<_> = (0..400).map(|_| Block::random(face, &mut random)).collect();
        maintenance::trim(heap);
        for block in own.drain(..) {
            block.free(face, &mut random);
        }
        // SAFETY: ends the process without the parent's exit handlers.
        unsafe { libc::_exit(0) };
    }
    drop(paused);
    if child < 0 {
        // Memory for another copy of everything is not the allocator's to have.
        return;
    }
    let mut status = 0;
    // SAFETY: our own child.
    while unsafe { libc::waitpid(child, &mut status, 0) } != child {}
    if status != 0 {
        fail!("the child of a fork ended with wait status {status:#x}");
    }
}

//! The threads that are held up, and what each operation is called by.
//!
//! ```text
//!  pop, push        one block each                     malloc, free
//!  push_on_node     a block to the shard of its node   section
//!  pop_batch, put   the shard's blocks go home         cache::send_home
//!  take, push_batch and are asked for again            refill
//!  reshape          room is taken away and given back  cache::drop_unused, cache::adjust
//! ```
//!
//! Between two of these, blocks change hands, so that bits are remote ones, too.

use crate::agent;
use crate::blocks::{Block, Face, Random, fail};
use crate::cells::{Cell, Kind, Spot};
use crate::tally::Outcome;
use cidalloc::cache::{self, Miss};
use cidalloc::heap::Heap;
use cidalloc::ids::SizeClass;
use cidalloc::shard::Shard;
use cidalloc::size_class::of_size;
use cidalloc::{free, malloc, section};
use core::alloc::Layout;
use core::sync::atomic::{
    AtomicI32, AtomicPtr,
    Ordering::{Acquire, Relaxed, Release},
};
use core::time::Duration;
use rseq_sys::inject::{self, Control};
use std::sync::Mutex;
use std::time::Instant;

/// Blocks that a worker has at rest.
const AT_REST: usize = 12;
/// Spins after which a window that should be aborted goes on: about a second.
const SPINS: i32 = 20_000_000;
/// Windows that may go on so, beyond those that are aborted: then the point is not in the window.
const PASSES: u64 = 4;
/// For which a thread looks for its operation.
const PATIENCE: Duration = Duration::from_secs(5);

/// The heap as `malloc` and `free` of one class have it.
pub(crate) struct Whole;

impl Face for Whole {
    fn alloc(&self, layout: Layout, _random: &mut Random) -> *mut u8 {
        malloc::alloc(layout.size())
    }
    fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        malloc::alloc_zeroed(layout.size(), layout.align())
    }
    unsafe fn realloc(&self, _block: *mut u8, _layout: Layout, _size: usize) -> (*mut u8, bool) {
        fail!("no block is resized here")
    }
    unsafe fn free(&self, block: *mut u8, _layout: Layout, _by_layout: bool, _random: &mut Random) {
        // SAFETY: the caller's live block.
        unsafe { free::free(block) }
    }
}

/// Frees to the shard of the block's node, as is done where there are several.
struct OnNode<'a>(&'a Heap);

impl Face for OnNode<'_> {
    fn alloc(&self, layout: Layout, random: &mut Random) -> *mut u8 {
        Whole.alloc(layout, random)
    }
    fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Whole.alloc_zeroed(layout)
    }
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> (*mut u8, bool) {
        // SAFETY: as the caller promises.
        unsafe { Whole.realloc(block, layout, size) }
    }
    unsafe fn free(&self, block: *mut u8, layout: Layout, _by_layout: bool, _random: &mut Random) {
        let (class, object) = (of_size(layout.size()), block.addr());
        // SAFETY: the caller's live block, of this class and node, given up.
        unsafe {
            if !section::push_on_node(self.0, class, object, self.0.home_of(object)) {
                free::free(block);
            }
        }
    }
}

/// What the others know of a worker.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    tid: AtomicI32,
    control: AtomicPtr<Control>,
    /// What it has in its hands, for whoever counts while it is at rest.
    pub(crate) blocks: Mutex<Vec<Block>>,
}

impl Worker {
    /// Said by the worker's own thread, which lives until no one asks any more.
    pub(crate) fn begin(&self) {
        // SAFETY: takes nothing.
        self.tid.store(unsafe { libc::gettid() }, Relaxed);
        self.control.store((&raw const *inject::control()).cast_mut(), Release);
    }

    /// The worker's thread, and the words that say where it is held up.
    pub(crate) fn whereabouts(&self) -> Option<(i32, &Control)> {
        // SAFETY: `begin` stored the words of a thread that lives.
        let control = unsafe { self.control.load(Acquire).as_ref() }?;
        Some((self.tid.load(Relaxed), control))
    }
}

/// What workers do their operations on.
pub(crate) struct Ground<'a> {
    pub(crate) heap: &'a Heap,
    pub(crate) board: &'a [Mutex<Option<Block>>],
    pub(crate) layout: Layout,
}

impl Ground<'_> {
    fn class(&self) -> SizeClass {
        of_size(self.layout.size())
    }

    /// One operation of the cell, or several at once.
    fn operate(&self, name: &str, blocks: &mut Vec<Block>, random: &mut Random) {
        let new = |random: &mut Random| Block::new(&Whole, self.layout, random);
        while blocks.len() < AT_REST {
            blocks.push(new(random));
        }
        match name {
            "pop" | "push" => {
                blocks.swap_remove(random.below(blocks.len())).free(&Whole, random);
                blocks.push(new(random));
            }
            "push_on_node" => {
                blocks.swap_remove(random.below(blocks.len())).free(&OnNode(self.heap), random);
                blocks.push(new(random));
            }
            "reshape" => {
                let (shard, class) = (Shard::current(self.heap), self.class());
                cache::drop_unused(&shard, class);
                cache::drop_unused(&shard, class);
                cache::adjust(&shard, class, Miss::Refill);
                cache::adjust(&shard, class, Miss::Flush);
                blocks.swap_remove(0).free(&Whole, random);
                blocks.push(new(random));
            }
            _ => {
                blocks.drain(1..).for_each(|block| block.free(&Whole, random));
                cache::send_home(&Shard::current(self.heap), self.class(), usize::MAX);
            }
        }
        if random.one_in(3)
            && let Ok(mut slot) = self.board[random.below(self.board.len())].try_lock()
            && let Some(mine) = blocks.pop()
        {
            blocks.extend(slot.replace(mine));
        }
    }

    /// A worker's part of `cell`: until it was held up as often as it should.
    pub(crate) fn work(
        &self,
        cell: &Cell,
        blocks: &mut Vec<Block>,
        random: &mut Random,
    ) -> Outcome {
        let control = inject::control();
        let spins = match cell.kind {
            Kind::Spin => 300,
            Kind::Leave => -1,
            _ => SPINS,
        };
        let counts = || (control.aborted.load(Relaxed), control.passed.load(Relaxed));
        let before = counts();
        let mut outcome = Outcome::default();
        let mut armed = false;
        let begin = Instant::now();
        for round in 0.. {
            if round % cell.every == 0 && !armed {
                control.spins.store(spins, Relaxed);
                control.armed.store(cell.point(), Relaxed);
                armed = true;
            }
            self.operate(cell.operation.name, blocks, random);
            if armed && control.armed.load(Relaxed) == 0 {
                armed = false;
                outcome.held += 1;
            }
            let now = counts();
            outcome.aborted = now.0.wrapping_sub(before.0).into();
            outcome.passed = now.1.wrapping_sub(before.1).into();
            let passes = if cell.aborts() { outcome.passed } else { 0 };
            if outcome.held - passes >= cell.quota.into() {
                break;
            }
            if passes >= PASSES + outcome.aborted {
                fail!("{}: {:?} aborts no window there", cell.place_words(), cell.kind);
            }
            if begin.elapsed() > PATIENCE {
                break;
            }
        }
        control.armed.store(0, Relaxed);
        if cell.spot == Spot::Window && outcome.held != outcome.aborted + outcome.passed {
            fail!("{}, {:?}: {outcome:?} does not add up", cell.place_words(), cell.kind);
        }
        outcome
    }
}

/// Where the workers of a run may be.
pub(crate) fn settle(pinned: bool) {
    let cpus = agent::cpus();
    agent::set_affinity(0, if pinned { &cpus[..1] } else { cpus });
}

//! The world of a model: places that its tasks run on, sections that are aborted, time and fences.
//!
//! ```text
//!  task   place (node, cid)   section            each choice is one of the seed
//!   1     (0, 0)              under way ──┐
//!   2     (0, 1)              –           │ begins one at (0, 0): task 1 was preempted in its own
//!   3     (0, 0)              begins ─────┘ fences: all that are under way are aborted
//! ```
//!
//! All tasks run on one thread of the system, one at a time: this state has no locks.
#![allow(unsafe_code)]

use crate::random::Random;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use rseq_sys::lease::Lease;
use rseq_sys::model::{self, World};
use shuttle::sync::atomic as shuttled;

/// Tasks of a model at most, with the one that prepares and judges, number 0.
pub(crate) const TASKS: usize = 5;

/// Relaxed loads of 256 that are points: some walks look at each class, or at each header.
const GLANCES: u32 = 48;

/// Points of 256 inside of sections at which the task stands still while others go on.
const STALLS: u32 = 24;

/// Who makes fences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fences {
    /// The kernel.
    Kernel,
    /// The kernel, until a filter refuses them, some time in the execution.
    Refused,
    /// Nobody.
    Nobody,
}

/// What a scenario wants of its world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// The option `cid`.
    pub(crate) source: &'static str,
    /// The option `arena_cids`.
    pub(crate) arena_cids: u32,
    /// The option `cache_bytes_max`: by default so little that no class gets more than its least.
    pub(crate) cache_bytes_max: &'static str,
    /// Nodes.
    pub(crate) nodes: u32,
    /// CPUs, and so cids of a node.
    pub(crate) cpus: u32,
    /// CPUs that each task is allowed.
    pub(crate) allowed: u32,
    /// Who makes fences.
    pub(crate) fences: Fences,
    /// Sections of 256 that find their task on any place.
    pub(crate) moves: u32,
    /// Points of 256 inside of sections at which it is aborted for no reason.
    pub(crate) aborts: u32,
    /// Looks at the clock of 256 that find it two seconds on.
    pub(crate) jumps: u32,
    /// The task that is not registered: it has no cid.
    pub(crate) without: Option<usize>,
}

impl Setting {
    pub(crate) const KERNEL: Self = Self {
        source: "kernel",
        arena_cids: 1,
        cache_bytes_max: "64k",
        nodes: 1,
        cpus: 3,
        allowed: 3,
        fences: Fences::Kernel,
        moves: 6,
        aborts: 12,
        jumps: 0,
        without: None,
    };
    pub(crate) const EMULATED: Self = Self { source: "emulated", ..Self::KERNEL };
}

/// A section of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    None,
    UnderWay,
    Aborted,
}

struct State {
    random: Random,
    setting: Setting,
    places: [(u32, u32); TASKS],
    sections: [Section; TASKS],
    /// How many threads each task was before.
    lives: [i32; TASKS],
    vanished: u64,
    now_ms: u64,
    fences_left: u32,
}

impl State {
    /// The two ids of a task's place; where CPU numbers index shards, both are the CPU.
    fn ids(&self, task: usize) -> (u32, u32) {
        let place = self.places[task];
        if self.setting.source == "cpu" { (place.1, place.1) } else { place }
    }
}

/// What happened in one execution.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) points: Cell<u64>,
    pub(crate) aborts: Cell<u64>,
    pub(crate) moves: Cell<u64>,
    pub(crate) fences: Cell<u64>,
}

fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

type Monitor = Box<dyn FnMut()>;

thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
    /// Whether tasks take turns now.
    static TURNS: Cell<bool> = const { Cell::new(false) };
    static MONITOR: RefCell<Option<Monitor>> = const { RefCell::new(None) };
    pub(crate) static EVENTS: Events = const {
        Events { points: Cell::new(0), aborts: Cell::new(0), moves: Cell::new(0), fences: Cell::new(0) }
    };
}

static LEASES: [AtomicPtr<Lease>; TASKS] = [const { AtomicPtr::new(core::ptr::null_mut()) }; TASKS];
/// Whose loads are the points at which shuttle schedules.
static TURNSTILE: shuttled::AtomicBool = shuttled::AtomicBool::new(false);
static THE_WORLD: &dyn World = &Modelled;

struct Modelled;

/// Begins the one world of this process.
pub(crate) fn begin(setting: Setting, seed: u64) {
    let places = core::array::from_fn(|task| {
        let task = task as u32;
        (task.saturating_sub(1) % setting.nodes, task.saturating_sub(1) % setting.cpus)
    });
    let mut random = Random::new(seed);
    let fences_left = match setting.fences {
        Fences::Kernel => u32::MAX,
        // One is made when leases start.
        Fences::Refused => 1 + random.below(4) as u32,
        Fences::Nobody => 0,
    };
    let sections = [Section::None; TASKS];
    let state = State {
        random,
        setting,
        places,
        sections,
        lives: [0; TASKS],
        vanished: 0,
        now_ms: 1 << 20,
        fences_left,
    };
    STATE.set(Some(state));
    model::enter(&THE_WORLD);
}

fn with<T>(f: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(|state| f(state.as_mut().expect("the world has begun")))
}

/// The task that runs: 0 while no turns are taken.
pub(crate) fn me() -> usize {
    if TURNS.get() { usize::from(shuttle::current::me()) } else { 0 }
}

/// Tasks take turns from here on, or no more.
pub(crate) fn take_turns(on: bool) {
    TURNS.set(on);
}

/// Has `monitor` look at each point, between any two operations of the tasks; `None` ends that.
pub(crate) fn monitor(monitor: Option<Monitor>) {
    MONITOR.set(monitor);
}

/// Does `f` as if it were one step.
pub(crate) fn at_once<T>(f: impl FnOnce() -> T) -> T {
    let turns = TURNS.replace(false);
    let result = f();
    TURNS.set(turns);
    result
}

/// A number below `bound` of the seed's.
pub(crate) fn random(bound: usize) -> usize {
    with(|state| state.random.below(bound))
}

/// Puts the task that runs on a place.
pub(crate) fn stand(node: u32, cid: u32) {
    let me = me();
    with(|state| state.places[me] = (node, cid));
}

/// Lets time pass.
pub(crate) fn pass(ms: u64) {
    with(|state| state.now_ms += ms);
}

/// The task goes on as a thread that has not used the heap yet.
pub(crate) fn reborn() {
    LEASES[me()].store(core::ptr::null_mut(), Relaxed);
}

/// The task's thread ends without a word; the task goes on as another one.
pub(crate) fn vanish() {
    let me = me();
    let had_lease = !LEASES[me].load(Relaxed).is_null();
    with(|state| {
        state.lives[me] += 1;
        state.vanished += u64::from(had_lease);
    });
    reborn();
}

/// Threads with leases that ended without a word.
pub(crate) fn vanished() -> u64 {
    with(|state| state.vanished)
}

/// The leases that tasks have, or null.
pub(crate) fn leases() -> [*const Lease; TASKS] {
    LEASES.each_ref().map(|word| word.load(Relaxed).cast_const())
}

impl Modelled {
    fn abort_others(of: impl Fn((u32, u32)) -> bool) {
        let me = me();
        with(|state| {
            for task in (0..TASKS).filter(|&task| task != me) {
                if state.sections[task] == Section::UnderWay && of(state.places[task]) {
                    state.sections[task] = Section::Aborted;
                }
            }
        });
    }
    /// Whether a fence is made now.
    fn is_made(&self) -> bool {
        self.point();
        EVENTS.with(|events| count(&events.fences));
        with(|state| {
            let made = state.fences_left > 0;
            state.fences_left =
                state.fences_left.saturating_sub(u32::from(state.fences_left != u32::MAX));
            made
        })
    }
}

impl World for Modelled {
    fn point(&self) {
        if !TURNS.get() {
            return;
        }
        EVENTS.with(|events| count(&events.points));
        // Outside of its cell while it looks, which has no points.
        if let Some(mut look) = MONITOR.take() {
            at_once(&mut look);
            MONITOR.set(Some(look));
        }
        let _ = TURNSTILE.load(core::sync::atomic::Ordering::SeqCst);
    }

    fn glance(&self) {
        if TURNS.get() && with(|state| state.random.happens(GLANCES)) {
            self.point();
        }
    }

    fn wait(&self) {
        if TURNS.get() {
            shuttle::thread::yield_now();
        }
    }

    fn fails_for_no_reason(&self) -> bool {
        TURNS.get() && with(|state| state.random.happens(8))
    }

    fn thread(&self) -> usize {
        (me() + 1) * 64
    }

    fn id(&self) -> i32 {
        let me = me();
        1 + me as i32 + TASKS as i32 * with(|state| state.lives[me])
    }

    fn is_gone(&self, id: i32) -> bool {
        self.point();
        let (task, life) = ((id - 1) % TASKS as i32, (id - 1) / TASKS as i32);
        with(|state| state.lives[task as usize] != life)
    }

    fn lease(&self) -> &'static AtomicPtr<Lease> {
        &LEASES[me()]
    }

    fn place(&self) -> Option<(u32, u32)> {
        let me = me();
        with(|state| (state.setting.without != Some(me)).then(|| state.ids(me)))
    }

    fn begin(&self) -> Option<(u32, u32)> {
        let me = me();
        let place = with(|state| {
            if state.setting.without == Some(me) {
                return None;
            }
            if me != 0 && state.random.happens(state.setting.moves) {
                EVENTS.with(|events| count(&events.moves));
                let Setting { nodes, cpus, .. } = state.setting;
                state.places[me] = (
                    state.random.below(nodes as usize) as u32,
                    state.random.below(cpus as usize) as u32,
                );
            }
            state.sections[me] = Section::UnderWay;
            Some(state.places[me])
        })?;
        // Nobody else is on it now: who was inside of a section there was preempted.
        Self::abort_others(|other| other == place);
        with(|state| Some(state.ids(me)))
    }

    fn goes_on(&self) -> bool {
        self.point();
        // What is done to an interrupted section takes others many steps.
        if TURNS.get() && with(|state| state.random.happens(STALLS)) {
            self.wait();
        }
        let me = me();
        with(|state| {
            let goes_on = state.sections[me] == Section::UnderWay
                && !(TURNS.get() && state.random.happens(state.setting.aborts));
            if !goes_on {
                EVENTS.with(|events| count(&events.aborts));
                state.sections[me] = Section::None;
            }
            goes_on
        })
    }

    fn end(&self) {
        let me = me();
        with(|state| state.sections[me] = Section::None);
    }

    fn fence(&self) -> bool {
        let made = self.is_made();
        if made {
            Self::abort_others(|_| true);
        }
        made
    }

    fn barrier(&self) -> bool {
        self.is_made()
    }

    fn now_ms(&self) -> u64 {
        with(|state| {
            if state.random.happens(state.setting.jumps) {
                state.now_ms += 2000;
            }
            state.now_ms
        })
    }

    fn node(&self) -> usize {
        let me = me();
        with(|state| {
            if me != 0 && state.random.happens(state.setting.moves) {
                state.places[me].0 = state.random.below(state.setting.nodes as usize) as u32;
            }
            state.places[me].0 as usize
        })
    }

    fn nodes(&self) -> u32 {
        with(|state| state.setting.nodes)
    }
    fn cpus(&self) -> u32 {
        with(|state| state.setting.cpus)
    }
    fn allowed(&self) -> u32 {
        with(|state| state.setting.allowed)
    }
}

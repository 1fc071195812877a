//! Stop, bind and operation of a lease, in every order that store buffers allow (TSO, as x86-64).
//!
//! ```text
//!  holder    op, bind, op, each: turn odd ► … ► turn even, its stores delayed in a buffer
//!  stopper   slot = STOPPED ► base = MISS ► barrier: the buffer drains ► turn even? base MISS?
//!  wrong     the stopper has the shard, and a commit of the holder is still to come
//! ```
//!
//! With each guard left out some order goes wrong: so the model sees what the guard is for.
use std::collections::{HashSet, VecDeque};

const TURN: usize = 0;
const BASE: usize = 1;
const SLOT: usize = 2;
const COMMITS: usize = 3;

/// A guard of the protocol that may be left out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    Barrier,
    Turn,
    StillStopped,
    BindHolds,
    Miss,
    BindInside,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    /// turn; base 1 or 0 for MISS; slot 1 held or 0 stopped; commits.
    memory: [u8; 4],
    buffer: VecDeque<(usize, u8)>,
    holder: usize,
    /// What the holder loaded last.
    loaded: u8,
    stopper: usize,
    turn_seen: u8,
    has_it: bool,
}

impl State {
    fn load(&self, at: usize) -> u8 {
        let own = self.buffer.iter().rev().find(|(place, _)| *place == at);
        own.map_or(self.memory[at], |(_, value)| *value)
    }
    fn drain_one(&mut self) -> bool {
        let Some((at, value)) = self.buffer.pop_front() else { return true };
        self.memory[at] = value;
        // A commit on a shard that is the stopper's.
        !(at == COMMITS && self.has_it)
    }
}

/// One step of the holder: op (0..4), bind (4..8), op (8..12). False when it has ended.
fn holder_step(state: &mut State, without: Option<Guard>) -> bool {
    let (step, is_bind) = (state.holder % 4, state.holder / 4 == 1);
    if state.holder == 12 {
        return false;
    }
    let is_fenced = !(is_bind && without == Some(Guard::BindInside));
    match step {
        0 if is_fenced => state.buffer.push_back((TURN, state.load(TURN) + 1)),
        1 => state.loaded = state.load(if is_bind { SLOT } else { BASE }),
        2 if is_bind && (state.loaded == 1 || without == Some(Guard::BindHolds)) => {
            state.buffer.push_back((BASE, 1));
        }
        2 if !is_bind && state.loaded == 1 => {
            state.buffer.push_back((COMMITS, state.load(COMMITS) + 1));
        }
        3 if is_fenced => state.buffer.push_back((TURN, state.load(TURN) + 1)),
        _ => {}
    }
    state.holder += 1;
    true
}

fn stopper_step(state: &mut State, without: Option<Guard>) -> bool {
    match state.stopper {
        0 => state.memory[SLOT] = 0,
        1 if without != Some(Guard::Miss) => state.memory[BASE] = 0,
        2 if without != Some(Guard::Barrier) => {
            while !state.buffer.is_empty() {
                state.drain_one();
            }
        }
        3 => state.turn_seen = state.memory[TURN],
        4 => {
            let is_out = state.turn_seen.is_multiple_of(2) || without == Some(Guard::Turn);
            let misses = state.memory[BASE] == 0
                || matches!(without, Some(Guard::StillStopped | Guard::Miss));
            state.has_it = is_out && misses;
        }
        5 => return false,
        _ => {}
    }
    state.stopper += 1;
    true
}

/// Whether some order lets the holder commit on a shard that the stopper has, and states seen.
fn goes_wrong(without: Option<Guard>) -> (bool, usize) {
    let start = State {
        memory: [0, 1, 1, 0],
        buffer: VecDeque::new(),
        holder: 0,
        loaded: 0,
        stopper: 0,
        turn_seen: 0,
        has_it: false,
    };
    let (mut seen, mut open, mut wrong) = (HashSet::new(), vec![start], false);
    while let Some(state) = open.pop() {
        if !seen.insert(state.clone()) {
            continue;
        }
        let mut next = state.clone();
        if holder_step(&mut next, without) {
            open.push(next);
        }
        let mut next = state.clone();
        if stopper_step(&mut next, without) {
            open.push(next);
        }
        let mut next = state;
        if !next.buffer.is_empty() {
            wrong |= !next.drain_one();
            open.push(next);
        }
    }
    (wrong, seen.len())
}

#[test]
fn no_order_lets_a_holder_commit_on_a_stopped_shard() {
    let (wrong, states) = goes_wrong(None);
    assert!(!wrong && states > 1000, "{states} states");
}

#[test]
fn each_guard_is_needed() {
    use Guard::{Barrier, BindHolds, BindInside, Miss, StillStopped, Turn};
    let named = [Barrier, Turn, StillStopped, BindHolds, Miss, BindInside];
    for (i, guard) in named.into_iter().enumerate() {
        assert!(goes_wrong(Some(guard)).0, "guard {i} is not needed");
    }
}

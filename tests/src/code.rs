//! Instruction classes of an x86-64 function: of all its body, and of its hit path.
//!
//! ```text
//!   whole   every instruction from the symbol to its end; a jump elsewhere "leaves"
//!   hit     the shortest way from the entry to a return that commits a window:
//!
//!           entry ──▶ … ──▶ [ window ─ no branch taken ─▶ commit store ] ──▶ … ──▶ ret
//!                      └─ cold: call, jump to the slow twin: longer, or without a commit
//! ```
//!
//! Single-stepping cannot show the hit path, because a step is a signal and aborts the window;
//! the graph of the instructions can. A function without windows (another allocator's) has its
//! fall-through way as hit path.

use crate::elf::{Descriptor, Function, Image};
use core::cmp::Reverse;
use core::fmt;
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
};
use std::collections::{BinaryHeap, HashMap};

/// More instructions than any fast path has; a search that sees more is lost.
const SEARCH_LIMIT: usize = 20_000;
/// What a call costs the search, so that a way without one is preferred.
const CALL_COST: u32 = 1_000;

/// How many instructions of each class a function or a path has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All instructions.
    pub total: u32,
    /// Instructions that read memory.
    pub loads: u32,
    /// Instructions that write memory.
    pub stores: u32,
    /// Of these, atomic ones.
    pub locked: u32,
    /// Conditional branches; on a path, those not taken.
    pub branches: u32,
    /// Unconditional jumps within; on a path, also conditional branches that are taken.
    pub taken: u32,
    /// Calls, direct and indirect.
    pub calls: u32,
    /// Returns.
    pub returns: u32,
    /// Jumps to other functions.
    pub leaving: u32,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "total {} loads {} stores {} locked {} branches {} taken {} calls {} returns {} \
             leaving {}",
            self.total,
            self.loads,
            self.stores,
            self.locked,
            self.branches,
            self.taken,
            self.calls,
            self.returns,
            self.leaving
        )
    }
}

/// The two counts of one function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// All of the body.
    pub whole: Counts,
    /// The hit path.
    pub hit: Counts,
    /// Whether the hit path commits a window.
    pub commits: bool,
}

/// Counts the exported function `name` of `image`; none if it is not exported.
#[must_use]
pub fn profile(image: &Image, name: &str) -> Option<Profile> {
    let function = image.function(name)?;
    let (_, _, windows) = image.descriptors();
    let code = Code { image, windows };
    let committing = code.shortest_commit(function.address);
    let commits = committing.is_some();
    let path = committing.unwrap_or_else(|| code.fall_through(function));
    Some(Profile { whole: code.whole(function), hit: count_path(&path), commits })
}

struct Code<'a> {
    image: &'a Image,
    windows: Vec<Descriptor>,
}

type State = (u64, bool);

impl Code<'_> {
    fn decode(&self, address: u64) -> Option<Instruction> {
        if !self.image.is_code(address) {
            return None;
        }
        let bytes = self.image.bytes_at(address)?;
        let instruction = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode();
        (!instruction.is_invalid()).then_some(instruction)
    }

    fn commits(&self, instruction: &Instruction) -> bool {
        self.windows
            .iter()
            .any(|window| window.covers(instruction.ip()) && window.end() == instruction.next_ip())
            && stores(instruction)
    }

    /// Where control may go from `instruction`; calls are stepped over.
    fn successors(&self, instruction: &Instruction) -> Vec<u64> {
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall => {
                vec![instruction.next_ip()]
            }
            FlowControl::ConditionalBranch => {
                vec![instruction.next_ip(), instruction.near_branch_target()]
            }
            FlowControl::UnconditionalBranch => vec![instruction.near_branch_target()],
            _ => Vec::new(),
        }
    }

    /// Dijkstra's search over (address, has committed) for a return after a commit.
    fn shortest_commit(&self, entry: u64) -> Option<Vec<Instruction>> {
        let mut costs: HashMap<State, u32> = HashMap::from([((entry, false), 0)]);
        let mut from: HashMap<State, State> = HashMap::new();
        let mut queue = BinaryHeap::from([Reverse((0u32, entry, false))]);
        let mut seen = 0;
        while let Some(Reverse((cost, address, committed))) = queue.pop() {
            let state = (address, committed);
            if costs[&state] < cost {
                continue;
            }
            seen += 1;
            if seen > SEARCH_LIMIT {
                return None;
            }
            let Some(instruction) = self.decode(address) else {
                continue;
            };
            if committed && instruction.flow_control() == FlowControl::Return {
                return Some(self.walk_back(state, &from));
            }
            let after = committed || self.commits(&instruction);
            let step = if is_call(&instruction) { CALL_COST } else { 1 };
            for next in self.successors(&instruction) {
                let next = (next, after);
                if costs.get(&next).is_none_or(|known| *known > cost + step) {
                    costs.insert(next, cost + step);
                    from.insert(next, state);
                    queue.push(Reverse((cost + step, next.0, next.1)));
                }
            }
        }
        None
    }

    fn walk_back(&self, last: State, from: &HashMap<State, State>) -> Vec<Instruction> {
        let mut states = vec![last];
        while let Some(previous) = states.last().and_then(|state| from.get(state)) {
            states.push(*previous);
        }
        states.iter().rev().filter_map(|state| self.decode(state.0)).collect()
    }

    fn fall_through(&self, function: Function) -> Vec<Instruction> {
        let mut path: Vec<Instruction> = Vec::new();
        let mut address = function.address;
        while path.len() < SEARCH_LIMIT {
            let Some(instruction) = self.decode(address) else {
                break;
            };
            path.push(instruction);
            let Some(next) = self.successors(&instruction).first().copied() else {
                break;
            };
            if next.wrapping_sub(function.address) >= function.size
                || path.iter().any(|earlier| earlier.ip() == next)
            {
                break;
            }
            address = next;
        }
        path
    }

    fn whole(&self, function: Function) -> Counts {
        let mut counts = Counts::default();
        let mut address = function.address;
        while address < function.address + function.size {
            let Some(instruction) = self.decode(address) else {
                break;
            };
            let target = instruction.near_branch_target();
            let inside = target.wrapping_sub(function.address) < function.size;
            match instruction.flow_control() {
                FlowControl::UnconditionalBranch if inside => counts.taken += 1,
                FlowControl::UnconditionalBranch | FlowControl::IndirectBranch => {
                    counts.leaving += 1;
                }
                FlowControl::ConditionalBranch => counts.branches += 1,
                _ => {}
            }
            count_common(&mut counts, &instruction);
            address = instruction.next_ip();
        }
        counts
    }
}

fn is_call(instruction: &Instruction) -> bool {
    matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall)
}

/// Whether an instruction writes memory.
#[must_use]
pub fn stores(instruction: &Instruction) -> bool {
    access(instruction).1
}

/// Whether an instruction reads and writes memory, the stack included.
fn access(instruction: &Instruction) -> (bool, bool) {
    let mut factory = InstructionInfoFactory::new();
    let mut both = (false, false);
    for memory in factory.info(instruction).used_memory() {
        match memory.access() {
            OpAccess::Read | OpAccess::CondRead => both.0 = true,
            OpAccess::Write | OpAccess::CondWrite => both.1 = true,
            OpAccess::ReadWrite | OpAccess::ReadCondWrite => both = (true, true),
            _ => {}
        }
    }
    both
}

fn count_common(counts: &mut Counts, instruction: &Instruction) {
    let (reads, writes) = access(instruction);
    let swaps_memory = instruction.mnemonic() == Mnemonic::Xchg && writes;
    counts.total += 1;
    counts.loads += u32::from(reads);
    counts.stores += u32::from(writes);
    counts.locked += u32::from(instruction.has_lock_prefix() || swaps_memory);
    counts.calls += u32::from(is_call(instruction));
    counts.returns += u32::from(instruction.flow_control() == FlowControl::Return);
}

fn count_path(path: &[Instruction]) -> Counts {
    let mut counts = Counts::default();
    for (i, instruction) in path.iter().enumerate() {
        let next = path.get(i + 1).map(Instruction::ip);
        match instruction.flow_control() {
            FlowControl::ConditionalBranch if next == Some(instruction.next_ip()) => {
                counts.branches += 1;
            }
            FlowControl::ConditionalBranch => counts.taken += 1,
            FlowControl::UnconditionalBranch if next.is_some() => counts.taken += 1,
            FlowControl::UnconditionalBranch | FlowControl::IndirectBranch => counts.leaving += 1,
            _ => {}
        }
        count_common(&mut counts, instruction);
    }
    counts
}

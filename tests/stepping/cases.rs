//! The states that each operation is stopped in: every branch of its window goes both ways.

use crate::world::{
    BEGIN, CAPACITY, CLASS, Operation, Request, State, address_of_node, noise, object, shape,
};
use rseq_sys::cs::INACTIVE;

/// The node that the shard is of.
const NODE: u32 = 3;
/// An object that is nowhere yet.
const NEW: u64 = 0xab00;
const BITS: u64 = 0b1011_0110;

/// One operation in one state.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) before: State,
    pub(crate) request: Request,
    /// Whether the word's owner is the shard that the thread is on.
    pub(crate) is_owner: bool,
}

fn case(name: &str, operation: Operation, before: State, arguments: [u64; 2]) -> Case {
    let request = Request { operation, is_stopped: 0, arguments };
    Case { name: format!("{operation:?}, {name}"), before, request, is_owner: false }
}

fn with(count: usize) -> State {
    State::new(NODE, count)
}

/// A class that has no slots yet, nor its sentinel.
fn inactive() -> State {
    let mut state = with(0);
    state.shard[CLASS] = INACTIVE.0;
    state.shard[BEGIN - 1] = noise(0);
    state
}

/// With a buffer of objects.
fn carrying(mut state: State) -> State {
    state.buffer = core::array::from_fn(|i| NEW + 16 * i as u64);
    state
}

fn stopped(mut case: Case) -> Case {
    case.name += ", stopped shard";
    case.request.is_stopped = 1;
    case
}

fn owned(mut case: Case, word: u64) -> Case {
    case.before.word = word;
    case.is_owner = true;
    case
}

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    [pops(), pushes(), batches(), shapes(), words(), copies()].concat()
}

fn pops() -> Vec<Case> {
    let pop = |name: &str, state: State| case(name, Operation::Pop, state, [0; 2]);
    let mut high = with(CAPACITY);
    // Objects of whatever even address.
    high.shard[BEGIN + CAPACITY - 1] = object(0) << 40;
    vec![
        pop("several", with(3)),
        pop("the last one", with(1)),
        pop("full", high),
        pop("empty", with(0)),
        pop("class without slots", inactive()),
        stopped(pop("several", with(3))),
    ]
}

fn pushes() -> Vec<Case> {
    let mut cases = Vec::new();
    for operation in [Operation::Push, Operation::PushOnNode] {
        let push = |name: &str, state: State| case(name, operation, state, [NEW, NODE.into()]);
        cases.extend([
            push("empty", with(0)),
            push("some", with(3)),
            push("one slot left", with(CAPACITY - 1)),
            push("full", with(CAPACITY)),
            push("class without slots", inactive()),
            stopped(push("some", with(3))),
        ]);
    }
    let elsewhere = [NEW, u64::from(NODE) + 1];
    cases.push(case("another node", Operation::PushOnNode, with(3), elsewhere));
    cases
}

fn batches() -> Vec<Case> {
    let pop =
        |name: &str, state: State, most: u64| case(name, Operation::PopBatch, state, [most, 0]);
    let push = |name: &str, state: State, len: u64, node: u32| {
        case(name, Operation::PushBatch, carrying(state), [len, node.into()])
    };
    let full = CAPACITY as u64;
    vec![
        pop("some of them", with(5), 3),
        pop("all of them", with(3), full),
        pop("as many as there are", with(3), 3),
        pop("one", with(1), 1),
        pop("a full class", with(CAPACITY), full),
        pop("none wanted", with(3), 0),
        pop("empty", with(0), 3),
        pop("class without slots", inactive(), 3),
        stopped(pop("some of them", with(5), 3)),
        push("all fit", with(3), 3, NODE),
        push("some fit", with(CAPACITY - 2), 5, NODE),
        push("one", with(0), 1, NODE),
        push("fills the class", with(0), full, NODE),
        push("full", with(CAPACITY), 3, NODE),
        push("none given", with(3), 0, NODE),
        push("class without slots", inactive(), 3, NODE),
        push("another node", with(3), 3, NODE + 1),
        stopped(push("all fit", with(3), 3, NODE)),
    ]
}

fn shapes() -> Vec<Case> {
    let reshape = |name: &str, state: State, from: u32, to: u32| {
        case(name, Operation::Reshape, state, [from.into(), to.into()])
    };
    let mut narrow = with(2);
    narrow.set_shape(2, 4);
    let grows = reshape("grows", narrow, shape(2, 4), shape(2, CAPACITY));
    vec![
        grows.clone(),
        reshape("shrinks", with(2), shape(2, CAPACITY), shape(2, 2)),
        reshape("stale count", with(2), shape(1, CAPACITY), shape(1, 2)),
        reshape("stale end", with(2), shape(2, 4), shape(2, 2)),
        reshape("first shape", inactive(), INACTIVE.shape(), shape(0, CAPACITY)),
        stopped(grows),
    ]
}

fn words() -> Vec<Case> {
    let on =
        |name: &str, operation: Operation, mask: u64| case(name, operation, with(0), [mask, 0]);
    let mut cases = Vec::new();
    for operation in [Operation::Take, Operation::Put] {
        cases.extend([
            owned(on("some bits", operation, 0b0110_0011), BITS),
            owned(on("all bits", operation, u64::MAX), BITS),
            owned(on("no bits", operation, !BITS), BITS),
            owned(on("an empty word", operation, 1), 0),
            on("another's", operation, u64::MAX),
        ]);
    }
    cases
}

fn copies() -> Vec<Case> {
    let on = case;
    let plain = || State::with_copy(7, 2, 0);
    let list = |nodes| State::with_copy(7, 2, nodes);
    let node = [address_of_node(3), 0];
    let mut cases = vec![
        on("a word", Operation::Add, plain(), [0; 2]),
        on("as expected", Operation::CompareStore, plain(), [7, 0]),
        on("differs", Operation::CompareStore, plain(), [8, 0]),
        on("as expected", Operation::CompareTwoStore, plain(), [7, 2]),
        on("the first differs", Operation::CompareTwoStore, plain(), [2, 2]),
        on("the second differs", Operation::CompareTwoStore, plain(), [7, 7]),
        on("as expected", Operation::CompareStoreStore, plain(), [7, 0]),
        on("differs", Operation::CompareStoreStore, plain(), [8, 0]),
        on("differs", Operation::CompareCopyStore, plain(), [8, 24]),
    ];
    for operation in [Operation::AddThrough, Operation::AddThroughCid, Operation::AddThroughCidAt] {
        cases.push(on("an open route", operation, plain(), [0; 2]));
        cases.push(on("a closed route", operation, plain(), [1, 0]));
    }
    for len in [0, 5, 8, 19] {
        let name = format!("{len} bytes");
        cases.push(on(&name, Operation::CompareCopyStore, plain(), [7, len]));
    }
    for nodes in 0..3 {
        let name = format!("{nodes} nodes");
        cases.push(on(&name, Operation::PushNode, list(nodes), node));
        cases.push(on(&name, Operation::PopNode, list(nodes), [0; 2]));
        cases.push(on(&name, Operation::PopAll, list(nodes), [0; 2]));
    }
    let in_one_row = |case: &Case| {
        let name = format!("{}, one row", case.name);
        Case { name, request: Request { is_stopped: 1, ..case.request }, ..case.clone() }
    };
    let others: Vec<_> = cases.iter().map(in_one_row).collect();
    cases.extend(others);
    cases
}

//! What each operation does, in plain words on plain memory: the contracts of `rseq_sys::cs` and
//! `rseq_sys::copies`.
//!
//! And where a window may write before its commit: words that nobody reads until then.

use crate::world::{
    BEGIN, BUFFER, BYTE, BYTES, CAPACITY, CLASS, COPY, FIRST, FROM, HEAD, NEW, NODE, Operation,
    Outcome, Request, SECOND, SIDE, State, WORDS, address_of_node,
};

/// Where the operation finds itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Whether the thread is registered.
    pub(crate) is_registered: bool,
    /// Its shard index.
    pub(crate) index: u64,
}

/// The state after `request`.
pub(crate) fn after(before: &State, request: &Request, place: Place) -> State {
    /// A stopped shard's sentinel is one of its headers.
    const SENTINEL_OF_MISS: u64 = 3 | 3 << 16;
    let mut state = *before;
    let is_stopped = request.is_stopped != 0;
    state.outcome = match request.operation {
        Operation::Take | Operation::Put => words(&mut state, request, place),
        operation if operation.is_on_copy() => on_copy(&mut state.copy, request, place),
        _ if place.is_registered && !is_stopped => on_shard(&mut state, request),
        Operation::Pop if place.is_registered => number(SENTINEL_OF_MISS),
        Operation::Pop => number(1),
        _ => number(0),
    };
    state
}

fn number(value: u64) -> Outcome {
    Outcome { value, is_some: 1 }
}

fn words(state: &mut State, request: &Request, place: Place) -> Outcome {
    if !place.is_registered || state.owner != place.index {
        return Outcome { value: 0, is_some: 0 };
    }
    let (word, mask) = (state.word, request.arguments[0]);
    if request.operation == Operation::Take {
        state.word = word & !mask;
        return number(word & mask);
    }
    state.word = word | mask;
    number(word)
}

/// The class's header in parts: `cur`, `end`, operations.
fn header(state: &State) -> (usize, usize, u32) {
    let word = state.shard[CLASS];
    (word as u16 as usize, (word >> 16) as u16 as usize, (word >> 32) as u32)
}

fn set_header(state: &mut State, cur: usize, end: usize, ops: u32) {
    state.shard[CLASS] = cur as u64 | (end as u64) << 16 | u64::from(ops) << 32;
}

fn on_shard(state: &mut State, request: &Request) -> Outcome {
    let (cur, end, ops) = header(state);
    let [a, b] = request.arguments;
    let is_on_node = b == state.shard[0] >> 32;
    number(match request.operation {
        Operation::Pop => {
            let top = state.shard[cur - 1];
            if top & 1 == 0 {
                set_header(state, cur - 1, end, ops + 1);
            }
            top
        }
        Operation::PushOnNode | Operation::PushBatch if !is_on_node => 0,
        Operation::Push | Operation::PushOnNode => {
            if cur != end {
                state.shard[cur] = a;
                set_header(state, cur + 1, end, ops + 1);
            }
            u64::from(cur != end)
        }
        Operation::PopBatch => {
            let n = cur.saturating_sub(BEGIN).min(a as usize);
            let objects = state.shard[cur - n..cur].to_vec();
            state.buffer[..n].copy_from_slice(&objects);
            set_header(state, cur - n, end, ops);
            n as u64
        }
        Operation::PushBatch => {
            let n = (end - cur).min(a as usize);
            let objects = state.buffer[..n].to_vec();
            state.shard[cur..cur + n].copy_from_slice(&objects);
            set_header(state, cur + n, end, ops);
            n as u64
        }
        Operation::Reshape => {
            let is_expected = state.shard[CLASS] as u32 == a as u32;
            if is_expected {
                state.shard[BEGIN - 1] = 1;
                set_header(state, b as u16 as usize, (b >> 16) as u16 as usize, ops);
            }
            is_expected.into()
        }
        _ => unreachable!("they are on words, or on copies"),
    })
}

fn on_copy(copy: &mut [u64; COPY], request: &Request, place: Place) -> Outcome {
    let [e, f] = request.arguments;
    if !place.is_registered {
        return Outcome { value: 0, is_some: 0 };
    }
    let (first, second, head) = (copy[FIRST], copy[SECOND], copy[HEAD]);
    let node = |address: u64| NODE + (address - address_of_node(0)) as usize / 8;
    let differs = |value| Outcome { value, is_some: 2 };
    match request.operation {
        Operation::Add => copy[FIRST] = first.wrapping_add(NEW),
        Operation::AddThrough | Operation::AddThroughCid | Operation::AddThroughCidAt => {
            // Closed.
            if e & 1 == 1 {
                return Outcome { value: 0, is_some: 0 };
            }
            copy[FIRST] = first.wrapping_add(NEW);
        }
        Operation::PushNode => {
            copy[node(e) + 1] = head;
            copy[HEAD] = e;
            return number(head);
        }
        Operation::PopNode if head == 0 => return differs(0),
        Operation::PopNode => {
            copy[HEAD] = copy[node(head) + 1];
            return number(head);
        }
        Operation::PopAll => {
            copy[HEAD] = 0;
            return number(head);
        }
        _ if first != e => return differs(first),
        Operation::CompareTwoStore if second != f => return differs(second),
        operation => {
            match operation {
                Operation::CompareStoreStore => copy[SIDE] = NEW,
                Operation::CompareCopyStore => copy_bytes(copy, f as usize),
                _ => {}
            }
            copy[FIRST] = NEW;
            return number(first);
        }
    }
    number(0)
}

fn copy_bytes(copy: &mut [u64; COPY], len: usize) {
    for (i, byte) in FROM[..len].iter().enumerate() {
        let (word, shift) = (BYTES + (BYTE + i) / 8, (BYTE + i) % 8 * 8);
        copy[word] = copy[word] & !(0xff << shift) | u64::from(*byte) << shift;
    }
}

/// A word of the state, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Shard(usize),
    Bits,
    Owner,
    Buffer(usize),
    Copy(usize),
    Outcome,
}

fn each(state: &State) -> impl Iterator<Item = (Word, u64)> + '_ {
    let shard = (0..WORDS).map(|i| (Word::Shard(i), state.shard[i]));
    let buffer = (0..BUFFER).map(|i| (Word::Buffer(i), state.buffer[i]));
    let copy = (0..COPY).map(|i| (Word::Copy(i), state.copy[i]));
    let others = [
        (Word::Bits, state.word),
        (Word::Owner, state.owner),
        (Word::Outcome, state.outcome.value),
        (Word::Outcome, state.outcome.is_some),
    ];
    shard.chain(buffer).chain(copy).chain(others)
}

/// Whether `operation` may write to `word` before its commit, the state being `before`:
/// - a push: the slots from `cur` to the class's last;
/// - a batch that is popped: the caller's buffer;
/// - a new shape: the class's sentinel, which is the same ever after;
/// - a second word or bytes of a copy: what nobody looks at before they see the first word;
/// - a node that is pushed: its link, for nobody else has the node.
fn is_scratch(operation: Operation, before: &State, word: Word) -> bool {
    let (cur, ..) = header(before);
    match (operation, word) {
        (Operation::Push | Operation::PushOnNode | Operation::PushBatch, Word::Shard(i)) => {
            (cur..BEGIN + CAPACITY).contains(&i)
        }
        (Operation::PopBatch, Word::Buffer(_)) => true,
        (Operation::Reshape, Word::Shard(i)) => i == BEGIN - 1,
        (Operation::CompareStoreStore, Word::Copy(i)) => i == SIDE,
        (Operation::CompareCopyStore, Word::Copy(i)) => (BYTES..NODE).contains(&i),
        (Operation::PushNode, Word::Copy(i)) => i >= NODE,
        _ => false,
    }
}

/// The words that the window writes on the way to its commit.
pub(crate) fn written_early(operation: Operation, before: &State, after: &State) -> Vec<Word> {
    let changed = each(before).zip(each(after)).filter(|((_, was), (_, after))| was != after);
    changed.map(|((word, _), _)| word).filter(|word| is_scratch(operation, before, *word)).collect()
}

/// The first word of `now` that is not as `before` where the commit has not come; a scratch word
/// may also be as `after`.
pub(crate) fn partial_effect(
    operation: Operation,
    now: &State,
    before: &State,
    after: &State,
) -> Option<String> {
    let words = each(now).zip(each(before)).zip(each(after));
    words.map(|(((word, now), (_, was)), (_, after))| (word, now, was, after)).find_map(
        |(word, now, was, after)| {
            // Bytes that are copied need not fill their words.
            let is_done = match operation {
                Operation::CompareCopyStore => is_between(now, was, after),
                _ => now == after,
            };
            let is_early = now != was && !(is_done && is_scratch(operation, before, word));
            is_early.then(|| format!("{word:?} was {was:#x}, is {now:#x}"))
        },
    )
}

/// Whether each byte of `now` is that of one of the others.
fn is_between(now: u64, was: u64, after: u64) -> bool {
    let mut bytes = now.to_ne_bytes().into_iter().zip(was.to_ne_bytes()).zip(after.to_ne_bytes());
    bytes.all(|((now, was), after)| now == was || now == after)
}

/// The first word of `now` that is not as in `wanted`.
pub(crate) fn difference(now: &State, wanted: &State) -> Option<String> {
    let mut pairs = each(now).zip(each(wanted));
    let found = pairs.find(|((_, now), (_, wanted))| now != wanted);
    found.map(|((word, now), (_, wanted))| format!("{word:?} is {now:#x}, not {wanted:#x}"))
}

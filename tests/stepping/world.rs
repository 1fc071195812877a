//! The memory that one operation works on, shared by the tracer and the traced.
//!
//! ```text
//!   World (MAP_SHARED, AT)                                 private to each
//!   shard    headers, slots: one shard, whatever the cid   table[0], table[1]
//!   word, owner, buffer      what else sections touch        every entry ─► shard
//!   copy                     what sections on copies touch   every entry ─► MISS
//!   outcome                  what the operation returned
//!   request                  what to do next
//!   index                    the shard index around it
//! ```
//!
//! The same page is mapped once more for each cid, a page apart: whatever copy a section on copies
//! finds, it is this one.
//!
//! The tracer writes state and request while the traced waits at its `int3`, and reads both
//! through its own mapping whenever the traced is stopped.
#![allow(unsafe_code)]

use cidalloc::os;
use core::arch::asm;
use core::mem::offset_of;
use core::ptr::{null_mut, without_provenance_mut};
use rseq_sys::copies::{self, Current};
use rseq_sys::cs::{self, Anchor, CID_BITS, HEADERS, Header, INACTIVE, MISS, home_of_shard};
use rseq_sys::registration::Registration;

/// The class that operations are on.
pub(crate) const CLASS: usize = 7;
/// Its first slot.
pub(crate) const BEGIN: usize = HEADERS + 17;
/// Its slots.
pub(crate) const CAPACITY: usize = 8;
/// Words of the shard; those that belong to no header and to no slot must never change.
pub(crate) const WORDS: usize = HEADERS + 64;
/// Words of the caller's buffer.
pub(crate) const BUFFER: usize = 12;
/// Rows of the tables: more nodes than there are.
const NODES: usize = 64;

/// Words of the copy: those that are compared, the head of a list, what nobody looks at before a
/// commit (a word, and bytes), and nodes of a list of two words each.
pub(crate) const COPY: usize = 18;
pub(crate) const FIRST: usize = 1;
pub(crate) const SECOND: usize = 2;
pub(crate) const HEAD: usize = 3;
pub(crate) const SIDE: usize = 4;
pub(crate) const BYTES: usize = 5;
pub(crate) const NODE: usize = 10;
/// What is written where a section on copies has something to write, and added.
pub(crate) const NEW: u64 = 0x7777_0001;
/// Where the bytes begin in their first word.
pub(crate) const BYTE: usize = 3;
/// What is copied.
pub(crate) const FROM: [u8; 24] = *b"copied by words and byte";

/// Where the world is mapped: nodes of lists have addresses.
const AT: usize = 0x1234_5678_0000;
/// A world is no longer than this.
const SHIFT: u32 = 12;
const _: () = assert!(size_of::<World>() <= 1 << SHIFT);

/// The address of node `i`.
pub(crate) const fn address_of_node(i: usize) -> u64 {
    (AT + offset_of!(World, state) + offset_of!(State, copy) + (NODE + 2 * i) * 8) as u64
}
/// Where a node has the address of the next one.
const NEXT: usize = 8;

/// One operation of `rseq_sys::cs`, or of `rseq_sys::copies`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u64)]
pub(crate) enum Operation {
    Pop,
    Push,
    PushOnNode,
    PopBatch,
    PushBatch,
    Reshape,
    Take,
    Put,
    Add,
    CompareStore,
    CompareTwoStore,
    CompareStoreStore,
    PushNode,
    PopNode,
    PopAll,
    CompareCopyStore,
    AddThrough,
    AddThroughCid,
    AddThroughCidAt,
}

impl Operation {
    /// Whether it is one of `rseq_sys::copies`.
    pub(crate) fn is_on_copy(self) -> bool {
        self >= Self::Add
    }
}

/// What an operation returned: its number, and whether there was one; 2 for a word that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Outcome {
    pub(crate) value: u64,
    pub(crate) is_some: u64,
}

/// What the traced does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Request {
    pub(crate) operation: Operation,
    /// Whether the shard is stopped; of an operation on copies, whether there is one row alone.
    pub(crate) is_stopped: u64,
    pub(crate) arguments: [u64; 2],
}

/// All that sections read and write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct State {
    pub(crate) shard: [u64; WORDS],
    pub(crate) word: u64,
    pub(crate) owner: u64,
    pub(crate) buffer: [u64; BUFFER],
    pub(crate) copy: [u64; COPY],
    pub(crate) outcome: Outcome,
}

/// The shared memory.
#[repr(C)]
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) request: Request,
    /// The shard index before and after the operation: `u64::MAX` for none.
    pub(crate) index: [u64; 2],
}

/// A word that no operation leaves anywhere: not even, not a header, not an address.
pub(crate) fn noise(i: usize) -> u64 {
    (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
}

/// The object in slot `i`.
pub(crate) fn object(i: usize) -> u64 {
    0x1000 + 16 * i as u64
}

/// `cur` and `end` of the class with `count` objects in `capacity` slots.
pub(crate) fn shape(count: usize, capacity: usize) -> u32 {
    Header::empty((BEGIN + count) as u16, (capacity - count) as u16).shape()
}

impl State {
    /// A shard of `node` with `count` objects in its class; all else is noise.
    pub(crate) fn new(node: u32, count: usize) -> Self {
        let mut shard = core::array::from_fn(noise);
        shard[..HEADERS].fill(INACTIVE.0);
        shard[0] = home_of_shard(node).0;
        shard[BEGIN - 1] = 1;
        for i in 0..count {
            shard[BEGIN + i] = object(i);
        }
        let mut state = Self {
            shard,
            word: 0,
            owner: 0,
            buffer: core::array::from_fn(|i| noise(i + WORDS)),
            copy: core::array::from_fn(|i| noise(i + WORDS + BUFFER)),
            outcome: Outcome { value: noise(1), is_some: noise(2) },
        };
        state.set_shape(count, CAPACITY);
        state
    }

    /// A copy with these words and a list of `nodes` nodes, the last of them first.
    pub(crate) fn with_copy(first: u64, second: u64, nodes: usize) -> Self {
        let mut state = Self::new(0, 0);
        (state.copy[FIRST], state.copy[SECOND], state.copy[HEAD]) = (first, second, 0);
        for i in 0..nodes {
            state.copy[NODE + 2 * i + 1] = state.copy[HEAD];
            state.copy[HEAD] = address_of_node(i);
        }
        state
    }

    /// Says that of `capacity` slots `count` hold objects.
    pub(crate) fn set_shape(&mut self, count: usize, capacity: usize) {
        const OPS: u64 = 41;
        self.shard[CLASS] = u64::from(shape(count, capacity)) | OPS << 32;
    }
}

/// The shared memory with the tables that lead to it.
pub(crate) struct Shared {
    world: *mut World,
    anchors: [Anchor; 2],
    /// With rows, and with one row alone.
    currents: [Current; 2],
    /// The world as copy 0.
    copies: *mut World,
}

impl Shared {
    /// For sections on `registration`'s areas.
    pub(crate) fn new(registration: &Registration) -> Self {
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
        );
        let at = without_provenance_mut(AT);
        // SAFETY: a new mapping where nothing is.
        let memory = unsafe { libc::mmap(at, size_of::<World>(), protection, flags, -1, 0) };
        assert_eq!(memory, at, "{}", std::io::Error::last_os_error());
        let world: *mut World = memory.cast();
        // SAFETY: within the mapping, which begins with the shard.
        let shard: *mut u64 = unsafe { (&raw mut (*world).state.shard).cast() };
        let table = |base: *mut u64| vec![base; NODES << CID_BITS].leak().as_ptr();
        let anchors =
            [shard, MISS.base()].map(|base| Anchor::new(registration, false, table(base)));
        let current = || Current::new(registration, false, vec![0; NODES].leak());
        let one_row = current();
        let rows = Current { several: one_row.rows, ..current() };
        Self { world, anchors, currents: [rows, one_row], copies: aliases(world) }
    }

    /// Writes all of it, while the traced is stopped.
    pub(crate) fn set(&self, state: &State, request: Request) {
        // SAFETY: our own mapping; nobody else runs.
        unsafe { self.world.write(World { state: *state, request, index: [u64::MAX; 2] }) };
    }

    /// What the sections see, while the traced is stopped.
    pub(crate) fn state(&self) -> State {
        // SAFETY: as above; volatile, since the traced writes it.
        unsafe { (&raw const (*self.world).state).read_volatile() }
    }

    /// Where the slot `slot` of the shard is, in both processes.
    pub(crate) fn address_of_slot(&self, slot: usize) -> u64 {
        // SAFETY: as above; the mapping is at the same place in parent and child.
        unsafe { (&raw const (*self.world).state.shard[slot]).addr() as u64 }
    }

    /// As [`Self::address_of_slot`], of a word of the buffer.
    pub(crate) fn address_in_buffer(&self, i: usize) -> u64 {
        // SAFETY: as above.
        unsafe { (&raw const (*self.world).state.buffer[i]).addr() as u64 }
    }

    /// As [`Self::address_of_slot`], of a word of the copy: where it is written at shard `index`.
    pub(crate) fn address_in_copy(&self, i: usize, index: u64) -> u64 {
        let number = index & ((1 << CID_BITS) - 1);
        // Nodes have addresses of their own.
        let world =
            if i < NODE { self.copies.addr() as u64 + (number << SHIFT) } else { AT as u64 };
        world + (offset_of!(World, state) + offset_of!(State, copy) + i * 8) as u64
    }

    /// The shard index before and after the operation.
    pub(crate) fn index(&self) -> [u64; 2] {
        // SAFETY: as above.
        unsafe { (&raw const (*self.world).index).read_volatile() }
    }

    /// The traced's part: operation after operation, an `int3` before each. Allocates nothing.
    pub(crate) fn serve(&self) {
        let index = |anchor: &Anchor| {
            // SAFETY: the anchor's offsets are those of this process's areas.
            unsafe { anchor.shard_index() }.map_or(u64::MAX, u64::from)
        };
        loop {
            // SAFETY: the tracer catches it, and lets this process run on behind it.
            unsafe { asm!("int3", options(nostack)) };
            // SAFETY: the shared mapping, which the tracer wrote while we were stopped.
            unsafe {
                let world = self.world;
                let request = (&raw const (*world).request).read_volatile();
                let which = usize::from(request.is_stopped != 0);
                let (anchor, current) = (&self.anchors[which], &self.currents[which]);
                (&raw mut (*world).index[0]).write_volatile(index(anchor));
                let outcome = if request.operation.is_on_copy() {
                    perform_on_copy(current, self.copies, &request)
                } else {
                    perform(anchor, world, &request)
                };
                (&raw mut (*world).state.outcome).write_volatile(outcome);
                (&raw mut (*world).index[1]).write_volatile(index(anchor));
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which nobody uses any more: the next one has its place.
        unsafe { libc::munmap(self.world.cast(), size_of::<World>()) };
    }
}

/// One operation on the shared memory.
///
/// # Safety
/// `anchor` leads to a shard of `world`'s layout, or to `MISS`.
#[inline(never)]
unsafe fn perform(anchor: &Anchor, world: *mut World, request: &Request) -> Outcome {
    let some = |value: u64| Outcome { value, is_some: 1 };
    let maybe = |value: Option<u64>| value.map_or(Outcome { value: 0, is_some: 0 }, some);
    let [a, b] = request.arguments;
    // SAFETY: class, begin and buffer are the world's; arguments are in their bounds.
    unsafe {
        let buffer: *mut usize = (&raw mut (*world).state.buffer).cast();
        let word = &raw mut (*world).state.word;
        let owner: *const u32 = (&raw const (*world).state.owner).cast();
        match request.operation {
            Operation::Pop => some(cs::pop(anchor, CLASS) as u64),
            Operation::Push => some(cs::push(anchor, CLASS, a as usize).into()),
            Operation::PushOnNode => {
                some(cs::push_on_node(anchor, CLASS, a as usize, b as u32).into())
            }
            Operation::PopBatch => {
                some(cs::pop_batch(anchor, CLASS, BEGIN, buffer, a as usize) as u64)
            }
            Operation::PushBatch => {
                some(cs::push_batch(anchor, CLASS, buffer, a as usize, b as u32) as u64)
            }
            Operation::Reshape => {
                some(cs::reshape(anchor, CLASS, BEGIN, a as u32, b as u32).into())
            }
            Operation::Take => maybe(cs::take(anchor, owner, word, a)),
            Operation::Put => maybe(cs::put(anchor, owner, word, a)),
            _ => unreachable!("an operation on copies"),
        }
    }
}

/// The world's page once for each cid that there may be, a page apart: every copy is the same.
fn aliases(world: *mut World) -> *mut World {
    let copies = os::possible_cpus().map_or(cs::CIDS_PER_NODE, |cpus| cpus as usize);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping touches nothing.
    let base = unsafe { libc::mmap(null_mut(), copies << SHIFT, libc::PROT_NONE, flags, -1, 0) };
    assert_ne!(base, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    for number in 0..copies {
        let at = base.wrapping_byte_add(number << SHIFT);
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: in the place of what was just reserved; a length of 0 leaves a shared mapping
        // where it is, and maps it once more.
        let alias = unsafe { libc::mremap(world.cast(), 0, 1 << SHIFT, flags, at) };
        assert_eq!(alias, at, "{}", std::io::Error::last_os_error());
    }
    base.cast()
}

/// One operation on the copy in the shared memory.
///
/// # Safety
/// `world` is one of as many worlds as there are copies.
#[inline(never)]
unsafe fn perform_on_copy(current: &Current, world: *mut World, request: &Request) -> Outcome {
    let [e, f] = request.arguments;
    // SAFETY: words of a copy, in the world's memory.
    let outcome = unsafe {
        let copy: *mut u64 = (&raw mut (*world).state.copy).cast();
        let [first, second, head, side] = [FIRST, SECOND, HEAD, SIDE].map(|i| copy.add(i));
        let bytes = copy.add(BYTES).cast::<u8>().add(BYTE);
        let added = |is_added: bool| match is_added {
            true => copies::Outcome::Done(0),
            false => copies::Outcome::NoCid,
        };
        // Open routes lead to the copy, or to the word in it; closed ones are arguments.
        let offset = FIRST * size_of::<u64>();
        let to = |at: *mut u64| if e == 0 { at.expose_provenance() } else { e as usize };
        let routes = [to(copy), to(first)];
        let [to_copy, to_word] = routes.each_ref().map(core::ptr::from_ref);
        match request.operation {
            Operation::Add => added(copies::add(current, SHIFT, first, NEW)),
            Operation::AddThrough => {
                added(copies::add_through::<SHIFT>(current, to_copy, offset, NEW))
            }
            Operation::AddThroughCid => {
                added(copies::add_through_cid::<SHIFT>(current.area, to_word, NEW))
            }
            Operation::AddThroughCidAt => {
                added(copies::add_through_cid_at::<SHIFT>(current.area, to_copy, offset, NEW))
            }
            Operation::CompareStore => copies::compare_store(current, SHIFT, first, e, NEW),
            Operation::CompareTwoStore => {
                copies::compare_two_store(current, SHIFT, first, e, second, f, NEW)
            }
            Operation::CompareStoreStore => {
                copies::compare_store_store(current, SHIFT, first, e, NEW, side, NEW)
            }
            Operation::PushNode => {
                let node = core::ptr::with_exposed_provenance_mut(e as usize);
                copies::push(current, SHIFT, head, node, NEXT)
            }
            Operation::PopNode => copies::pop(current, SHIFT, head, NEXT),
            Operation::PopAll => copies::pop_all(current, SHIFT, head),
            _ => {
                let (from, len) = (FROM.as_ptr(), f as usize);
                copies::compare_copy_store(current, SHIFT, first, e, NEW, bytes, from, len)
            }
        }
    };
    match outcome {
        copies::Outcome::Done(value) => Outcome { value, is_some: 1 },
        copies::Outcome::Differs(value) => Outcome { value, is_some: 2 },
        copies::Outcome::NoCid => Outcome { value: 0, is_some: 0 },
    }
}

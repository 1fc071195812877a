//! Who is compared, in the order of the tables.

mod counter;
mod items;
mod list;
mod reader;
mod ring;

use core::hint::black_box;

use cidalloc_benches::pools::samples::Group;
use cidpool::{Pool, Ring};

use crate::threads::{Cost, Load};

/// One way to do what a group is about.
pub(crate) struct Contender {
    pub(crate) group: Group,
    pub(crate) name: &'static str,
    pub(crate) uses_cids: bool,
    pub(crate) run: fn(Load) -> Cost,
}

const fn other(group: Group, name: &'static str, run: fn(Load) -> Cost) -> Contender {
    Contender { group, name, uses_cids: false, run }
}

const fn ours(group: Group, name: &'static str, run: fn(Load) -> Cost) -> Contender {
    Contender { group, name, uses_cids: true, run }
}

/// All of them.
pub(crate) const ALL: &[Contender] = &[
    other(Group::Counter, "one AtomicU64", counter::atomic),
    other(Group::Counter, "AtomicU64 per CPU, sched_getcpu", counter::atomic_per_cpu),
    other(Group::Counter, "AtomicU64 per thread", counter::atomic_per_thread),
    other(Group::Counter, "thread_local! Cell", counter::thread_local),
    ours(Group::Counter, "Counter, spread", counter::spread),
    ours(Group::Counter, "Counter", counter::counter),
    ours(Group::Counter, "PerCid word", counter::word),
    other(Group::List, "Box::new, drop", list::allocator),
    other(Group::List, "Mutex<Vec>", list::mutex),
    other(Group::List, "SegQueue", list::seg_queue),
    other(Group::List, "ArrayQueue", list::array_queue),
    ours(Group::List, "FreeList", list::free_list),
    ours(Group::List, "List", list::list),
    other(Group::Ring, "Mutex<ring>", ring::mutex),
    other(Group::Ring, "ArrayQueue", ring::array_queue),
    other(Group::Ring, "crossbeam-channel", ring::channel),
    ours(Group::Ring, "Ring", ring::ring),
    other(Group::Reader, "Mutex<Vec>", reader::mutex),
    other(Group::Reader, "mpsc::sync_channel", reader::mpsc),
    other(Group::Reader, "crossbeam-channel", reader::crossbeam),
    ours(Group::Reader, "Ring", reader::ring),
    other(Group::Items, "Mutex<pool>", items::mutex),
    ours(Group::Items, "Pool", items::pool),
    ours(Group::Items, "Pool, 32 at once", items::many),
    ours(Group::Items, "Pool, zeroed", items::zeroed),
];

/// What a tracer writes down.
#[derive(Clone, Copy, Default)]
struct Event {
    stamp: u64,
    payload: [u8; PAYLOAD],
}

impl Event {
    /// What a reader does with it.
    fn look(self) {
        black_box((self.stamp, self.payload));
    }
}

const PAYLOAD: usize = 32;

/// Events that a buffer has room for.
const EVENTS: usize = 2048;
/// Bytes of a cid's ring: two have somewhat less memory than a buffer.
const RING: usize = 32 << 10;

fn pool_of_rings() -> Pool {
    pool(Ring::item_len(RING))
}

fn pool(item_len: usize) -> Pool {
    let pool = Pool::builder(item_len).name("bench").build();
    pool.unwrap_or_else(|error| panic!("no pool: {error}"))
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn every_contender_runs() {
        let load = Load { threads: 3, interval: Duration::from_millis(1) };
        for contender in ALL {
            let cost = (contender.run)(load);
            assert!(cost.wall_ns > 0.0 && cost.wall_ns.is_finite(), "{}", contender.name);
        }
    }

    #[test]
    fn names_of_a_group_differ() {
        for (n, one) in ALL.iter().enumerate() {
            assert!(ALL[..n].iter().all(|c| (c.group, c.name) != (one.group, one.name)));
        }
    }
}

//! Taking an object for use, and giving it back: an object pool's work.
//!
//! ```text
//!   pop ─► an object, or a new one ─► push        one at a time in each thread's hands
//! ```

use core::hint::black_box;
use std::sync::Mutex;

use cidpool::{FreeList, List, Node};
use crossbeam_queue::{ArrayQueue, SegQueue};

use crate::threads::{Cost, Load};

/// What is used again.
#[derive(Default)]
struct Object([u64; 8]);

impl Object {
    /// Writes to it, as whoever wanted it does.
    fn touch(&mut self) {
        self.0[0] += 1;
        black_box(self);
    }
}

const ROOM: usize = 1024;

/// Nothing is kept: what a list saves.
pub(super) fn allocator(load: Load) -> Cost {
    load.run(|_| (), |()| Box::<Object>::default().touch())
}

pub(super) fn mutex(load: Load) -> Cost {
    let list = Mutex::new(Vec::with_capacity(ROOM));
    let locked = || list.lock().unwrap_or_else(|_| panic!("a contender panicked"));
    load.run(
        |_| (),
        |()| {
            let mut object: Box<Object> = locked().pop().unwrap_or_default();
            object.touch();
            locked().push(object);
        },
    )
}

pub(super) fn seg_queue(load: Load) -> Cost {
    let queue = SegQueue::<Box<Object>>::new();
    load.run(
        |_| (),
        |()| {
            let mut object = queue.pop().unwrap_or_default();
            object.touch();
            queue.push(object);
        },
    )
}

pub(super) fn array_queue(load: Load) -> Cost {
    let queue = ArrayQueue::<Box<Object>>::new(ROOM);
    load.run(
        |_| (),
        |()| {
            let mut object = queue.pop().unwrap_or_default();
            object.touch();
            drop(queue.push(object));
        },
    )
}

pub(super) fn free_list(load: Load) -> Cost {
    let pool = super::pool(256);
    let list = FreeList::<Object>::new(&pool, 64).unwrap_or_else(|error| panic!("{error}"));
    load.run(
        |_| (),
        |()| {
            let mut object = list.pop().unwrap_or_default();
            object.touch();
            drop(list.push(object));
        },
    )
}

/// The same without a bound, and without a way from cid to cid.
pub(super) fn list(load: Load) -> Cost {
    let pool = super::pool(size_of::<u64>());
    let list = List::<Object>::new(&pool).unwrap_or_else(|error| panic!("{error}"));
    load.run(
        |_| (),
        |()| {
            let popped = list.pop().ok().flatten();
            let mut node = popped.unwrap_or_else(|| Node::new(Object::default()));
            node.touch();
            drop(list.push(node));
        },
    )
}

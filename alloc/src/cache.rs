//! Capacities: how many objects of a class a shard may keep, grown by need under a budget.
//!
//! ```text
//!  slots of a class   [1│p p p p·········│            never touched             ]
//!                        ▲ begin   cur   ▲ end                     begin + capacity_max
//!  refill misses ──► end moves right, while the shard's classes together stay in budget;
//!  over budget    ──► the next class in turn gives half of its room away
//! ```
//!
//! A class grows beyond one batch only when refills and flushes alternate: then more slots
//! would have kept the objects here. A producer's cid, which only refills, and a consumer's,
//! which only flushes, gain nothing from more.
#![allow(unsafe_code)]

use crate::config::HAND_MAX;
use crate::flush::Homeward;
use crate::ids::SizeClass;
use crate::section;
use crate::shard::Shard;
use crate::size_class::CLASSES;
use rseq_sys::cs::{Header, INACTIVE};
use rseq_sys::sync::Ordering::Relaxed;

/// Which slow operation the fast one became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Miss {
    /// No object was there.
    Refill = 1,
    /// No room was there.
    Flush = 2,
}

/// Classes asked to give room away before growth is given up.
const VICTIMS: u32 = 8;

/// Adjusts the capacity of `class` after a miss and returns it: 0 without a cache.
pub fn adjust(shard: &Shard<'_>, class: SizeClass, miss: Miss) -> usize {
    let Some(header) = shard.header(class) else {
        return 0;
    };
    let info = class.info();
    let state = shard.arena.class(class);
    state.counters.fast_ops.see(header.ops());
    let alternates = state.last_miss.swap(miss as u8, Relaxed) != miss as u8;
    if header.shape() == INACTIVE.shape() {
        let capacity = info.capacity_min;
        let shape = Header::empty(info.begin, capacity).shape();
        let bytes = capacity as usize * info.size as usize;
        if reshape(shard, class, header, shape) {
            shard.arena.capacity_bytes.fetch_add(bytes, Relaxed);
        }
        return capacity as usize;
    }
    let capacity = header.end().wrapping_sub(info.begin).min(info.capacity_max);
    let limit = if alternates { info.capacity_max } else { info.capacity_max.min(info.batch) };
    let wanted = capacity.saturating_mul(2).min(limit);
    if wanted <= capacity || !make_room(shard, class, (wanted - capacity) as usize) {
        return capacity as usize;
    }
    let bytes = (wanted - capacity) as usize * info.size as usize;
    let shape = u32::from(header.current()) | u32::from(info.begin + wanted) << 16;
    if !reshape(shard, class, header, shape) {
        shard.arena.unbook(bytes);
        return capacity as usize;
    }
    wanted as usize
}

fn reshape(shard: &Shard<'_>, class: SizeClass, from: Header, to: u32) -> bool {
    // SAFETY: `to` is the class's first shape, or the same objects with an end inside the
    // class's slots.
    unsafe { section::reshape(shard.heap, class, from.shape(), to) }
}

/// Books room for `objects` more of `class`, taking it from other classes when the budget is
/// used up. False when they have none to give.
fn make_room(shard: &Shard<'_>, class: SizeClass, objects: usize) -> bool {
    let arena = shard.arena;
    let bytes = objects * class.info().size as usize;
    let budget = shard.heap.options.cache_bytes_max;
    for _ in 0..VICTIMS {
        if arena.capacity_bytes.load(Relaxed) + bytes <= budget {
            break;
        }
        let victim = arena.hand.fetch_add(1, Relaxed) as usize % (CLASSES - 1) + 1;
        if victim != class.index() {
            shrink(shard, SizeClass(victim as u8));
        }
    }
    if arena.capacity_bytes.load(Relaxed) + bytes > budget {
        return false;
    }
    arena.capacity_bytes.fetch_add(bytes, Relaxed);
    true
}

/// Halves the room of `class`.
fn shrink(shard: &Shard<'_>, class: SizeClass) {
    let info = class.info();
    if let Some(header) = shard.header(class) {
        let capacity = header.end().wrapping_sub(info.begin);
        shrink_to(shard, class, (capacity / 2).max(info.capacity_min));
    }
}

/// Takes room from `class` until `new` objects are left of it, sending objects home that have no
/// place any more.
fn shrink_to(shard: &Shard<'_>, class: SizeClass, new: u16) {
    let info = class.info();
    let Some(header) = shard.header(class) else {
        return;
    };
    let capacity = header.end().wrapping_sub(info.begin);
    if header.shape() == INACTIVE.shape() || capacity <= new {
        return;
    }
    let count = header.current().wrapping_sub(info.begin);
    if count > new {
        send_home(shard, class, (count - new) as usize);
    }
    let Some(header) = shard.header(class) else {
        return;
    };
    let shape = u32::from(header.current()) | u32::from(info.begin + new) << 16;
    if header.end() == info.begin + capacity
        && header.current() <= info.begin + new
        && reshape(shard, class, header, shape)
    {
        let bytes = (capacity - new) as usize * info.size as usize;
        shard.arena.unbook(bytes);
    }
}

/// Pops up to `count` objects of the calling thread's shard and sends them home. Returns how
/// many.
pub fn send_home(shard: &Shard<'_>, class: SizeClass, count: usize) -> usize {
    let mut home = Homeward::new(shard.heap, class);
    let mut hand = [0usize; HAND_MAX];
    let mut left = count;
    while left > 0 {
        let room = left.min(HAND_MAX);
        let popped = pop_batch(shard, class, &mut hand[..room]);
        home.add(&hand[..popped]);
        left -= popped;
        if popped < room {
            break;
        }
    }
    home.finish();
    count - left
}

/// Sends the objects of `class` home and gives its room back but for the least, if there was no
/// fast operation on it since the last call; true then. For the shard of the calling thread.
pub fn drop_unused(shard: &Shard<'_>, class: SizeClass) -> bool {
    let Some(header) = shard.header(class) else {
        return false;
    };
    let before = shard.arena.class(class).ops_at_tidy.swap(header.ops(), Relaxed);
    let unused = before == header.ops() && header.shape() != INACTIVE.shape();
    if unused {
        send_home(shard, class, usize::MAX);
        shrink_to(shard, class, class.info().capacity_min);
    }
    unused
}

/// Sends home what the shard of the calling thread holds, `shard` as far as that is known.
pub fn empty(shard: &Shard<'_>) {
    if !shard.has_cache() {
        // Without a source of ids no section may run: the table has no row for this thread.
        return;
    }
    for class in 1..CLASSES {
        send_home(shard, SizeClass(class as u8), usize::MAX);
    }
}

/// Pops objects of the calling thread's shard into `buffer`; returns how many.
fn pop_batch(shard: &Shard<'_>, class: SizeClass, buffer: &mut [usize]) -> usize {
    section::pop_batch(shard.heap, class, buffer)
}

/// Pushes objects of one node to the calling thread's shard, if that is on their node; returns
/// how many, from the first on.
pub fn push_batch(shard: &Shard<'_>, class: SizeClass, objects: &[usize]) -> usize {
    let Some(&first) = objects.first() else {
        return 0;
    };
    // From one arena, and so from one node; the thread may be on another one by now.
    let node = shard.heap.home_of(first);
    // SAFETY: the objects are of the class and node, in our hand, and given up.
    unsafe { section::push_batch(shard.heap, class, objects, node) }
}

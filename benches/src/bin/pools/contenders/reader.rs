//! Appending an event that one reader gets, who is at it all the time.
//!
//! ```text
//!   writers ─► │ a bounded buffer │ ─► reader        who finds it full waits, or tries again
//! ```

use core::hint::black_box;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, mpsc};
use std::thread::yield_now;

use cidpool::ring::ticks;
use cidpool::{Ring, WhenFull};

use super::{EVENTS, Event, PAYLOAD};
use crate::threads::{Cost, Load};

/// Reads by `some`, which says how many there were, until nobody writes any more.
fn read(all_done: &AtomicBool, mut some: impl FnMut() -> usize) {
    while !all_done.load(Relaxed) {
        if some() == 0 {
            yield_now();
        }
    }
    some();
}

pub(super) fn mutex(load: Load) -> Cost {
    let buffer = Mutex::new(Vec::with_capacity(EVENTS));
    let locked = || buffer.lock().unwrap_or_else(|_| panic!("a contender panicked"));
    let mut taken = Vec::with_capacity(EVENTS);
    load.run_beside(
        |number| [number as u8; PAYLOAD],
        |payload| {
            loop {
                let mut events = locked();
                if events.len() < EVENTS {
                    events.push(Event { stamp: ticks(), payload: *payload });
                    return;
                }
                drop(events);
                yield_now();
            }
        },
        |all_done| {
            read(all_done, || {
                core::mem::swap(&mut *locked(), &mut taken);
                taken.drain(..).map(Event::look).count()
            });
        },
    )
}

pub(super) fn mpsc(load: Load) -> Cost {
    let (sender, receiver) = mpsc::sync_channel(EVENTS);
    load.run_beside(
        |number| [number as u8; PAYLOAD],
        |payload| _ = sender.send(Event { stamp: ticks(), payload: *payload }),
        move |all_done| read(all_done, || receiver.try_iter().map(Event::look).count()),
    )
}

pub(super) fn crossbeam(load: Load) -> Cost {
    let (sender, receiver) = crossbeam_channel::bounded(EVENTS);
    load.run_beside(
        |number| [number as u8; PAYLOAD],
        |payload| _ = sender.send(Event { stamp: ticks(), payload: *payload }),
        move |all_done| read(all_done, || receiver.try_iter().map(Event::look).count()),
    )
}

/// The reader has those of each drain in time order.
pub(super) fn ring(load: Load) -> Cost {
    let pool = super::pool_of_rings();
    let ring = Ring::with_stamps(&pool, WhenFull::DropNewest, ticks);
    let ring = ring.unwrap_or_else(|error| panic!("no ring: {error}"));
    let Some(mut reader) = ring.reader() else { panic!("the ring has a reader") };
    load.run_beside(
        |number| [number as u8; PAYLOAD],
        |payload| {
            while ring.append(&*payload).is_err() {
                yield_now();
            }
        },
        move |all_done| {
            read(all_done, || reader.drain(|record| _ = black_box(record)).records as usize);
        },
    )
}

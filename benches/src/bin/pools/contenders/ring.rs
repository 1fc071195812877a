//! Appending an event to a buffer whose oldest events make room: a flight recorder's work.
//!
//! ```text
//!   stamp, 32 bytes ─► │ newest │ … │ oldest │ ─► nowhere
//! ```
//!
//! All stamp by the same clock, inside of whatever keeps events in order.

use std::sync::Mutex;

use cidpool::ring::ticks;
use cidpool::{Ring, WhenFull};
use crossbeam_channel::TrySendError;
use crossbeam_queue::ArrayQueue;

use super::{EVENTS, Event, PAYLOAD};
use crate::threads::{Cost, Load};

struct Buffer {
    events: Box<[Event]>,
    next: usize,
}

pub(super) fn mutex(load: Load) -> Cost {
    let events = vec![Event::default(); EVENTS].into();
    let buffer = Mutex::new(Buffer { events, next: 0 });
    load.run(
        |number| [number as u8; PAYLOAD],
        |payload| {
            let mut buffer = buffer.lock().unwrap_or_else(|_| panic!("a contender panicked"));
            let next = buffer.next % EVENTS;
            buffer.events[next] = Event { stamp: ticks(), payload: *payload };
            buffer.next += 1;
        },
    )
}

pub(super) fn array_queue(load: Load) -> Cost {
    let queue = ArrayQueue::new(EVENTS);
    load.run(
        |number| [number as u8; PAYLOAD],
        |payload| _ = queue.force_push(Event { stamp: ticks(), payload: *payload }),
    )
}

pub(super) fn channel(load: Load) -> Cost {
    let (sender, receiver) = crossbeam_channel::bounded(EVENTS);
    load.run(
        |number| [number as u8; PAYLOAD],
        |payload| {
            let mut event = Event { stamp: ticks(), payload: *payload };
            while let Err(TrySendError::Full(refused)) = sender.try_send(event) {
                let _ = receiver.try_recv();
                event = refused;
            }
        },
    )
}

pub(super) fn ring(load: Load) -> Cost {
    let pool = super::pool_of_rings();
    let ring = Ring::with_stamps(&pool, WhenFull::Overwrite, ticks);
    let ring = ring.unwrap_or_else(|error| panic!("no ring: {error}"));
    load.run(|number| [number as u8; PAYLOAD], |payload| _ = ring.append(&*payload))
}

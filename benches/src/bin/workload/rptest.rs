//! rpmalloc's benchmark, in short: every thread replaces blocks of its own array and
//! every second turn sends a parcel of 100 fresh blocks to its neighbour, who frees it.
//!
//! ```text
//!   parcel (itself from malloc): { next, 100 blocks } ──▶ inbox of thread i + 1
//! ```
//!
//! An inbox holds four parcels; the sender frees a fifth itself. Otherwise the memory in
//! use would depend on which thread happens to run.

use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::heap::{Block, Tagged};
use crate::meter::{Timed, race};
use crate::rng::{Rng, Sizes};
use crate::table::Table;

const SLOTS: usize = 1_000;
const TURN: usize = 100;

struct Parcel {
    next: *mut Parcel,
    blocks: [Tagged; TURN],
}

const PARCELS_MAX: usize = 4;

struct Inbox {
    first: AtomicPtr<Parcel>,
    /// Parcels in it or on their way.
    count: AtomicUsize,
}

fn send(inbox: &Inbox, sizes: &Sizes, rng: &mut Rng) {
    let parcel = Block::malloc(size_of::<Parcel>());
    let blocks: [Tagged; TURN] = core::array::from_fn(|_| Tagged::new(sizes.draw(rng)));
    if inbox.count.fetch_add(1, Ordering::Relaxed) >= PARCELS_MAX {
        inbox.count.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let parcel = parcel.into_raw().cast::<Parcel>().as_ptr();
    let mut next = inbox.first.load(Ordering::Relaxed);
    // SAFETY: the parcel has room for one, and `malloc` aligns it.
    unsafe { parcel.write(Parcel { next, blocks }) };
    while let Err(seen) =
        inbox.first.compare_exchange_weak(next, parcel, Ordering::Release, Ordering::Relaxed)
    {
        next = seen;
        // SAFETY: the parcel is ours until the exchange succeeds.
        unsafe { (*parcel).next = next };
    }
}

fn open_all(inbox: &Inbox) {
    let mut at = inbox.first.swap(core::ptr::null_mut(), Ordering::Acquire);
    while let Some(parcel) = core::ptr::NonNull::new(at) {
        inbox.count.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: the swap made the whole list ours; each parcel is read once, and its
        // own block is freed after its content.
        unsafe {
            let Parcel { next, blocks } = parcel.read();
            drop(blocks);
            drop(Block::from_raw(parcel.cast()));
            at = next;
        }
    }
}

pub(crate) fn run(threads: usize, ops: u64) -> Timed {
    // Most requests small, some up to 16,000 bytes.
    let sizes = Sizes::log_uniform(8, 16_000);
    let inboxes: Table<Inbox> = Table::new(threads, |_| Inbox {
        first: AtomicPtr::new(core::ptr::null_mut()),
        count: AtomicUsize::new(0),
    });
    // A turn replaces 100 blocks, and every second one sends 101.
    let turns = (ops / threads as u64 / 150).max(2);
    let time = race(
        threads,
        |index| (Rng::new(index), Table::new(SLOTS, |_| None::<Tagged>)),
        |index, (rng, slots)| {
            let (mut freed, mut made, mut done) = (0, 0, 0);
            for turn in 0..turns {
                // Strides prime to 1,000 visit the array in two scattered orders.
                for _ in 0..TURN {
                    slots[freed] = None;
                    freed = (freed + 761) % SLOTS;
                }
                open_all(&inboxes[index]);
                for _ in 0..TURN {
                    if slots[made].is_none() {
                        slots[made] = Some(Tagged::new(sizes.draw(rng)));
                        done += 1;
                    }
                    made = (made + 317) % SLOTS;
                }
                if turn % 2 == 0 {
                    send(&inboxes[(index + 1) % inboxes.len()], &sizes, rng);
                    done += TURN as u64 + 1;
                }
            }
            done
        },
    );
    inboxes.iter().for_each(open_all);
    time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_parcel_is_freed_by_its_sender() {
        let inbox =
            Inbox { first: AtomicPtr::new(core::ptr::null_mut()), count: AtomicUsize::new(0) };
        let (sizes, mut rng) = (Sizes::log_uniform(8, 100), Rng::new(0));
        (0..6).for_each(|_| send(&inbox, &sizes, &mut rng));
        assert_eq!(inbox.count.load(Ordering::Relaxed), PARCELS_MAX);
        open_all(&inbox);
        assert_eq!(inbox.count.load(Ordering::Relaxed), 0);
        assert!(inbox.first.load(Ordering::Relaxed).is_null());
    }
}

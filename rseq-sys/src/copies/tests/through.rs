//! Additions through a route: open, closed, and for a thread without a cid.

use super::*;

/// Adds `k` to word 5 by way of the route, in the form that the world's source has, and, where the cid
/// is the number of the copy, in each of the two short ones. What each of them answers.
fn add(w: &World, route: usize, k: u64) -> Vec<bool> {
    let (route, offset) = (&raw const route, 5 * size_of::<u64>());
    // SAFETY: words of the world, which has a copy for each number.
    unsafe {
        if w.source == Source::Leased {
            let lease = Lease::current().unwrap();
            return [leased::add_through::<SHIFT>(lease, &w.current, route, offset, k)].into();
        }
        let mut done = std::vec![add_through::<SHIFT>(&w.current, route, offset, k)];
        #[cfg(target_arch = "x86_64")]
        if w.source == Source::Kernel && w.rows == [0, 0] {
            done.push(add_through_cid_at::<SHIFT>(w.current.area, route, offset, k));
            let at_word = route.read().wrapping_add(offset);
            done.push(add_through_cid::<SHIFT>(w.current.area, &raw const at_word, k));
        }
        done
    }
}

#[test]
fn an_open_route_leads_to_the_word_at_its_offset_in_a_copy_of_ours() {
    for w in worlds() {
        w.enter(2);
        w.clear();
        let route = w.memory.expose_provenance();
        let done = add(&w, route, 7);
        assert!(done.iter().all(|&done| done), "{:?} {done:?}", w.source);
        assert_eq!(w.sum(5), 7 * done.len() as u64, "{:?}", w.source);
        assert_eq!((0..WORDS).map(|i| w.sum(i)).sum::<u64>(), w.sum(5), "in no other word");
        if w.source == Source::Leased {
            assert_eq!(w.at(w.number().unwrap(), 5).load(Relaxed), 7);
        }
        w.leave();
    }
}

#[test]
fn through_a_closed_route_nothing_is_added() {
    for w in worlds() {
        w.enter(2);
        w.clear();
        // What else is in the word does not matter.
        for route in [1, usize::MAX, w.memory.expose_provenance() | 1] {
            assert!(add(&w, route, 7).iter().all(|&done| !done), "{:?}", w.source);
        }
        assert_eq!((0..WORDS).map(|i| w.sum(i)).sum::<u64>(), 0);
        w.leave();
    }
}

#[test]
fn a_thread_without_a_cid_adds_nothing_through_an_open_route() {
    for mut w in worlds() {
        if w.source == Source::Leased {
            w.enter(2);
            Lease::current().unwrap().stop();
        } else {
            // An area that nobody registered, unless this process has that one.
            if w.registration.owner == Owner::Own {
                continue;
            }
            let pair = w.current.ids - w.current.area;
            w.current.area = own_offset();
            w.current.ids = w.current.area + pair;
        }
        w.clear();
        let done = add(&w, w.memory.expose_provenance(), 7);
        assert!(done.iter().all(|&done| !done), "{:?} {done:?}", w.source);
        assert_eq!(w.sum(5), 0);
        w.leave();
    }
}

/// After a route was closed and a fence was made nobody adds any more; until it is opened again.
#[test]
fn behind_a_closed_route_and_a_fence_copies_stand_still() {
    use crate::membarrier::{fence, register};
    if !register() || !fence() {
        std::eprintln!("skipped: this kernel makes no fence for sections");
        return;
    }
    for w in worlds().into_iter().filter(|w| w.source != Source::Leased) {
        w.clear();
        let open = w.memory.expose_provenance();
        let (route, stop, added) =
            (AtomicUsize::new(open), AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    w.enter(0);
                    while !stop.load(Relaxed) {
                        // SAFETY: a word of the world, which has a copy for each number.
                        let done = unsafe {
                            add_through::<SHIFT>(
                                &w.current,
                                route.as_ptr(),
                                5 * size_of::<u64>(),
                                1,
                            )
                        };
                        added.fetch_add(done.into(), Relaxed);
                    }
                    w.leave();
                });
            }
            for _ in 0..50 {
                route.store(1, Relaxed);
                assert!(fence());
                let before = w.sum(5);
                std::thread::yield_now();
                assert_eq!(w.sum(5), before, "{:?}", w.source);
                route.store(open, Relaxed);
                std::thread::yield_now();
            }
            stop.store(true, Relaxed);
        });
        assert_eq!(w.sum(5), added.into_inner());
    }
}

//! Additions through a route: open, closed, and for a thread without a cid.

use super::*;

/// The word that is added to.
const WORD: usize = 5;
/// Its offset in a copy.
const OFFSET: usize = WORD * size_of::<u64>();

/// The sections that add through a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    General,
    /// For offset 0, where the cid is the number of the copy.
    Cid,
    CidAt,
}
pub(super) const FORMS: [Form; 3] = [Form::General, Form::Cid, Form::CidAt];

impl Form {
    /// Whether `w` has it, and not the general one in its place.
    pub(super) fn is_of(self, w: &World) -> bool {
        let cid_is_copy = w.source == Source::Kernel && w.rows == [0, 0];
        self == Self::General || cfg!(target_arch = "x86_64") && cid_is_copy
    }

    /// What leads to the word at `offset`: the route to begin with, and an offset from there.
    pub(super) fn way(self, w: &World, offset: usize) -> (usize, usize) {
        let route = w.memory.expose_provenance();
        if self == Self::Cid && self.is_of(w) { (route + offset, 0) } else { (route, offset) }
    }

    /// Adds `k` to the word at `offset` from an open route.
    pub(super) fn add(self, w: &World, route: *const usize, offset: usize, k: u64) -> bool {
        // SAFETY: words of the world, which has a copy for each number.
        unsafe {
            if w.source == Source::Leased {
                let lease = Lease::current().unwrap();
                return leased::add_through::<SHIFT>(lease, &w.current, route, offset, k);
            }
            match self {
                #[cfg(target_arch = "x86_64")]
                Self::Cid if self.is_of(w) => add_through_cid::<SHIFT>(w.current.area, route, k),
                #[cfg(target_arch = "x86_64")]
                Self::CidAt if self.is_of(w) => {
                    add_through_cid_at::<SHIFT>(w.current.area, route, offset, k)
                }
                _ => add_through::<SHIFT>(&w.current, route, offset, k),
            }
        }
    }

    /// As [`Self::add`] to word `i`, through an open route of its own.
    pub(super) fn add_to_word(self, w: &World, i: usize, k: u64) -> bool {
        let (route, offset) = self.way(w, i * size_of::<u64>());
        self.add(w, &raw const route, offset, k)
    }
}

#[test]
fn an_open_route_leads_to_the_word_at_its_offset_in_a_copy_of_ours() {
    for (w, form) in each_form() {
        w.enter(2);
        w.clear();
        assert!(form.add_to_word(&w, WORD, 7), "{form:?}, {:?}", w.source);
        assert_eq!(w.sum(WORD), 7, "{form:?}, {:?}", w.source);
        assert_eq!((0..WORDS).map(|i| w.sum(i)).sum::<u64>(), 7, "in no other word");
        if w.source == Source::Leased {
            assert_eq!(w.at(w.number().unwrap(), WORD).load(Relaxed), 7);
        }
        w.leave();
    }
}

/// The worlds, and the forms of each.
fn each_form() -> impl Iterator<Item = (World, Form)> {
    FORMS.into_iter().flat_map(|form| {
        worlds().into_iter().filter_map(move |w| form.is_of(&w).then_some((w, form)))
    })
}

#[test]
fn through_a_closed_route_nothing_is_added() {
    for (w, form) in each_form() {
        w.enter(2);
        w.clear();
        // What else is in the word does not matter.
        for route in [1, usize::MAX, w.memory.expose_provenance() | 1] {
            let is_done = form.add(&w, &raw const route, OFFSET, 7);
            assert!(!is_done, "{form:?}, {:?}", w.source);
        }
        assert_eq!((0..WORDS).map(|i| w.sum(i)).sum::<u64>(), 0);
        w.leave();
    }
}

#[test]
fn a_thread_without_a_cid_adds_nothing_through_an_open_route() {
    for (mut w, form) in each_form() {
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
        assert!(!form.add_to_word(&w, WORD, 7), "{form:?}, {:?}", w.source);
        assert_eq!(w.sum(WORD), 0);
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
    for (w, form) in each_form().filter(|(w, _)| w.source != Source::Leased) {
        w.clear();
        let (open, offset) = form.way(&w, OFFSET);
        let (route, stop, added) =
            (AtomicUsize::new(open), AtomicBool::new(false), AtomicU64::new(0));
        let moved = std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    w.enter(0);
                    while !stop.load(Relaxed) {
                        let is_done = form.add(&w, route.as_ptr(), offset, 1);
                        added.fetch_add(is_done.into(), Relaxed);
                    }
                    w.leave();
                });
            }
            // Whatever is found, the others must be told to stop.
            let moved = (0..50).find_map(|_| {
                route.store(1, Relaxed);
                let is_fenced = fence();
                let before = w.sum(WORD);
                std::thread::yield_now();
                let after = w.sum(WORD);
                route.store(open, Relaxed);
                std::thread::yield_now();
                (!is_fenced || after != before).then_some((is_fenced, before, after))
            });
            stop.store(true, Relaxed);
            moved
        });
        assert_eq!(moved, None, "{form:?}, {:?}", w.source);
        assert_eq!(w.sum(WORD), added.into_inner());
    }
}

/// One addition that is held up at `point`, while somebody closes its route, makes a fence and looks:
/// whether it was done, which must be before that look.
#[cfg(feature = "inject")]
fn close_while_held(w: &World, form: Form, point: u16) -> bool {
    use crate::inject;
    use core::sync::atomic::Ordering::{Acquire, Release, SeqCst};
    w.clear();
    let (open, offset) = form.way(w, OFFSET);
    let (route, is_over, is_seen) =
        (AtomicUsize::new(open), AtomicBool::new(false), AtomicBool::new(false));
    let control = OnceLock::new();
    std::thread::scope(|scope| {
        let adder = scope.spawn(|| {
            w.enter(0);
            let mine = control.get_or_init(inject::control);
            mine.spins.store(1 << 27, Relaxed);
            mine.armed.store(point, Relaxed);
            let is_done = form.add(w, route.as_ptr(), offset, 7);
            is_over.store(true, Release);
            // Its words are looked at until then.
            while !is_seen.load(Acquire) {
                std::thread::yield_now();
            }
            w.leave();
            is_done
        });
        let is_there = || control.get().is_some_and(|control| control.at.load(Acquire) == point);
        while !is_there() && !is_over.load(Acquire) {
            std::thread::yield_now();
        }
        route.store(1, SeqCst);
        assert!(crate::membarrier::fence());
        let before = w.sum(WORD);
        // Before it is armed no fence aborts it.
        if let Some(control) = control.get() {
            control.at.store(0, Release);
        }
        while !is_over.load(Acquire) {
            std::thread::yield_now();
        }
        let after = w.sum(WORD);
        is_seen.store(true, Release);
        let is_done = adder.join().unwrap();
        assert_eq!(after, before, "{form:?}, point {point:#x}: it went on behind the fence");
        assert_eq!(after, if is_done { 7 } else { 0 }, "{form:?}, point {point:#x}");
        is_done
    })
}

/// Not at any of its points does an addition have the route from before the window.
#[cfg(feature = "inject")]
#[test]
fn an_addition_that_is_held_up_finds_the_route_closed() {
    use crate::inject;
    if !crate::membarrier::register() || !crate::membarrier::fence() {
        std::eprintln!("skipped: this kernel makes no fence for sections");
        return;
    }
    for (w, form) in each_form().filter(|(w, _)| w.source != Source::Leased) {
        let name = match form {
            Form::General => "add_through",
            Form::Cid => "add_through_cid",
            Form::CidAt => "add_through_cid_at",
        };
        let operation =
            inject::COPIES.into_iter().find(|operation| operation.name == name).unwrap();
        for place in (1..=operation.inside.len() as u16).chain([inject::UNARMED]) {
            // One that is preempted where it is held up goes on, and may be done before the route is
            // closed.
            let held = (0..1000).any(|_| !close_while_held(&w, form, operation.code + place));
            assert!(held, "{name}, place {place}: it was never held up");
        }
    }
}

//! Each outcome of each operation, on one thread that is alone with its world.

use super::through::FORMS;
use super::*;
use Outcome::{Differs, Done, NoCid};

/// Operations of [`all`], and the words that they change.
const ALL: usize = 9 + FORMS.len();
const CHANGED: usize = 11 + FORMS.len();

/// Runs `f` on each source until it was not disturbed by a change of cid, which would make its
/// steps land in different copies. All copies are zero before each try; `f` gets the copy's number.
fn on_one_copy(f: impl Fn(&World, usize) -> bool) {
    for world in worlds() {
        world.enter(2);
        let held = (0..1000).any(|_| {
            world.clear();
            let number = world.number().unwrap();
            f(&world, number) && world.number() == Some(number)
        });
        assert!(held, "{:?}: it never held, or the copy never stayed for one try", world.source);
        world.leave();
    }
}

/// All operations of `world`, each of which would do something: what came of them.
fn all(w: &World) -> [Outcome; ALL] {
    let mut node = [7u64; 2];
    // As words and as single bytes.
    let (node, bytes): (*mut u8, _) = ((&raw mut node).cast(), [1u8; 11]);
    let added = |is_added: bool| if is_added { Done(0) } else { NoCid };
    let [general, cid, cid_at] = FORMS.map(|form| form.add_to_word(w, 11 + form as usize, 1));
    [
        added(perform!(w, add, w.word(0), 1)),
        perform!(w, load, w.word(1)),
        perform!(w, compare_store, w.word(2), 0, 1),
        perform!(w, compare_two_store, w.word(3), 0, w.word(4), 0, 1),
        perform!(w, compare_store_store, w.word(5), 0, 1, w.word(6), 1),
        perform!(w, push, w.word(7), node, 8),
        perform!(w, pop, w.word(7), 8),
        perform!(w, pop_all, w.word(7)),
        perform!(w, compare_copy_store, w.word(8), 0, 1, w.word(9).cast(), bytes.as_ptr(), 11),
        added(general),
        added(cid),
        added(cid_at),
    ]
}

/// The words of `number` that [`all`] changes.
fn changed(w: &World, number: usize) -> [u64; CHANGED] {
    core::array::from_fn(|i| w.at(number, i).load(Relaxed))
}

#[test]
fn add_adds_to_the_current_copy_alone() {
    on_one_copy(|w, number| {
        let word = WORDS - 1;
        perform!(w, add, w.word(word), 5)
            && perform!(w, add, w.word(word), u64::MAX)
            && w.at(number, word).load(Relaxed) == 4
            && w.sum(word) == 4
            && perform!(w, load, w.word(word)) == Done(4)
    });
}

#[test]
fn compare_store_replaces_what_is_expected_and_tells_what_differs() {
    on_one_copy(|w, number| {
        perform!(w, compare_store, w.word(1), 0, 9) == Done(0)
            && perform!(w, compare_store, w.word(1), 0, 10) == Differs(9)
            && perform!(w, compare_store, w.word(1), 9, 10) == Done(9)
            && w.at(number, 1).load(Relaxed) == 10
            && w.sum(1) == 10
    });
}

#[test]
fn compare_two_store_tells_of_the_first_word_that_differs() {
    on_one_copy(|w, number| {
        w.at(number, 1).store(1, Relaxed);
        w.at(number, 2).store(2, Relaxed);
        let both = |e, f| perform!(w, compare_two_store, w.word(1), e, w.word(2), f, 3);
        both(7, 2) == Differs(1)
            && both(2, 1) == Differs(1)
            && both(1, 1) == Differs(2)
            && both(1, 2) == Done(1)
            && both(1, 2) == Differs(3)
            && changed(w, number)[1..3] == [3, 2]
    });
}

#[test]
fn compare_store_store_writes_both_words_or_none() {
    on_one_copy(|w, number| {
        let both = |e, new, x| perform!(w, compare_store_store, w.word(1), e, new, w.word(2), x);
        both(1, 5, 6) == Differs(0)
            && changed(w, number)[1..3] == [0, 0]
            && both(0, 5, 6) == Done(0)
            && changed(w, number)[1..3] == [5, 6]
    });
}

#[test]
fn push_then_pop_is_last_in_first_out_and_pop_all_takes_the_rest() {
    on_one_copy(|w, number| {
        let mut nodes = [[0u64; 4]; 3];
        let first = nodes.as_mut_ptr().cast::<u8>();
        let address = |i: usize| first.wrapping_add(i * 32);
        let found = |i: usize| address(i).expose_provenance() as u64;
        // At the end of the nodes: whatever offset the caller has.
        let push = |i| perform!(w, push, w.word(1), address(i), 24);
        perform!(w, pop, w.word(1), 24) == Differs(0)
            && perform!(w, pop_all, w.word(1)) == Done(0)
            && push(0) == Done(0)
            && push(1) == Done(found(0))
            && push(2) == Done(found(1))
            && perform!(w, pop, w.word(1), 24) == Done(found(2))
            && perform!(w, pop_all, w.word(1)) == Done(found(1))
            && w.at(number, 1).load(Relaxed) == 0
            && nodes[1][3] == found(0)
            && nodes[0][3] == 0
    });
}

#[test]
fn compare_copy_store_copies_every_length_and_nothing_behind_it() {
    for len in 0..34 {
        on_one_copy(|w, number| {
            let from: Vec<u8> = (1..=len as u8).collect();
            // Not aligned: bytes of a log are not.
            let to = w.word(2).cast::<u8>().wrapping_add(3);
            let copy =
                |e, new| perform!(w, compare_copy_store, w.word(1), e, new, to, from.as_ptr(), len);
            let refused = copy(4, 5) == Differs(0);
            let untouched = w.sum(2) == 0;
            let done = copy(0, len as u64) == Done(0);
            // SAFETY: the bytes of the copy, which nobody else has.
            let bytes = unsafe {
                let first = w.memory.wrapping_add(number * WORDS + 2).cast::<u8>();
                core::slice::from_raw_parts(first, 64)
            };
            refused
                && untouched
                && done
                && w.at(number, 1).load(Relaxed) == len as u64
                && bytes[3..3 + len] == from[..]
                && bytes[..3].iter().chain(&bytes[3 + len..]).all(|&byte| byte == 0)
        });
    }
}

#[test]
fn rows_lead_to_the_copies_of_a_node() {
    on_one_copy(|w, number| {
        let (row, id) = match w.source {
            Source::Leased => (1, 2),
            // SAFETY: the world's own offset.
            _ => unsafe { crate::area::ids_at(w.current.ids) },
        };
        number == (w.rows[row as usize % 2] + id) as usize
    });
}

#[test]
fn a_thread_that_is_not_registered_changes_nothing() {
    for mut w in worlds() {
        w.enter(2);
        match w.source {
            Source::Leased => Lease::current().unwrap().stop(),
            _ if w.registration.owner == Owner::Libc => {
                // Our own variable, which nobody registered, in the place of libc's.
                let moved = own_offset() - w.current.area;
                w.current.area += moved;
                w.current.ids += moved;
            }
            _ => continue,
        }
        assert_eq!(all(&w), [NoCid; ALL], "{:?}", w.source);
        assert_eq!(w.number(), None);
        assert!((0..CHANGED).all(|i| w.sum(i) == 0));
        w.leave();
    }
}

#[test]
fn a_handler_above_a_leased_operation_finds_no_cid() {
    let w = worlds().remove(0);
    assert_eq!(w.source, Source::Leased);
    w.enter(2);
    let lease = Lease::current().unwrap();
    // SAFETY: the thread's lease, on a copy that is there.
    let nested = unsafe { lease.on_copy(&w.current, |_| all(&w)) };
    assert_eq!(nested, Some([NoCid; ALL]));
    assert!(!lease.is_inside());
    assert_ne!(all(&w)[0], NoCid);
    w.leave();
}

#[cfg(feature = "inject")]
#[test]
fn an_abort_at_each_point_of_each_section_changes_nothing_but_the_time() {
    use super::through::Form;
    use crate::inject;
    const BYTES: [u64; 2] = [u64::from_ne_bytes([1; 8]), 0x01_0101];
    const AFTER: [u64; CHANGED] = [1, 0, 1, 1, 0, 1, 1, 0, 1, BYTES[0], BYTES[1], 1, 1, 1];
    for w in worlds().iter().filter(|w| w.source != Source::Leased) {
        w.enter(2);
        for operation in inject::COPIES {
            // One of the two windows of `add`; not everywhere those for cids that are copies.
            let is_here = match operation.name {
                "add" => w.rows == ROWS[0],
                "add, in rows" => w.rows != ROWS[0],
                "add_through_cid" | "add_through_cid_at" => Form::Cid.is_of(w),
                _ => true,
            };
            let places = if is_here { operation.inside.len() as u16 } else { 0 };
            for place in 1..=places {
                let mut seen = false;
                let held = (0..1000).any(|_| {
                    w.clear();
                    let number = w.number().unwrap();
                    let control = inject::control();
                    control.aborted.store(0, Relaxed);
                    control.spins.store(-1, Relaxed);
                    control.armed.store(operation.code + place, Relaxed);
                    let outcomes = all(w);
                    seen |= control.armed.swap(0, Relaxed) == 0;
                    // Only the pop finds something: the node that was pushed.
                    let popped = matches!(outcomes[6], Done(node) if node != 0);
                    let others = outcomes.iter().filter(|&&outcome| outcome == Done(0));
                    popped
                        && others.count() == outcomes.len() - 1
                        && changed(w, number) == AFTER
                        && w.number() == Some(number)
                });
                assert!(seen && held, "{}, place {place}: seen {seen}", operation.name);
            }
        }
        w.leave();
    }
}

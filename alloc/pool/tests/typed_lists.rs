//! Lists of nodes: each node is in one list, or in one hand.
#![allow(unsafe_code)]

#[path = "support/sources.rs"]
mod sources;
mod support;

use cidpool::{List, Node, Pool, Source};
use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use sources::{interrupted, many_threads, source};
use std::thread;

under_each_source!(
    no_node_is_lost_or_had_twice,
    no_node_is_lost_by_handlers,
    what_is_in_lists_goes_with_them,
);

static ALIVE: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug)]
struct Tracked {
    is_here: AtomicBool,
}

impl Tracked {
    fn node() -> Node<Self> {
        ALIVE.fetch_add(1, Relaxed);
        Node::new(Self { is_here: AtomicBool::new(true) })
    }
    fn came(&self) {
        assert!(!self.is_here.swap(true, AcqRel), "it was had twice");
    }
    fn goes(&self) {
        assert!(self.is_here.swap(false, AcqRel), "it was here twice");
    }
}
impl Drop for Tracked {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Relaxed);
    }
}

fn list() -> List<Tracked> {
    List::new(&Pool::builder(8).name("lists").build().unwrap()).unwrap()
}

/// Puts a node in; refused, it comes back.
fn push(list: &List<Tracked>, node: Node<Tracked>) -> Option<Node<Tracked>> {
    node.goes();
    list.push(node).err().inspect(|node| node.came())
}

fn churn(list: &List<Tracked>, rounds: usize) {
    let mut hands: Vec<_> = (0..5).map(|_| Tracked::node()).collect();
    for round in 0..rounds {
        match round % 7 {
            0 => {
                if let Ok(all) = list.pop_all() {
                    hands.extend(all.inspect(|node| node.came()));
                }
            }
            1 | 2 => {
                if let Ok(Some(node)) = list.pop() {
                    node.came();
                    hands.push(node);
                }
            }
            _ => {
                if let Some(node) = hands.pop() {
                    hands.extend(push(list, node));
                }
            }
        }
    }
    for node in hands {
        drop(push(list, node));
    }
}

#[test]
#[ignore = "run under each source"]
fn no_node_is_lost_or_had_twice() {
    let mut list = list();
    thread::scope(|scope| {
        for _ in 0..many_threads() {
            scope.spawn(|| churn(&list, 100_000));
        }
    });
    let there = ALIVE.load(Relaxed);
    assert_eq!(list.drain().inspect(|node| node.came()).count(), there);
    assert_eq!(ALIVE.load(Relaxed), 0);
    assert!(there > 0 || source() == Source::None);
}

#[test]
#[ignore = "run under each source"]
fn no_node_is_lost_by_handlers() {
    static LIST: AtomicPtr<List<Tracked>> = AtomicPtr::new(null_mut());
    static FORGOTTEN: AtomicUsize = AtomicUsize::new(0);
    fn shared() -> &'static List<Tracked> {
        // SAFETY: there until no thread and no handler uses it any more.
        unsafe { &*LIST.load(Acquire) }
    }
    LIST.store(Box::into_raw(Box::new(list())), Release);
    let handler = || {
        if let Ok(Some(node)) = shared().pop() {
            node.came();
            if let Some(node) = push(shared(), node) {
                // A handler frees nothing.
                core::mem::forget(node);
                FORGOTTEN.fetch_add(1, Relaxed);
            }
        }
    };
    interrupted(many_threads(), handler, |_| churn(shared(), 100_000));
    // SAFETY: the box from above; its users are all gone.
    let mut list = unsafe { Box::from_raw(LIST.load(Acquire)) };
    let there = list.drain().inspect(|node| node.came()).count();
    assert_eq!(ALIVE.load(Relaxed), FORGOTTEN.load(Relaxed));
    assert!(there > 0 || source() == Source::None);
}

#[test]
#[ignore = "run under each source"]
fn what_is_in_lists_goes_with_them() {
    let list = list();
    for _ in 0..100 {
        drop(push(&list, Tracked::node()));
    }
    let taken = list.pop_all();
    drop(list);
    let left = taken.map_or(0, |all| {
        let left = ALIVE.load(Relaxed);
        drop(all);
        left
    });
    assert!(left > 0 || source() == Source::None);
    assert_eq!(ALIVE.load(Relaxed), 0);
}

#[test]
fn the_last_one_in_is_the_first_one_out() {
    let pool = Pool::builder(8).build().unwrap();
    // Until one thread's nodes were all on one cid.
    for _ in 0..10_000 {
        let mut list = List::new(&pool).unwrap();
        (0..10).for_each(|i| list.push(Node::new(i)).unwrap());
        let Ok(Some(mut last)) = list.pop() else { continue };
        *last += 100;
        let found: Vec<_> = list.drain().map(Node::into_value).collect();
        if found.is_sorted_by(|a, b| a > b) {
            assert_eq!((*last, found), (109, (0..9).rev().collect()));
            return;
        }
    }
    panic!("they never came back in the other order");
}

#[test]
fn a_child_of_fork_has_lists_of_its_own() {
    let mut list = list();
    (0..10).for_each(|_| drop(push(&list, Tracked::node())));
    support::in_child(|| {
        churn(&list, 100);
        true
    });
    assert_eq!(list.drain().count(), 10);
}

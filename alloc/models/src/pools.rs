//! The items of a pool: each is in one place, whichever way tasks pass it round.
//!
//! ```text
//!  free bits ─┐
//!  cids' words ┼─ no item in two of them, between any two steps; in none while a task is inside,
//!  hands      ─┘  and carries it; in the end all of them
//! ```
#![allow(unsafe_code)]

use crate::judge;
use crate::run::{Fact, Shared};
use crate::world::{self, Fences, Setting};
use cidpool::{AllocateError, Builder, Item, Pool, model};
use core::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::OnceLock;

static POOL: OnceLock<Pool> = OnceLock::new();

#[derive(Debug, Default)]
struct Hands {
    held: BTreeMap<u32, Item>,
    /// Items on their way from one task to another: in nobody's hand, but held.
    mailbox: Vec<Item>,
    /// Tasks that are amidst of an operation.
    inside: usize,
    /// Moments at which the pool had no item to give.
    empty: u64,
    /// Whether thefts have a fence to go by.
    is_fenced: bool,
    retired: u64,
}

thread_local! {
    static HANDS: RefCell<Hands> = RefCell::default();
}

fn pool() -> &'static Pool {
    POOL.get().expect("task 0 made it")
}

/// The one pool of an execution.
pub(crate) fn begin(setting: Setting, builder: Builder) {
    POOL.set(builder.build().expect("a pool")).expect("there is one");
    HANDS.with_borrow_mut(|hands| hands.is_fenced = setting.fences == Fences::Kernel);
    world::monitor(Some(Box::new(look)));
    judge::at_end(Box::new(move |counts| all_is_there(setting, counts)));
}

/// Looks between any two steps.
fn look() {
    let books = model::look(pool());
    HANDS.with_borrow_mut(|hands| {
        let mut places = BTreeMap::new();
        let held = hands.held.keys().map(|&item| (item, "held"));
        let free = books.free.iter().map(|&item| (item, "free"));
        let cached = books.cached.iter().map(|&item| (item, "a cid's"));
        for (item, place) in held.chain(free).chain(cached) {
            let other = places.insert(item, place);
            assert!(other.is_none(), "item {item} is {place}, and {other:?}");
        }
        for (&number, &item) in &hands.held {
            let found = model::number(pool(), item);
            assert!(found == Some(number), "item {number} is held, and found to be {found:?}");
        }
        hands.empty += u64::from(books.free.is_empty() && books.cached.is_empty());
        // A search that was the last one to say so looks once more.
        let is_at_rest = hands.inside == 0;
        assert!(
            !is_at_rest || !books.is_exhausted || books.free.is_empty(),
            "searches are told that there is nothing, and these are free: {:?}",
            books.free
        );
    });
}

fn operate<T>(f: impl FnOnce(&Pool) -> T) -> T {
    HANDS.with_borrow_mut(|hands| hands.inside += 1);
    let result = f(pool());
    HANDS.with_borrow_mut(|hands| hands.inside -= 1);
    result
}

fn number(item: Item) -> Option<u32> {
    world::at_once(|| model::number(pool(), item))
}

fn hold(item: Item) {
    let number = number(item).expect("an item of a range that is there");
    HANDS.with_borrow_mut(|hands| {
        assert!(hands.held.insert(number, item).is_none(), "item {number} was handed out twice");
    });
}

fn let_go(item: Item) {
    let number = number(item).expect("an item that is held");
    HANDS.with_borrow_mut(|hands| {
        assert!(hands.held.remove(&number).is_some(), "item {number} is in nobody's hand");
    });
}

/// Items of all ranges that there are.
pub(crate) fn capacity() -> usize {
    world::at_once(|| model::look(pool()).capacity)
}

/// Gives back what no range is for any more.
pub(crate) fn trim() {
    let retired = operate(Pool::trim);
    HANDS.with_borrow_mut(|hands| hands.retired += retired as u64);
    world::at_once(look);
}

/// A task's own items, and what it may do with them.
#[derive(Debug, Default)]
pub(crate) struct Hand(Vec<Item>);

impl Hand {
    /// Takes `n` at once, or none.
    pub(crate) fn take(&mut self, n: usize) {
        let empty = HANDS.with_borrow(|hands| hands.empty);
        world::at_once(look);
        let mut items = Vec::new();
        let taken = operate(|pool| match n {
            1 => pool.allocate().map(|item| items.push(item)),
            _ => pool.allocate_many(n, &mut items),
        });
        items.iter().copied().for_each(hold);
        world::at_once(look);
        match taken {
            Ok(()) => self.0.extend(items),
            Err(AllocateError::Full { .. }) => {
                let may_be =
                    n > 1 || HANDS.with_borrow(|hands| hands.empty > empty || !hands.is_fenced);
                assert!(may_be, "full, and at each instant there was a free item");
            }
            Err(why) => panic!("{why}"),
        }
    }

    /// Gives `n` of its items back, if it has as many.
    pub(crate) fn give(&mut self, n: usize) {
        if n <= self.0.len() {
            let items: Vec<_> =
                (0..n).map(|_| self.0.swap_remove(world::random(self.0.len()))).collect();
            items.iter().copied().for_each(let_go);
            // SAFETY: they are ours, once.
            operate(|pool| unsafe { pool.free_many(&items) });
            world::at_once(look);
        }
    }
    pub(crate) fn give_all(&mut self) {
        self.give(self.0.len());
    }
    /// Leaves one of its items to whoever takes it.
    pub(crate) fn pass_on(&mut self) {
        let item = self.0.pop();
        HANDS.with_borrow_mut(|hands| hands.mailbox.extend(item));
    }
    /// Gives an item of others back.
    pub(crate) fn give_given(&mut self) {
        self.0.extend(HANDS.with_borrow_mut(|hands| hands.mailbox.pop()));
        self.give(1);
    }
    /// One of everything, as it comes.
    pub(crate) fn anything(&mut self) {
        match world::random(8) {
            0..3 => self.take(1),
            3 => self.take(2),
            4 => self.give(1),
            5 => self.give(2),
            6 => self.pass_on(),
            _ => self.give_given(),
        }
    }
}

/// What holds when all tasks have ended.
fn all_is_there(setting: Setting, counts: &Shared) {
    look();
    let books = model::look(pool());
    let (held, retired) = HANDS.with_borrow(|hands| (hands.held.clone(), hands.retired));
    let found = books.free.len() + books.cached.len() + held.len();
    assert!(found == books.capacity, "{found} of {} items are there", books.capacity);
    let statistics = pool().statistics();
    assert!(statistics.items == held.len(), "{} are held: {statistics}", held.len());
    counts.add(Fact::Thefts, statistics.steals as u64);
    counts.add(Fact::Retired, retired);
    held.into_values().for_each(|item| {
        let_go(item);
        // SAFETY: once, by nobody else.
        unsafe { pool().free(item) };
    });
    // Without a fence cids keep what they have.
    if setting.fences == Fences::Kernel {
        let mut items = Vec::new();
        while let Ok(item) = pool().allocate() {
            hold(item);
            items.push(item);
        }
        let capacity = pool().statistics().capacity;
        assert!(items.len() == capacity, "{} of {capacity} can be had", items.len());
        items.iter().copied().for_each(let_go);
        // SAFETY: they are ours, once.
        unsafe { pool().free_many(&items) };
        pool().trim();
        assert!(pool().statistics().ranges == 0, "a range without an item that is held");
    }
}

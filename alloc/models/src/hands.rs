//! The blocks that tasks hold: each is in one hand, its memory nobody else's, its content its own.
//!
//! ```text
//!  held     address ─► size, mark        mark written at the block's first and last word
//!  mailbox  blocks on their way from one task to another
//! ```
#![allow(unsafe_code)]

use cidalloc::{free, malloc};
use core::cell::RefCell;
use core::ptr::with_exposed_provenance_mut;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
struct Hands {
    held: BTreeMap<usize, (usize, u64)>,
    mailbox: Vec<usize>,
    marks: u64,
}

thread_local! {
    static HANDS: RefCell<Hands> = RefCell::default();
}

fn words(address: usize, size: usize) -> [*mut u64; 2] {
    [with_exposed_provenance_mut(address), with_exposed_provenance_mut(address + size - 8)]
}

/// Allocates `size` bytes, a multiple of 8, which nobody else may have.
pub(crate) fn alloc(size: usize) -> usize {
    let block = malloc::alloc(size);
    assert!(!block.is_null(), "no memory for {size} bytes");
    let address = block.expose_provenance();
    HANDS.with_borrow_mut(|hands| {
        let before = hands.held.range(..address + size).next_back();
        if let Some((&other, &(bytes, _))) = before {
            assert!(
                other + bytes <= address,
                "block {address:#x} handed out twice (held: {other:#x})"
            );
        }
        hands.marks += 1;
        let mark = hands.marks;
        hands.held.insert(address, (size, mark));
        for word in words(address, size) {
            // SAFETY: in the block, which is ours.
            unsafe { word.write(mark) };
        }
    });
    address
}

/// Frees a block that is held.
pub(crate) fn free(address: usize) {
    let (size, mark) = HANDS
        .with_borrow_mut(|hands| hands.held.remove(&address))
        .unwrap_or_else(|| panic!("block {address:#x} is in nobody's hand"));
    for word in words(address, size) {
        // SAFETY: in the block, which is ours.
        let found = unsafe { word.read() };
        assert!(found == mark, "block {address:#x} was written to: {found:#x} for {mark:#x}");
    }
    // SAFETY: a live block, given up.
    unsafe { free::free(with_exposed_provenance_mut(address)) };
}

/// Leaves a block to whoever takes it.
pub(crate) fn give(address: usize) {
    HANDS.with_borrow_mut(|hands| hands.mailbox.push(address));
}

/// Takes a block that was given.
pub(crate) fn take() -> Option<usize> {
    HANDS.with_borrow_mut(|hands| hands.mailbox.pop())
}

/// All blocks in hands.
pub(crate) fn held() -> Vec<usize> {
    HANDS.with_borrow(|hands| hands.held.keys().copied().collect())
}

/// A task's own blocks, and what it may do with them.
#[derive(Debug, Default)]
pub(crate) struct Hand(Vec<usize>);

impl Hand {
    pub(crate) fn alloc(&mut self, size: usize) {
        self.0.push(alloc(size));
    }
    /// Frees one of its blocks, if it has any.
    pub(crate) fn free_any(&mut self) {
        if !self.0.is_empty() {
            free(self.0.swap_remove(crate::world::random(self.0.len())));
        }
    }
    pub(crate) fn free_all(&mut self) {
        self.0.drain(..).for_each(free);
    }
    /// Gives one of its blocks away.
    pub(crate) fn give_any(&mut self) {
        if let Some(block) = self.0.pop() {
            give(block);
        }
    }
    /// Frees what others gave.
    pub(crate) fn free_given(&mut self) {
        if let Some(block) = take() {
            free(block);
        }
    }
    /// One of everything, as it comes.
    pub(crate) fn anything(&mut self, sizes: &[usize]) {
        match crate::world::random(8) {
            0..3 => self.alloc(sizes[crate::world::random(sizes.len())]),
            3..5 => self.free_any(),
            5 => self.give_any(),
            _ => self.free_given(),
        }
    }
}

//! Random sequences of all operations against a model: a map of the blocks that are live.
//!
//! Everything is one test, because options and heap belong to the process, and the walk at the
//! end of each case wants nobody else to allocate. The program's own allocator stays apart.
#![allow(unsafe_code)]

use cidalloc::config::{PAGE, SMALL_MAX};
use cidalloc::validate::validate;
use cidalloc::{CidAlloc, free, heap, maintenance, malloc, realloc};
use core::alloc::{GlobalAlloc, Layout};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
enum Op {
    Alloc {
        size: usize,
    },
    Aligned {
        size: usize,
        align: u32,
    },
    Zeroed {
        size: usize,
        align: u32,
    },
    Realloc {
        pick: usize,
        size: usize,
    },
    /// Grows or shrinks by a part, as vectors do.
    Resize {
        pick: usize,
        eighths: usize,
    },
    Free {
        pick: usize,
    },
    FreeAll {
        step: usize,
    },
    Trim,
    Rust {
        size: usize,
        align: u32,
        new: usize,
    },
}

fn size() -> impl Strategy<Value = usize> {
    let near = |n: usize| (n - 40)..(n + 40);
    prop_oneof![
        1 => Just(0usize),
        8 => 1..600usize,
        4 => 1..SMALL_MAX,
        2 => near(SMALL_MAX),
        2 => near(PAGE),
        2 => 1..400_000usize,
        2 => near(1 << 20),
        1 => 1..6_000_000usize,
    ]
}

fn align() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0..13u32, 4 => 13..22u32, 1 => 22..=30u32]
}

fn op() -> impl Strategy<Value = Op> {
    let pick = || any::<usize>();
    prop_oneof![
        8 => size().prop_map(|size| Op::Alloc { size }),
        4 => (size(), align()).prop_map(|(size, align)| Op::Aligned { size, align }),
        4 => (size(), align()).prop_map(|(size, align)| Op::Zeroed { size, align }),
        4 => (pick(), size()).prop_map(|(pick, size)| Op::Realloc { pick, size }),
        4 => (pick(), 1..24usize).prop_map(|(pick, eighths)| Op::Resize { pick, eighths }),
        8 => pick().prop_map(|pick| Op::Free { pick }),
        1 => (1..4usize).prop_map(|step| Op::FreeAll { step }),
        1 => Just(Op::Trim),
        2 => (size(), align(), size()).prop_map(|(size, align, new)| Op::Rust { size, align, new }),
    ]
}

/// Live blocks by address: their sizes, and the byte that they begin and end with.
#[derive(Default)]
struct Model {
    live: BTreeMap<usize, (usize, u8)>,
    next: u8,
}

/// Bytes at each end of a block that are written and looked at.
const ENDS: usize = 4096;

fn ends(size: usize) -> impl Iterator<Item = usize> {
    (0..size.min(ENDS)).chain(size.saturating_sub(ENDS).max(size.min(ENDS))..size)
}

impl Model {
    fn add(&mut self, block: *mut u8, size: usize, align: usize) {
        assert!(!block.is_null());
        let address = block.addr();
        assert!(address.is_multiple_of(align.max(16)), "{address:#x} for {align}");
        let usable = free::usable_size(block);
        assert!(usable >= size);
        // All of the usable size is the block's: neighbours end before, or begin after.
        if let Some((&before, _)) = self.live.range(..=address).next_back() {
            let length = free::usable_size(core::ptr::with_exposed_provenance(before));
            assert!(before + length <= address);
        }
        if let Some((&after, _)) = self.live.range(address..).next() {
            assert!(address + usable <= after);
        }
        self.next = self.next.wrapping_add(1);
        for i in ends(usable).chain(ends(size)) {
            // SAFETY: a live block of ours of that many bytes.
            unsafe { block.add(i).write(self.next) };
        }
        self.live.insert(block.expose_provenance(), (size, self.next));
    }

    fn check(block: *const u8, size: usize, byte: u8) {
        for i in ends(size).take(ENDS) {
            // SAFETY: a live block of ours.
            assert_eq!(unsafe { block.add(i).read() }, byte, "byte {i} of {size}");
        }
    }

    fn pick(&self, n: usize) -> Option<usize> {
        (!self.live.is_empty()).then(|| *self.live.keys().nth(n % self.live.len()).unwrap())
    }

    fn free(&mut self, address: usize) {
        let (size, byte) = self.live.remove(&address).unwrap();
        let block = core::ptr::with_exposed_provenance_mut(address);
        Self::check(block, size, byte);
        for i in ends(size) {
            // SAFETY: still live.
            assert_eq!(unsafe { block.add(i).read() }, byte);
        }
        // SAFETY: live, and given up.
        unsafe { free::free(block) };
    }

    fn realloc(&mut self, address: usize, size: usize) {
        let (old, byte) = self.live.remove(&address).unwrap();
        let block = core::ptr::with_exposed_provenance_mut(address);
        // SAFETY: live, and given up for what comes back.
        let new = unsafe { realloc::realloc(block, size) };
        Self::check(new, size.min(old), byte);
        self.add(new, size, 1);
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Alloc { size } => self.add(malloc::alloc(size), size, 16),
            Op::Aligned { size, align } => {
                self.add(malloc::alloc_aligned(size, 1 << align), size, 1 << align);
            }
            Op::Zeroed { size, align } => {
                let block = malloc::alloc_zeroed(size, 1 << align);
                assert!(!block.is_null());
                // SAFETY: a live block of that size.
                let bytes = unsafe { core::slice::from_raw_parts(block, size) };
                assert_eq!(bytes.iter().position(|&b| b != 0), None);
                self.add(block, size, 1 << align);
            }
            Op::Realloc { pick, size } => {
                if let Some(address) = self.pick(pick) {
                    self.realloc(address, size);
                }
            }
            Op::Resize { pick, eighths } => {
                if let Some(address) = self.pick(pick) {
                    let size = (self.live[&address].0 * eighths / 8).min(16 << 20);
                    self.realloc(address, size);
                }
            }
            Op::Free { pick } => {
                if let Some(address) = self.pick(pick) {
                    self.free(address);
                }
            }
            Op::FreeAll { step } => {
                let some: Vec<_> = self.live.keys().copied().step_by(step).collect();
                some.into_iter().for_each(|address| self.free(address));
            }
            Op::Trim => {
                maintenance::trim(heap::get().unwrap());
            }
            Op::Rust { size, align, new } => rust_face(size.max(1), 1 << align, new.max(1)),
        }
    }
}

/// One block through the face for Rust, from layout to layout.
fn rust_face(size: usize, align: usize, new: usize) {
    let old_layout = Layout::from_size_align(size, align).unwrap();
    let new_layout = Layout::from_size_align(new, align).unwrap();
    // SAFETY: one block, always with its layout of the time.
    unsafe {
        let block = CidAlloc.alloc_zeroed(old_layout);
        assert!(!block.is_null() && block.addr().is_multiple_of(align));
        assert!(ends(size).all(|i| block.add(i).read() == 0));
        ends(size).for_each(|i| block.add(i).write(0x77));
        let moved = CidAlloc.realloc(block, old_layout, new);
        assert!(!moved.is_null() && moved.addr().is_multiple_of(align));
        Model::check(moved, size.min(new), 0x77);
        CidAlloc.dealloc(moved, new_layout);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_block_is_disjoint_aligned_and_keeps_what_it_holds(
        ops in prop::collection::vec(op(), 1..150),
    ) {
        let mut model = Model::default();
        let heap = heap::get().unwrap();
        // A case that failed before left its blocks behind.
        let before = validate(heap, core::iter::empty()).unwrap();
        let before = (before.elsewhere(), before.large);
        for op in &ops {
            model.apply(op);
        }
        let census = validate(heap, model.live.keys().copied()).unwrap();
        prop_assert_eq!((census.elsewhere(), census.large_elsewhere()), before);
        prop_assert_eq!(census.held + census.large_held, model.live.len());
        model.apply(&Op::FreeAll { step: 1 });
        let census = validate(heap, core::iter::empty()).unwrap();
        prop_assert_eq!((census.elsewhere(), census.large), before);
    }
}

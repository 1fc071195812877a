//! By default nothing is detected in time that a program does to its own blocks, and nothing of it
//! reaches the allocator: no metadata lies in blocks or beside them.
//!
//! ```text
//!  overrun to the end of each object ─┐
//!  write over all that is free        ├─► validate: conserved ─► go on: blocks disjoint, content kept
//!  free twice                        ─┘     but for the one that is in two places, which it names
//! ```
#![allow(unsafe_code)]

use cidalloc::validate::validate;
use cidalloc::violation::Violation;
use cidalloc::{free, hardened, heap, maintenance, malloc, size_class};
use std::collections::BTreeSet;

const SIZES: [usize; 7] = [16, 40, 100, 500, 1000, 5000, 30000];

/// Blocks of all sizes, filled to the last byte of their objects.
fn overrun(count: usize) -> Vec<(*mut u8, usize)> {
    (0..count)
        .map(|i| {
            let size = SIZES[i % SIZES.len()];
            let block = malloc::alloc(size);
            assert!(!block.is_null());
            let whole = size_class::of_size(size).info().size as usize;
            // SAFETY: more than the block's bytes, but no more than its object's.
            unsafe { block.write_bytes(0xa5, whole) };
            (block, whole)
        })
        .collect()
}

fn give_up(blocks: Vec<(*mut u8, usize)>) -> Vec<(*mut u8, usize)> {
    for &(block, _) in &blocks {
        // SAFETY: live, and given up once.
        unsafe { free::free(block) };
    }
    blocks
}

/// Writes over blocks that are free.
fn scribble(blocks: &[(*mut u8, usize)]) {
    for &(block, whole) in blocks {
        // SAFETY: memory of the region, which stays mapped. That it is not ours is the point.
        unsafe { block.write_bytes(0xff, whole) };
    }
}

fn addresses(blocks: &[(*mut u8, usize)]) -> impl Iterator<Item = usize> + use<'_> {
    blocks.iter().map(|(block, _)| block.addr())
}

#[test]
fn overruns_and_writes_to_free_blocks_never_reach_the_allocator() {
    let first = overrun(7000);
    if hardened::is_on() {
        println!("skipped: the hardened mode sees it all");
        return;
    }
    let heap = heap::started().expect("it was used");
    for round in 0..4 {
        let freed = give_up(overrun(7000));
        scribble(&freed);
        let census = validate(heap, addresses(&first)).expect("conserved after scribbling");
        assert_eq!((census.held, census.elsewhere()), (7000, 0), "round {round}");
        // Who was not involved goes on: disjoint blocks whose content stays.
        let (mine, mut seen) = (overrun(7000), BTreeSet::new());
        for (i, &(block, whole)) in mine.iter().enumerate() {
            assert!(seen.insert(block.addr()), "{block:p} twice");
            // SAFETY: a live block of so many bytes.
            unsafe { block.write_bytes(i as u8, whole) };
        }
        assert!(addresses(&first).all(|live| !seen.contains(&live)), "a live block again");
        for (i, &(block, whole)) in mine.iter().enumerate() {
            // SAFETY: as above.
            let bytes = unsafe { core::slice::from_raw_parts(block, whole) };
            assert!(bytes.iter().all(|&byte| byte == i as u8), "content of {block:p}");
        }
        scribble(&give_up(mine));
        // Pages that are given back and come again.
        maintenance::trim(heap);
    }
    give_up(first);
    maintenance::trim(heap);
    let census = validate(heap, core::iter::empty()).expect("conserved at the end");
    assert_eq!((census.elsewhere(), census.spans), (0, 0));
    free_twice(heap);
}

/// One block freed twice: the validation names it and nothing else, it may be handed out twice, and
/// afterwards all is as it should be.
fn free_twice(heap: &heap::Heap) {
    const SIZE: usize = 200;
    if heap.source == heap::Source::None {
        println!("skipped: without caches a second free is always refused");
        return;
    }
    let others: Vec<_> = (0..20).map(|_| (malloc::alloc(SIZE), SIZE)).collect();
    let twice = malloc::alloc(SIZE);
    // SAFETY: live the first time; the second time is the mistake.
    unsafe {
        free::free(twice);
        free::free(twice);
    }
    let class = size_class::of_size(SIZE).0;
    let seen = validate(heap, core::iter::empty()).map(|_| ());
    assert_eq!(seen, Err(Violation::ObjectTwice { address: twice.addr(), class }));
    // Both copies are on top of a cache, of this thread's cid or one that it had just now.
    let mut got: Vec<_> = (0..5000).map(|_| malloc::alloc(SIZE)).collect();
    let copies = got.iter().filter(|&&block| block == twice).count();
    let distinct: BTreeSet<_> = got.iter().map(|block| block.addr()).collect();
    assert_eq!(distinct.len(), got.len() - (copies - 1), "no other block twice");
    if copies == 1 {
        // The thread was moved between the two frees: the other copy is in another cid's shard.
        println!("skipped: the thread moved to another cid");
        return;
    }
    assert_eq!(copies, 2);
    let second = got.iter().rposition(|&block| block == twice).expect("counted above");
    got.swap_remove(second);
    validate(heap, got.iter().map(|block| block.addr())).expect("conserved with one copy gone");
    give_up(got.into_iter().map(|block| (block, SIZE)).collect());
    give_up(others);
    maintenance::trim(heap);
    let census = validate(heap, core::iter::empty()).expect("conserved again");
    assert_eq!((census.elsewhere(), census.spans), (0, 0));
}

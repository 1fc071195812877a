use super::*;
use crate::fork::Fork;
use crate::populate::Populate;
use crate::range::Plan;
use numa_sys::policy::BindMode;
use std::collections::HashSet;

const SHIFT: u32 = 16;

fn items(len: usize, ranges: usize) -> Items {
    let shape = Shape { nodes: 1, cids: 2, shift: SHIFT };
    Items::new(shape, len, ranges).unwrap().unwrap()
}

fn range(items: &Items) -> Range {
    let plan = Plan {
        name: c"cidpool:items",
        shape: items.shape,
        populate: Populate::Zero,
        bind: BindMode::None,
        fork: Fork::Copied,
    };
    Range::map(&plan).unwrap()
}

/// As the lock's holder: tests have their books to themselves.
fn install(items: &Items, most: u32) -> (usize, Group) {
    let slot = items.vacant().unwrap();
    // SAFETY: vacant, and nobody else is here.
    (slot, unsafe { items.install(slot, range(items), most) })
}

#[test]
fn every_item_is_found_at_its_address_and_nothing_else_is() {
    for len in [8, 16, 24, 40, 56, 64, 120, 1000, 4096, 8200, 65536] {
        let items = items(len, 3);
        install(&items, 0);
        install(&items, 0);
        let mut seen = HashSet::new();
        while let Some(group) = items.take_group() {
            for item in group.iter() {
                // SAFETY: just taken.
                let address = unsafe { items.address(item) }.addr().get();
                assert!(seen.insert(address), "{len}: twice");
                assert_eq!(items.locate(address), Ok(item), "{len}");
                for inside in [1, 4, len / 2, len - 1] {
                    assert_eq!(items.locate(address + inside), Err(NoItem::Interior), "{len}");
                }
            }
        }
        assert_eq!(seen.len(), 2 * (65536 / len));
        let base = items.base(0).unwrap().addr().get();
        let behind = base + 65536 / len * len;
        if behind < base + 65536 {
            assert_eq!(items.locate(behind), Err(NoItem::Interior), "{len}: the copy's rest");
        }
        assert_eq!(items.locate(base + 65536), Err(NoItem::Foreign), "{len}: another copy");
        assert_eq!(items.locate(0), Err(NoItem::Foreign));
        assert_eq!(items.locate(usize::MAX), Err(NoItem::Foreign));
    }
}

#[test]
fn what_is_put_back_can_be_taken_again_and_only_once() {
    let items = items(64, 1);
    let (_, mine) = install(&items, 5);
    assert_eq!((mine.mask, items.free()), (0b11111, 1019));
    assert!(items.put(mine));
    assert!(!items.put(mine), "they are free already");
    let some = items.take_some(3).unwrap();
    assert_eq!(some.mask.count_ones(), 3);
    let mut count = 3;
    while let Some(group) = items.take_group() {
        count += group.mask.count_ones();
    }
    assert_eq!((count, items.free()), (1024, 0));
    assert_eq!((items.take_some(1), items.take_group()), (None, None));
}

#[test]
fn a_range_is_given_back_only_when_all_its_items_are_free() {
    let items = items(1000, 2);
    let (slot, mine) = install(&items, 1);
    assert!(items.retire(slot).is_none());
    assert_eq!(items.free(), 64, "what was tried was undone");
    assert!(items.put(mine));
    assert!(items.retire(slot).is_some());
    assert_eq!((items.ranges(), items.free()), (0, 0));
    assert!(items.retire(slot).is_none());
}

#[test]
fn ranges_are_found_whichever_came_and_went_before() {
    let items = items(64, 8);
    for round in 0..100 {
        while items.vacant().is_some() {
            install(&items, 0);
        }
        for slot in 0..8 {
            let base = items.base(slot).unwrap().addr().get();
            let first = (slot * items.words_per_range * 64) as u32;
            assert_eq!(items.locate(base), Ok(Index(first)), "round {round}");
        }
        drop(items.retire(round % 8));
        drop(items.retire(round * 5 % 8));
    }
}

#[test]
fn a_table_that_ranges_come_and_go_in_is_not_full_of_what_was() {
    let items = items(64, 8);
    // Kept, so that each is at another address.
    let mut before = Vec::new();
    for _ in 0..100 {
        let (slot, _) = install(&items, 0);
        before.extend(items.retire(slot));
    }
    install(&items, 0);
    let entries = (0..=items.table_mask).map(|index| items.entry(index).load(Relaxed));
    assert_eq!(entries.filter(|&entry| entry != 0).count(), 1);
}

#[test]
fn items_without_numbers_are_refused() {
    let shape = Shape { nodes: 1, cids: 1, shift: SHIFT };
    assert!(Items::new(shape, 8, 1 << 20).is_none());
    assert!(Items::new(shape, 8, usize::MAX).is_none());
}

#[test]
fn a_fresh_item_is_not_a_used_one() {
    let items = items(64, 1);
    let (_, mine) = install(&items, 2);
    let [first, second]: [Index; 2] = mine.iter().collect::<Vec<_>>().try_into().unwrap();
    items.set_recycled(Group::one(first));
    assert!(items.is_recycled(first) && !items.is_recycled(second));
}

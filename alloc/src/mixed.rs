//! Objects of any class in one hand, put into order: by class, and within one by address.
//!
//! ```text
//!  b₇ a₂ b₃ a₁ b₄   ──►   a₁ a₂ │ b₃ b₄ b₇      neighbours beside each other, so that those of
//!                         class   class         one bitmap word go home by one operation
//! ```

use crate::ids::{PageId, SizeClass};
use crate::region::Region;
use crate::size_class::CLASSES;

/// The class of the span that `object` lies in; `None` where there is no span.
#[must_use]
pub fn class_of(region: &Region, object: usize) -> Option<SizeClass> {
    let entry = region.entry(PageId::of_offset(region.offset_of(object)?));
    (entry != 0 && usize::from(entry) < CLASSES).then_some(SizeClass(entry))
}

/// Sorts `objects`, and calls `each` once for each class that there is. What lies in no span is
/// left out. In place, without allocation.
pub fn by_class(region: &Region, objects: &mut [usize], mut each: impl FnMut(SizeClass, &[usize])) {
    let class = |object: usize| class_of(region, object).map_or(0, |class| class.0);
    sort_by_key(objects, |object| (class(object), object));
    for same in objects.chunk_by(|&a, &b| class(a) == class(b)) {
        if let Some(class) = class_of(region, same[0]) {
            each(class, same);
        }
    }
}

/// Heapsort. Core's sorts are a sixth of the library's code, which each process maps; a hand is short.
fn sort_by_key<K: Ord>(objects: &mut [usize], key: impl Fn(usize) -> K) {
    for root in (0..objects.len() / 2).rev() {
        sift_down(objects, root, &key);
    }
    for end in (1..objects.len()).rev() {
        objects.swap(0, end);
        sift_down(&mut objects[..end], 0, &key);
    }
}

/// Makes a heap of what lies below `root`, whose children are heaps with the largest on top.
fn sift_down<K: Ord>(heap: &mut [usize], mut root: usize, key: &impl Fn(usize) -> K) {
    loop {
        let left = 2 * root + 1;
        let Some(&first) = heap.get(left) else { return };
        let is_right = heap.get(left + 1).is_some_and(|&second| key(second) > key(first));
        let child = left + usize::from(is_right);
        if key(heap[root]) >= key(heap[child]) {
            return;
        }
        heap.swap(root, child);
        root = child;
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::config::PAGE;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn objects_come_by_class_and_in_order_of_their_addresses() {
        let region = Region::reserve_at_most(16 << 20, 1, 1).unwrap();
        let page = region.take_pages(3).unwrap();
        for (n, class) in [(0, 9), (1, 4), (2, 9)] {
            region.set_entries(page.plus(n), 1, class);
        }
        let base = region.address(page).addr();
        let elsewhere = base + 3 * PAGE;
        let mut objects = [
            base + 2 * PAGE,
            base + 144,
            elsewhere,
            base + PAGE + 64,
            base,
            16,
            base + PAGE,
            base + 2 * PAGE + 288,
        ];
        let mut seen = Vec::new();
        by_class(&region, &mut objects, |class, same| seen.push((class.0, same.to_vec())));
        assert_eq!(
            seen,
            [
                (4, std::vec![base + PAGE, base + PAGE + 64]),
                (9, std::vec![base, base + 144, base + 2 * PAGE, base + 2 * PAGE + 288]),
            ]
        );
        by_class(&region, &mut [], |_, _| panic!("there is nothing"));
    }

    proptest! {
        #[test]
        fn hands_of_any_length_are_sorted(mut hand in prop::collection::vec(0usize..200, 0..150)) {
            let mut sorted = hand.clone();
            sorted.sort_unstable_by_key(|&object| (object % 7, object));
            sort_by_key(&mut hand, |object| (object % 7, object));
            prop_assert_eq!(hand, sorted);
        }
    }
}

//! Copies are bound to their node before anything is in them: the kernel's own word for it.

use cidpool::{BindMode, Numa, Pool, Populate};
use numa_sys::policy::{self, Mode};

#[test]
fn every_copy_is_bound_to_its_node_before_it_is_populated() {
    if let Err(error) = numa_sys::numa_available() {
        println!("skipped: {error}");
        return;
    }
    let usable = policy::mems_allowed().unwrap();
    for populate in [Populate::Zero, Populate::Image] {
        for (bind, mode) in [(BindMode::Preferred, Mode::PREFERRED), (BindMode::Bind, Mode::BIND)] {
            let pool =
                Pool::builder(64).populate(populate).numa(Numa::Bound(bind)).build().unwrap();
            let item = pool.allocate().unwrap();
            assert_eq!(pool.resident(item).unwrap(), [], "nothing is populated");
            let mut bound = 0;
            for (place, copy) in pool.copies(item) {
                let found = policy::policy_of_address(copy.as_ptr().cast()).unwrap();
                if usable.iter().any(|node| node as usize == place.node) {
                    assert_eq!(found.mode, mode, "{populate:?} {place}");
                    assert_eq!(
                        found.nodes.lowest(),
                        Some(place.node as u32),
                        "{populate:?} {place}"
                    );
                    assert_eq!(found.nodes.count(), 1);
                    bound += 1;
                }
            }
            assert!(bound > 0);
            // SAFETY: just allocated.
            unsafe { pool.free(item) };
        }
    }
}

#[test]
fn a_page_that_is_written_is_on_the_node_of_its_copy() {
    if numa_sys::numa_available().is_err() {
        println!("skipped: no NUMA");
        return;
    }
    let usable = policy::mems_allowed().unwrap();
    for populate in [Populate::Zero, Populate::Image] {
        let pool =
            Pool::builder(64).populate(populate).numa(Numa::Bound(BindMode::Bind)).build().unwrap();
        let item = pool.allocate().unwrap();
        for (place, copy) in pool.copies(item) {
            if usable.iter().any(|node| node as usize == place.node) {
                // SAFETY: a copy of our item.
                unsafe { copy.write(1) };
                let node = policy::node_of_page(copy.as_ptr().cast()).unwrap();
                assert_eq!(node as usize, place.node, "{populate:?}");
            }
        }
        // SAFETY: just allocated.
        unsafe { pool.free(item) };
    }
}

#[test]
fn a_pool_that_is_not_bound_leaves_the_thread_s_policy() {
    let pool = Pool::builder(64).numa(Numa::Bound(BindMode::None)).build().unwrap();
    let item = pool.allocate().unwrap();
    if let Ok(found) = policy::policy_of_address(item.as_ptr().as_ptr().cast()) {
        assert_eq!(found, policy::get_mempolicy().unwrap());
    }
    // SAFETY: just allocated.
    unsafe { pool.free(item) };
}

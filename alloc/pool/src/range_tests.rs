use super::*;
use numa_sys::policy::Mode;

fn plan(populate: Populate, nodes: usize) -> Plan<'static> {
    Plan {
        name: c"cidpool:range",
        shape: Shape { nodes, cids: 3, shift: 16 },
        populate,
        bind: BindMode::Preferred,
        fork: Fork::Copied,
    }
}

fn copy(range: &Range, copy: usize) -> *mut u8 {
    range.base().as_ptr().wrapping_add(copy << 16)
}

#[test]
fn copy_0_begins_at_a_multiple_of_the_stride() {
    for shift in [12, 16, 21, 24] {
        let shape = Shape { nodes: 1, cids: 2, shift };
        let range = Range::map(&Plan { shape, ..plan(Populate::Zero, 1) }).unwrap();
        assert!(range.base().addr().get().is_multiple_of(1 << shift));
    }
}

#[test]
fn copies_of_another_node_do_not_take_over_a_node_s_policy() {
    if numa_sys::numa_available().is_err() {
        println!("skipped: no NUMA");
        return;
    }
    let end = numa_sys::topology::possible_nodes().unwrap() as usize;
    for populate in [Populate::Zero, Populate::Image] {
        // The last node is none that this machine can have.
        let range = Range::map(&plan(populate, end + 1)).unwrap();
        assert!(range.unbound >= 1);
        let policy = |number| policy::policy_of_address(copy(&range, number).cast()).unwrap();
        for number in 0..3 {
            assert_eq!(policy(number).mode, Mode::PREFERRED, "{populate:?}");
            assert_eq!(policy(number).nodes.lowest(), Some(0));
            assert_eq!(policy(end * 3 + number).mode, Mode::DEFAULT, "{populate:?}");
        }
    }
}

#[test]
fn copies_that_a_child_finds_wiped_are_bound_as_before() {
    if numa_sys::numa_available().is_err() {
        println!("skipped: no NUMA");
        return;
    }
    for populate in [Populate::Zero, Populate::Image] {
        let range = Range::map(&Plan { fork: Fork::Wiped, ..plan(populate, 1) }).unwrap();
        // As a child does it; this process's own copies are wiped by it, too.
        assert!(range.after_fork(c"cidpool:range"));
        for number in 0..3 {
            let found = policy::policy_of_address(copy(&range, number).cast()).unwrap();
            assert_eq!(found.mode, Mode::PREFERRED, "{populate:?}");
            assert_eq!(found.nodes.lowest(), Some(0));
        }
    }
}

#[test]
fn an_image_is_the_same_one_for_all_nodes() {
    let mut range = Range::map(&plan(Populate::Image, 2)).unwrap();
    range.image.as_mut().unwrap().fill(|bytes| bytes.fill(9));
    for number in 0..6 {
        for at in [0, 65535] {
            // SAFETY: a byte of a copy.
            assert_eq!(unsafe { copy(&range, number).add(at).read() }, 9);
        }
    }
    let image = range.image.as_ref().unwrap();
    assert_eq!(image.write(64, [1, 2].into_iter()), Some(true));
    assert_eq!(image.write(64, [1, 2].into_iter()), Some(false), "as it is already");
    for number in 0..6 {
        // SAFETY: a word of a copy.
        assert_eq!(unsafe { copy(&range, number).add(72).cast::<u64>().read() }, 2);
    }
}

#[test]
fn what_is_discarded_reads_as_at_first() {
    for populate in [Populate::Zero, Populate::Image] {
        let range = Range::map(&plan(populate, 1)).unwrap();
        // SAFETY: bytes of copies.
        unsafe {
            copy(&range, 1).write(5);
            range.discard();
            assert_eq!(copy(&range, 1).read(), 0);
        }
    }
}

#[test]
fn more_copies_than_addresses_are_refused() {
    let shape = Shape { nodes: 64, cids: 8192, shift: 31 };
    assert!(Range::map(&Plan { shape, ..plan(Populate::Zero, 1) }).is_err());
}

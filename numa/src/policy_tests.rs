//! Tests of policies with the kernel that runs them, on a node that it allows.

use super::*;
use crate::{numa_alloc_onnode, numa_free};
use core::ptr::{null, null_mut};
use std::eprintln;
use std::format;

const SIZE: usize = 1 << 20;

/// A node that policies may name, unless this kernel has no policies.
fn usable_node() -> Option<u32> {
    match mems_allowed() {
        Ok(nodes) => Some(nodes.lowest().expect("a thread without any node")),
        Err(errno) => {
            eprintln!("skipped: no memory policies here ({errno})");
            None
        }
    }
}

#[test]
fn no_binding_makes_no_call() {
    let nonsense = core::ptr::without_provenance_mut(1);
    assert_eq!(bind_range(nonsense, usize::MAX, u32::MAX, BindMode::None), Ok(()));
}

#[test]
fn bad_ranges_and_nodes_are_refused() {
    let Some(node) = usable_node() else { return };
    let block = numa_alloc_onnode(SIZE, node).unwrap();
    let addr = block.as_ptr();
    for bad in [1023, 1024, u32::MAX] {
        // Preferred would take an empty set for "local": node 1023 must not fall off the end.
        for mode in [BindMode::Preferred, BindMode::Bind] {
            let bound = bind_range(addr, SIZE, bad, mode);
            assert_eq!(bound, Err(Errno::EINVAL), "node {bad}, {mode:?}");
        }
        assert!(numa_alloc_onnode(SIZE, bad).is_err());
    }
    let unaligned = addr.wrapping_byte_add(8);
    assert_eq!(bind_range(unaligned, 4096, node, BindMode::Preferred), Err(Errno::EINVAL));
    assert_eq!(bind_range(null_mut(), SIZE, node, BindMode::Bind), Err(Errno::EFAULT));
    assert_eq!(bind_range(addr, 0, node, BindMode::Bind), Ok(()));
    assert_eq!(mbind(addr, SIZE, Mode::BIND, &NodeMask::EMPTY, Existing::Keep), Err(Errno::EINVAL));
    // SAFETY: ours, not used again.
    unsafe { numa_free(block, SIZE) }.unwrap();
}

#[test]
fn a_ranges_policy_is_the_one_it_was_given() {
    let Some(node) = usable_node() else { return };
    let block = numa_alloc_onnode(SIZE, node).unwrap();
    let addr = block.as_ptr();
    let nodes = NodeMask::single(node).unwrap();
    let policy = |addr| policy_of_address(addr).unwrap();
    assert_eq!(policy(addr), Policy { mode: Mode::BIND, nodes });
    bind_range(addr, SIZE / 2, node, BindMode::Preferred).unwrap();
    assert_eq!(policy(addr), Policy { mode: Mode::PREFERRED, nodes });
    assert_eq!(policy(addr.wrapping_byte_add(SIZE / 2)).mode, Mode::BIND);
    mbind(addr, SIZE, Mode::DEFAULT, &NodeMask::EMPTY, Existing::Keep).unwrap();
    assert_eq!(policy(addr), get_mempolicy().unwrap());
    assert_eq!(policy_of_address(core::ptr::without_provenance(8)), Err(Errno::EFAULT));
    // SAFETY: ours, not used again.
    unsafe { numa_free(block, SIZE) }.unwrap();
}

#[test]
fn a_threads_policy_can_be_set_and_put_back() {
    let Some(node) = usable_node() else { return };
    let before = get_mempolicy().unwrap();
    let nodes = NodeMask::single(node).unwrap();
    let interleaved = Mode::INTERLEAVE.with_static_nodes();
    set_mempolicy(interleaved, &nodes).unwrap();
    assert_eq!(get_mempolicy(), Ok(Policy { mode: interleaved, nodes }));
    crate::numa_set_preferred(Some(node)).unwrap();
    assert_eq!(get_mempolicy(), Ok(Policy { mode: Mode::PREFERRED, nodes }));
    crate::numa_set_preferred(None).unwrap();
    assert_eq!(get_mempolicy(), Ok(Policy { mode: Mode::LOCAL, nodes: NodeMask::EMPTY }));
    assert_eq!(crate::numa_set_preferred(Some(2000)), Err(Errno::EINVAL));
    set_mempolicy(before.mode, &before.nodes).unwrap();
    assert_eq!(get_mempolicy(), Ok(before));
}

#[test]
fn a_page_has_a_node_only_once_written() {
    let Some(node) = usable_node() else { return };
    let page = 4096.max(page_size());
    let block = numa_alloc_onnode(4 * page, node).unwrap();
    let at = |index: usize| block.as_ptr().wrapping_byte_add(index * page).cast_const();
    assert!(no_page(node_of_page(at(0))));
    // SAFETY: within the fresh mapping.
    unsafe { block.cast::<u8>().write(1) };
    // SAFETY: as above; a read maps the zero page.
    let zero = unsafe { at(1).cast::<u8>().read_volatile() };
    assert_eq!(zero, 0);
    assert_eq!(node_of_page(at(0)), Ok(node));
    assert_eq!(node_of_page(at(0).wrapping_byte_add(page - 1)), Ok(node));
    assert_eq!(node_of_page(at(1)), Err(Errno::EFAULT));
    assert!(no_page(node_of_page(at(2))));
    assert_eq!(node_of_page(null()), Err(Errno::EFAULT));

    let mut status = [PageStatus::UNKNOWN; 3];
    nodes_of_pages(&[at(0), at(2), null()], &mut status).unwrap();
    let [touched, untouched, unmapped] = status.map(PageStatus::node);
    assert_eq!((touched, unmapped), (Ok(node), Err(Errno::EFAULT)));
    assert!(no_page(untouched));
    assert_eq!(nodes_of_pages(&[at(0)], &mut status), Err(Errno::EINVAL));
    assert_eq!(nodes_of_pages(&[], &mut []), Ok(()));
    // SAFETY: ours, not used again.
    unsafe { numa_free(block, 4 * page) }.unwrap();
    assert_eq!(node_of_page(block.as_ptr()), Err(Errno::EFAULT));
}

#[test]
fn a_page_moved_to_its_own_node_stays_and_keeps_its_contents() {
    let Some(node) = usable_node() else { return };
    let block = numa_alloc_onnode(SIZE, node).unwrap();
    // SAFETY: within the fresh mapping.
    unsafe { block.cast::<u64>().write(0x5eed) };
    let mut status = [PageStatus::UNKNOWN];
    let pages = [block.as_ptr().cast_const()];
    assert_eq!(move_pages(&pages, &[node], &mut status, MoveScope::Own), Ok(0));
    assert_eq!(status[0].node(), Ok(node));
    let gone = move_pages(&pages, &[u32::MAX], &mut status, MoveScope::Own);
    assert_eq!(gone, Err(Errno::ENODEV));
    assert_eq!(move_pages(&pages, &[], &mut status, MoveScope::Own), Err(Errno::EINVAL));
    // SAFETY: as above.
    assert_eq!(unsafe { block.cast::<u64>().read() }, 0x5eed);
    // SAFETY: ours, not used again.
    unsafe { numa_free(block, SIZE) }.unwrap();
}

#[test]
fn modes_have_the_kernels_numbers_and_names() {
    assert_eq!(format!("{:?}", Mode::BIND.with_static_nodes()), "BIND|STATIC_NODES");
    assert_eq!(format!("{:?}", Mode(0x4000 | 9)), "Mode(9)|RELATIVE_NODES");
    let pairs = [
        (Mode::DEFAULT, libc::MPOL_DEFAULT),
        (Mode::PREFERRED, libc::MPOL_PREFERRED),
        (Mode::BIND, libc::MPOL_BIND),
        (Mode::INTERLEAVE, libc::MPOL_INTERLEAVE),
        (Mode::LOCAL, libc::MPOL_LOCAL),
        (Mode::BIND.with_static_nodes(), libc::MPOL_BIND | libc::MPOL_F_STATIC_NODES),
        (Mode::BIND.with_relative_nodes(), libc::MPOL_BIND | libc::MPOL_F_RELATIVE_NODES),
    ];
    for (mode, number) in pairs {
        assert_eq!(i64::from(mode.raw()), i64::from(number), "{mode:?}");
    }
}

/// Linux 6.1 says EFAULT of an anonymous page never touched, Linux 6.12 ENOENT.
fn no_page(found: Result<u32, Errno>) -> bool {
    matches!(found, Err(Errno::ENOENT | Errno::EFAULT))
}

fn page_size() -> usize {
    // SAFETY: no arguments but a constant.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap()
}

//! Pages really go where they are told: asked of the kernel, for every node that is allowed.

use core::ffi::c_void;
use core::ptr::NonNull;
use numa_sys::policy::{self, MoveScope, PageStatus, move_pages, node_of_page, nodes_of_pages};
use numa_sys::topology::{self, Sysfs};
use numa_sys::*;

const SIZE: usize = 2 << 20;
const STEP: usize = 4096; // the least page size of all; larger pages are just asked repeatedly

/// The nodes that may be named in a policy, unless this kernel has no policies.
fn nodes() -> Vec<u32> {
    match numa_get_mems_allowed() {
        Ok(nodes) => nodes.iter().collect(),
        Err(errno) => {
            eprintln!("skipped: no memory policies here ({errno})");
            Vec::new()
        }
    }
}

fn touch(block: NonNull<c_void>) {
    for offset in (0..SIZE).step_by(STEP) {
        // SAFETY: every block of this file is a mapping of SIZE bytes.
        unsafe { block.cast::<u8>().add(offset).write(7) };
    }
}

fn where_it_is(block: NonNull<c_void>) -> Vec<Result<u32, Errno>> {
    let pages = pages(block);
    let mut status = vec![PageStatus::UNKNOWN; pages.len()];
    nodes_of_pages(&pages, &mut status).unwrap();
    status.iter().map(|status| status.node()).collect()
}

fn pages(block: NonNull<c_void>) -> Vec<*const c_void> {
    let at = |offset| block.as_ptr().wrapping_byte_add(offset).cast_const();
    (0..SIZE).step_by(STEP).map(at).collect()
}

fn free(block: NonNull<c_void>) {
    // SAFETY: every block of this file is of this size and freed once, at the end of its test.
    unsafe { numa_free(block, SIZE) }.unwrap();
}

#[test]
fn touched_pages_are_on_the_node_of_their_range() {
    let nodes = nodes();
    for &node in &nodes {
        let block = numa_alloc_onnode(SIZE, node).unwrap();
        // Linux 6.1 says EFAULT of it, 6.12 ENOENT.
        let untouched = node_of_page(block.as_ptr()).unwrap_err();
        assert!(matches!(untouched, Errno::ENOENT | Errno::EFAULT), "{untouched}");
        touch(block);
        assert_eq!(node_of_page(block.as_ptr()), Ok(node));
        assert!(where_it_is(block).iter().all(|&found| found == Ok(node)), "node {node}");
        free(block);
    }
    println!("placement seen on nodes {nodes:?}");
}

#[test]
fn binding_holds_from_whatever_cpu_the_touch_comes() {
    let touched_from = |cpu_node, node, mode| {
        numa_run_on_node(Some(cpu_node)).unwrap();
        assert_eq!(topology::current_cpu_and_node().unwrap().1, cpu_node);
        let block = numa_alloc_onnode(SIZE, node).unwrap();
        policy::bind_range(block.as_ptr(), SIZE, node, mode).unwrap();
        touch(block);
        let found = where_it_is(block);
        free(block);
        found
    };
    for cpu_node in &Sysfs::SYSTEM.nodes_with_cpus().unwrap() {
        for node in nodes() {
            for mode in [BindMode::Bind, BindMode::Preferred] {
                // A thread of its own, so that its affinity ends with it.
                let worker = std::thread::spawn(move || touched_from(cpu_node, node, mode));
                let found = worker.join().unwrap();
                let right = found.iter().all(|&found| found == Ok(node));
                assert!(right, "touched on node {cpu_node}, {mode:?} to {node}: {found:?}");
            }
        }
    }
}

#[test]
fn nodes_without_memory_are_refused() {
    let Some(&allowed) = nodes().first() else {
        return;
    };
    let with_memory = Sysfs::SYSTEM.nodes_with_memory().unwrap();
    let online = Sysfs::SYSTEM.online_nodes().unwrap();
    let Some(without) = online.iter().find(|&node| !with_memory.contains(node)) else {
        return eprintln!("skipped: every node of this machine has memory");
    };
    assert_eq!(numa_alloc_onnode(SIZE, without), Err(Errno::EINVAL));
    let block = numa_alloc_onnode(SIZE, allowed).unwrap();
    touch(block);
    let mut status = [PageStatus::UNKNOWN];
    let page = [block.as_ptr().cast_const()];
    let moved = move_pages(&page, &[without], &mut status, MoveScope::Own);
    assert_eq!(moved, Err(Errno::ENODEV));
    let instead = Sysfs::SYSTEM.nearest_node_with_memory(without).unwrap();
    assert!(with_memory.contains(instead));
    free(block);
}

#[test]
fn pages_move_between_nodes_with_their_contents() {
    let nodes = nodes();
    let &[from, to, ..] = &nodes[..] else {
        return eprintln!("skipped: moving pages takes two nodes, here are {}", nodes.len());
    };
    let block = numa_alloc_onnode(SIZE, from).unwrap();
    touch(block);
    let pages = pages(block);
    let targets = vec![to; pages.len()];
    let mut status = vec![PageStatus::UNKNOWN; pages.len()];
    assert_eq!(move_pages(&pages, &targets, &mut status, MoveScope::Own), Ok(0));
    assert!(where_it_is(block).iter().all(|&found| found == Ok(to)));
    let back = NodeMask::single(from).unwrap();
    let existing = policy::Existing::MoveOrFail;
    policy::mbind(block.as_ptr(), SIZE, policy::Mode::BIND, &back, existing).unwrap();
    assert!(where_it_is(block).iter().all(|&found| found == Ok(from)));
    // SAFETY: within the block.
    assert_eq!(unsafe { block.cast::<u8>().add(SIZE - STEP).read() }, 7);
    free(block);
}

#[test]
fn a_thread_stays_on_the_cpus_it_was_given() {
    let before = numa_sched_getaffinity().unwrap();
    for node in &Sysfs::SYSTEM.nodes_with_cpus().unwrap() {
        let cpus = numa_node_to_cpus(node).unwrap().and(&before);
        if cpus.is_empty() {
            continue;
        }
        numa_run_on_node(Some(node)).unwrap();
        assert_eq!(numa_sched_getaffinity(), Ok(cpus));
        assert!(cpus.contains(topology::current_cpu_and_node().unwrap().0));
    }
    numa_run_on_node(None).unwrap();
    assert_eq!(numa_sched_getaffinity().unwrap().and(&before), before);
    numa_sched_setaffinity(&before).unwrap();
    assert!(numa_run_on_node(Some(1000)).is_err());
}

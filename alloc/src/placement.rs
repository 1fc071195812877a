//! Where the kernel put the heap's memory: each resident page is asked for, by `move_pages(2)`.
//!
//! ```text
//!  shards   (node, cid) ──► its 512 KiB          ┐   64 addresses a call ──► node, or not there
//!  region   extent ──► node ──► its 4 MiB        ┘   counted for the node that it belongs to
//! ```
//!
//! Nothing is stopped for it: pages may come, and kernels that balance may move them, while it
//! walks. The shared tables (page map, descriptors, bitmaps) belong to no node.
#![allow(unsafe_code)]

use crate::config::{EXTENT_PAGES, NODES_MAX, PAGE, SHARD_BYTES};
use crate::heap::Heap;
use crate::ids::PageId;
use crate::shard::Shard;
use core::ffi::c_void;
pub use numa_sys::Errno;
use numa_sys::policy::{PageStatus, nodes_of_pages};

/// Kernel pages that belong to one node.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodePages {
    /// Pages asked for.
    pub asked: usize,
    /// Of these, pages that are there.
    pub resident: usize,
    /// Of these, pages that are on another node.
    pub elsewhere: usize,
}

/// The pages of all nodes; of one, if there is one page heap, and then none is elsewhere, since
/// none was to be anywhere.
#[derive(Debug, Clone, Copy)]
pub struct Placement {
    pages: [NodePages; NODES_MAX],
    nodes: usize,
}

const AT_ONCE: usize = 64;

impl Placement {
    /// Asks for all pages. Thread-safe, allocates nothing.
    ///
    /// # Errors
    /// `ENOSYS` or `EPERM`: a kernel without NUMA, or a system call filter.
    pub fn ask(heap: &Heap) -> Result<Self, Errno> {
        let mut all = Self { pages: [NodePages::default(); NODES_MAX], nodes: heap.page_heaps() };
        for id in heap.ids().filter(|&id| Shard::arena_of(heap, id).is_some()) {
            let memory = heap.region.shard_memory(heap.slot(id));
            all.ask_range(heap, memory, SHARD_BYTES, heap.heap_of_node(heap.node_of(id)))?;
        }
        let mut page = PageId(EXTENT_PAGES);
        while page < heap.region.end() {
            let rest = PageId((page.0 / EXTENT_PAGES + 1) * EXTENT_PAGES).min(heap.region.end());
            let node = if all.nodes == 1 { 0 } else { heap.region.node_of(page) };
            let len = (rest.0 - page.0) as usize * PAGE;
            // Pages that were taken this instant are nobody's yet.
            if node < all.nodes {
                all.ask_range(heap, heap.region.address(page), len, node)?;
            }
            page = rest;
        }
        Ok(all)
    }

    /// By node.
    #[must_use]
    pub fn nodes(&self) -> &[NodePages] {
        &self.pages[..self.nodes]
    }

    #[cold]
    fn ask_range(
        &mut self,
        heap: &Heap,
        start: *mut u8,
        len: usize,
        node: usize,
    ) -> Result<(), Errno> {
        let mut at = 0;
        while at < len {
            let mut addresses = [core::ptr::null::<c_void>(); AT_ONCE];
            let mut status = [PageStatus::UNKNOWN; AT_ONCE];
            let count = AT_ONCE.min((len - at).div_ceil(heap.os_page));
            for (i, address) in addresses[..count].iter_mut().enumerate() {
                *address = start.wrapping_add(at + i * heap.os_page).cast();
            }
            nodes_of_pages(&addresses[..count], &mut status[..count])?;
            let pages = &mut self.pages[node];
            pages.asked += count;
            for is_on in status[..count].iter().filter_map(|status| status.node().ok()) {
                pages.resident += 1;
                pages.elsewhere += usize::from(self.nodes > 1 && is_on as usize != node);
            }
            at += count * heap.os_page;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::{free, malloc, start};

    #[test]
    fn written_pages_are_resident_and_on_their_node() {
        const SIZE: usize = 3 << 20;
        let heap = start::heap().unwrap();
        let block = malloc::alloc(SIZE);
        // SAFETY: a live block of that size.
        unsafe { block.write_bytes(1, SIZE) };
        match Placement::ask(heap) {
            Err(why) => std::eprintln!("skipped: the kernel does not say where pages are: {why}"),
            Ok(placement) => {
                let nodes = placement.nodes();
                assert_eq!(nodes.len(), heap.page_heaps());
                let resident: usize = nodes.iter().map(|node| node.resident).sum();
                assert!(resident >= SIZE / heap.os_page, "{nodes:?}");
                assert!(nodes.iter().all(|node| node.resident <= node.asked), "{nodes:?}");
                if numa_sys::topology::possible_nodes() == Some(1) {
                    assert!(nodes.iter().all(|node| node.elsewhere == 0), "{nodes:?}");
                }
            }
        }
        // SAFETY: allocated above.
        unsafe { free::free(block) };
    }
}

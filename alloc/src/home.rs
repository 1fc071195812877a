//! Where things belong: the node, and so the page heap, of shards, pages, objects and threads.
//!
//! ```text
//!  shard   (node, cid): its row    CPU number: by `nodes`              for ever
//!  page    the heap that took its extent from the region              for ever (NODE-HOME)
//!  object  its page's
//!  thread  where it runs, as far as anybody can say                   a hint
//! ```
//!
//! Where memory is not bound there is one page heap for all nodes, number 0.
#![allow(unsafe_code)]

use crate::heap::{Heap, PAGE_HEAPS, Source, holds_any_lock};
use crate::ids::{PageId, ShardId};
use crate::nodes;
use crate::os;
use crate::page_heap::PageHeap;
use crate::runs::Home;
use numa_sys::policy::BindMode;
use rseq_sys::area;

impl Heap {
    /// Which page heap serves `node`.
    #[must_use]
    pub fn heap_of_node(&self, node: usize) -> usize {
        if self.bind.is_some() { node } else { 0 }
    }

    /// Page heap number `index` and where its pages belong.
    #[must_use]
    pub fn page_heap(&self, index: usize) -> (&'static PageHeap, Home<'_>) {
        let home = Home { region: &self.region, node: index, bind: self.bind, holds_any_lock };
        (&PAGE_HEAPS[index], home)
    }

    /// The page heap that `page` came from.
    #[must_use]
    pub fn page_heap_of(&self, page: PageId) -> (&'static PageHeap, Home<'_>) {
        self.page_heap(if self.bind.is_some() { self.region.node_of(page) } else { 0 })
    }

    /// Number of page heaps in use.
    #[must_use]
    pub fn page_heaps(&self) -> usize {
        if self.bind.is_some() { self.nodes } else { 1 }
    }

    /// How memory is bound, if it is.
    #[must_use]
    pub fn bind(&self) -> Option<BindMode> {
        self.bind
    }

    /// A shard's node.
    #[must_use]
    pub fn node_of(&self, id: ShardId) -> usize {
        // Shards of CPU numbers lie on the table's diagonal.
        if self.source == Source::Cpu { nodes::of_cpu(id.column()) } else { id.row() }
    }

    /// The owner of the spans that shard `id` takes objects from: the shard itself, or its group.
    #[must_use]
    pub fn owner_of(&self, id: ShardId) -> ShardId {
        if self.arena_cids == 1 || id == ShardId::ORPHAN {
            return id;
        }
        let first = id.column() & !(self.arena_cids - 1);
        ShardId::new(if self.source == Source::Cpu { first } else { id.row() }, first).shared()
    }

    /// The shards that share the arena of shard `first`.
    pub fn sharers(&self, first: ShardId) -> impl Iterator<Item = ShardId> {
        let end = (first.column() + self.arena_cids).min(self.cids);
        let row = move |id| if self.source == Source::Cpu { id } else { first.row() };
        (first.column()..end).map(move |id| ShardId::new(row(id), id))
    }

    /// The page heap that the object at `address`, which is in the region, came from: what the
    /// sections compare with header 0 of a shard.
    #[must_use]
    pub fn home_of(&self, address: usize) -> usize {
        if self.bind.is_none() {
            return 0;
        }
        let offset = address.wrapping_sub(self.region.base().addr());
        self.region.node_of(PageId::of_offset(offset))
    }

    /// The node that the calling thread runs on, be it with a shard or without. A hint.
    #[must_use]
    pub fn node_here(&self) -> usize {
        let offset = self.anchor.area;
        // SAFETY: the heap's own offset.
        let cpu = unsafe { area::cpu_id(offset) };
        let node = match (self.source, usize::try_from(cpu)) {
            // SAFETY: as above.
            (Source::Kernel, Ok(_)) => unsafe { area::node_id(offset) as usize },
            (Source::Cpu, Ok(cpu)) => nodes::of_cpu(cpu),
            _ => os::current_node(),
        };
        if node < self.nodes { node } else { 0 }
    }
}

//! Objects on their way from a shard back to their spans.
//!
//! ```text
//!  p p p p p p p p p            popped batch
//!  └─ run ──┘ └ scattered ┘
//!      │           │  merged by word in a small table
//!      ▼           ▼
//!  (page, word, mask) ──► own span: one section ORs the mask into the local word
//!                    └──► else:     one fetch_or into the remote word
//! ```
//!
//! A bit that is set already is a double free, seen at no cost. After the bits are set, each
//! span whose flag is clear is queued (BIT-THEN-FLAG): one barrier for the whole batch.
#![allow(unsafe_code)]

use crate::check::{Misuse, misuse};
use crate::config::PAGE;
use crate::heap::Heap;
use crate::ids::{PageId, ShardId, SizeClass};
use crate::section;
use crate::shard::Shard;
use crate::size_class::object_index;
use crate::span::full_word;
use crate::supply;
use rseq_sys::sync::{Ordering, fence};

const MERGE: usize = 16;
const VISITED: usize = 16;

/// One bitmap word's share of the batch; `mask` 0 is an empty place.
#[derive(Debug, Clone, Copy)]
struct Share {
    page: PageId,
    word: u32,
    mask: u64,
}

/// Objects of one class being sent home; [`Homeward::finish`] must end it.
#[must_use]
pub struct Homeward<'a> {
    heap: &'a Heap,
    class: SizeClass,
    /// Where the thread probably is: whose spans to try by section.
    me: ShardId,
    merge: [Share; MERGE],
    /// Spans whose local words were changed since the last barrier.
    visited: [PageId; VISITED],
    visits: usize,
}

/// Sends `objects` of `class` back to their spans.
pub fn send_home(heap: &Heap, class: SizeClass, objects: &[usize]) {
    let mut home = Homeward::new(heap, class);
    home.add(objects);
    home.finish();
}

/// The barrier of BIT-THEN-FLAG after an atomic operation: on x86-64 that is one already.
#[inline(always)]
fn full_barrier() {
    #[cfg(not(target_arch = "x86_64"))]
    fence(Ordering::SeqCst);
}

/// How many objects from the first on are neighbours, each one right after or right before
/// the last.
fn run_length(objects: &[usize], size: usize) -> usize {
    let Some(&second) = objects.get(1) else {
        return 1;
    };
    let step = second.wrapping_sub(objects[0]);
    if step != size && step != size.wrapping_neg() {
        return 1;
    }
    let more = objects[1..].windows(2).take_while(|w| w[1].wrapping_sub(w[0]) == step);
    2 + more.count()
}

impl<'a> Homeward<'a> {
    /// Nothing on its way yet.
    pub fn new(heap: &'a Heap, class: SizeClass) -> Self {
        Self {
            heap,
            class,
            me: section::shard_id(heap).unwrap_or(ShardId::NOBODY),
            merge: [Share { page: PageId::NONE, word: 0, mask: 0 }; MERGE],
            visited: [PageId::NONE; VISITED],
            visits: 0,
        }
    }

    /// Takes `objects` along.
    pub fn add(&mut self, objects: &[usize]) {
        let mut rest = objects;
        while !rest.is_empty() {
            let run = run_length(rest, self.class.info().size as usize);
            let (now, later) = rest.split_at(run);
            self.add_run(now);
            rest = later;
        }
    }

    /// Delivers what is still on its way.
    pub fn finish(mut self) {
        for i in 0..MERGE {
            self.deliver(self.merge[i]);
        }
        self.look_at_visited();
    }

    /// Adds neighbours, which may lie in several words and spans.
    fn add_run(&mut self, run: &[usize]) {
        let (first, last) = (run[0], run[run.len() - 1]);
        let (low, high) = (first.min(last), first.max(last));
        let base = self.heap.region.base().addr();
        let mut offset = low - base;
        let mut left = run.len();
        debug_assert!(high - base < self.heap.region.bytes());
        while left > 0 {
            let page = PageId::of_offset(offset);
            let index = object_index(self.class, offset & (PAGE - 1));
            let (objects, size) =
                (self.class.info().objects as usize, self.class.info().size as usize);
            if index >= objects {
                misuse(Misuse::Foreign, base + offset);
            }
            let count = left.min(64 - index % 64).min(objects - index);
            let mask = u64::MAX >> (64 - count) << (index % 64);
            self.add_share(page, (index / 64) as u32, mask);
            left -= count;
            offset += count * size;
            if index + count == objects {
                // A run goes on at the next page's beginning, if objects end where pages do.
                if left > 0 && objects * size != PAGE {
                    misuse(Misuse::Foreign, base + offset);
                }
                offset = offset.next_multiple_of(PAGE);
            }
        }
    }

    fn add_share(&mut self, page: PageId, word: u32, mask: u64) {
        let place = (page.0.wrapping_mul(5) ^ word) as usize % MERGE;
        let share = &mut self.merge[place];
        if share.page == page && share.word == word {
            let twice = share.mask & mask;
            share.mask |= mask;
            if twice != 0 {
                self.double_free(page, word, twice);
            }
            return;
        }
        let evicted = core::mem::replace(share, Share { page, word, mask });
        self.deliver(evicted);
    }

    fn deliver(&mut self, share: Share) {
        let Share { page, word, mask } = share;
        if mask == 0 {
            return;
        }
        let span = self.heap.region.span(page);
        let bits = self.heap.region.bitmaps(page, self.class);
        let i = word as usize;
        let local = if span.owner() == self.me {
            // SAFETY: the word is of this owner's span (OWNER-FENCED).
            unsafe { section::put(self.heap, span.owner_word(), bits.local_word(i), mask) }
        } else {
            None
        };
        // The other bitmap's word counts for emptiness: some objects of a word may come home by
        // sections, and others by atomics.
        let (before, other) = match local {
            Some(before) => {
                self.visit(page);
                (before, bits.remote(i).load(Ordering::Relaxed))
            }
            None => {
                let before = bits.remote(i).fetch_or(mask, Ordering::SeqCst);
                full_barrier();
                self.queue_if_unqueued(page);
                (before, bits.local(i))
            }
        };
        if before & mask != 0 {
            self.double_free(page, word, before & mask);
        }
        let full = full_word(self.class.info().objects as usize, i);
        if before | other | mask == full && bits.all_free() {
            self.note_empty(page);
        }
    }

    fn double_free(&self, page: PageId, word: u32, twice: u64) -> ! {
        let index = word as usize * 64 + twice.trailing_zeros() as usize;
        let at = self.heap.region.address(page).addr() + index * self.class.info().size as usize;
        misuse(Misuse::DoubleFree, at)
    }

    fn visit(&mut self, page: PageId) {
        if self.visits > 0 && self.visited[self.visits - 1] == page {
            return;
        }
        if self.visits == VISITED {
            self.look_at_visited();
        }
        self.visited[self.visits] = page;
        self.visits += 1;
    }

    /// Queues the visited spans that nobody has: the second half of BIT-THEN-FLAG.
    fn look_at_visited(&mut self) {
        if self.visits == 0 {
            return;
        }
        fence(Ordering::SeqCst);
        for &page in &self.visited[..self.visits] {
            self.queue_if_unqueued(page);
        }
        self.visits = 0;
    }

    /// Whoever wins the flag possesses the span, and only then are its owner and class certain:
    /// since the bits were set it may have become another's.
    fn queue_if_unqueued(&self, page: PageId) {
        let span = self.heap.region.span(page);
        if span.try_possess() {
            Shard::owner_arena(self.heap, span.owner(), page).enqueue(&self.heap.region, page);
        }
    }

    #[cold]
    fn note_empty(&self, page: PageId) {
        let owner = self.heap.region.span(page).owner();
        if owner == ShardId::NOBODY {
            return;
        }
        let arena = Shard::owner_arena(self.heap, owner, page);
        if arena.class(self.class).note_empty() {
            supply::sweep(self.heap, arena, self.class);
        }
    }
}

//! Every operation of the crate from many threads, and at the end each object in one place.
//!
//! The heap is used beside the program's own allocator, so that every block in it is known:
//! an object that is in no cache, in no bitmap and in no hand was lost.
#![allow(unsafe_code)]

mod blocks;
mod engine;
mod parent;
mod signals;

use blocks::{Face, Random, fail};
use cidalloc::malloc::MIN_ALIGN;
use cidalloc::size_class::{of_aligned, of_size};
use cidalloc::{config::SMALL_MAX, free, malloc, realloc};
use core::alloc::Layout;

struct Direct;

impl Face for Direct {
    fn alloc(&self, layout: Layout, random: &mut Random) -> *mut u8 {
        if layout.align() <= MIN_ALIGN && random.one_in(2) {
            malloc::alloc(layout.size())
        } else {
            malloc::alloc_aligned(layout.size(), layout.align())
        }
    }
    fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        malloc::alloc_zeroed(layout.size(), layout.align())
    }
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> (*mut u8, bool) {
        if layout.align() <= MIN_ALIGN {
            // SAFETY: the caller's live block.
            return (unsafe { realloc::realloc(block, size) }, false);
        }
        let new = malloc::alloc_aligned(size, layout.align());
        // SAFETY: two live blocks of these sizes, one of which is given up.
        unsafe {
            block.copy_to_nonoverlapping(new, size.min(layout.size()));
            free::free(block);
        }
        (new, true)
    }
    unsafe fn free(&self, block: *mut u8, layout: Layout, by_layout: bool, random: &mut Random) {
        if random.one_in(4) && free::usable_size(block) < layout.size() {
            fail!("usable size of {block:?} is less than {layout:?}");
        }
        let class = match layout.size() {
            n if n > SMALL_MAX => None,
            n if layout.align() <= MIN_ALIGN => Some(of_size(n)),
            n => of_aligned(n, layout.align()),
        };
        // SAFETY: the caller's live block, whose class is that of its layout if so told.
        unsafe {
            match class {
                Some(class) if by_layout && random.one_in(2) => free::free_class(block, class),
                _ => free::free(block),
            }
        }
    }
}

#[test]
#[ignore = "is started by the others, in a process of its own"]
fn worker() {
    engine::run(&Direct, true);
}

parent::runs! {
    no_object_is_lost_with_2_threads: 2 "signals,trim" [];
    no_object_is_lost_with_16_threads: 16 "signals,trim,fork,churn" [];
    no_object_is_lost_with_64_threads: 64 "signals,churn" [];
    no_object_is_lost_on_one_cpu: 8 "signals,trim,fork,pin" [];
    no_object_is_lost_with_cpu_numbers: 16 "signals,trim,churn" ["CIDALLOC_CID" = "cpu"];
    no_object_is_lost_with_emulated_cids: 16 "signals,trim,fork,churn" ["CIDALLOC_CID" = "emulated"];
    no_object_is_lost_with_compact_emulated_cids: 64 "signals,trim"
        ["CIDALLOC_CID" = "emulated" "CIDALLOC_CID_POLICY" = "compact"];
    no_object_is_lost_with_emulated_cids_on_one_cpu: 8 "signals,trim,fork,pin" ["CIDALLOC_CID" = "emulated"];
    no_object_is_lost_without_rseq: 16 "signals,trim,fork" ["WITHOUT" = "rseq=ENOSYS"];
    no_object_is_lost_without_rseq_and_membarrier: 16 "signals,trim,fork,churn"
        ["WITHOUT" = "rseq=EPERM,membarrier=EPERM"];
    no_object_is_lost_with_emulated_cids_when_everything_happens: 64 "signals,fork,churn,trim"
        ["CIDALLOC_CID" = "emulated" "CIDALLOC_DRAIN_MS" = "1" "CIDALLOC_DECAY_MS" = "1"
         "CIDALLOC_CACHE_BYTES_MAX" = "64k"];
    no_object_is_lost_from_shared_arenas: 16 "signals,trim,fork,churn"
        ["CIDALLOC_ARENA_CIDS" = "2" "CIDALLOC_DRAIN_MS" = "1" "CIDALLOC_CACHE_BYTES_MAX" = "64k"];
    no_object_is_lost_from_shared_arenas_with_emulated_cids: 16 "signals,trim,churn"
        ["CIDALLOC_ARENA_CIDS" = "8" "CIDALLOC_CID" = "emulated"];
    no_object_is_lost_without_cids: 16 "signals,trim,fork" ["CIDALLOC_CID" = "none"];
    no_object_is_lost_where_we_register_threads: 16 "signals,trim,fork,churn"
        ["GLIBC_TUNABLES" = "glibc.pthread.rseq=0"];
    no_object_is_lost_from_tiny_caches: 16 "signals,trim" ["CIDALLOC_CACHE_BYTES_MAX" = "64k"];
    no_object_is_lost_when_drained_every_millisecond: 16 "signals,fork,churn"
        ["CIDALLOC_DRAIN_MS" = "1" "CIDALLOC_DECAY_MS" = "1"];
    no_object_is_lost_when_everything_happens: 64 "signals,fork,churn,trim"
        ["CIDALLOC_DRAIN_MS" = "1" "CIDALLOC_DECAY_MS" = "1" "CIDALLOC_CACHE_BYTES_MAX" = "64k"];
}

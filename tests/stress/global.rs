//! The same runs with cidalloc as the program's allocator: the standard library, the harness
//! and the blocks of the test share one heap.
#![allow(unsafe_code)]

mod blocks;
mod disturb;
mod engine;
mod parent;
mod runs;
mod signals;
mod worker;

use blocks::{Face, Random};
use core::alloc::Layout;

#[global_allocator]
static ALLOCATOR: cidalloc::CidAlloc = cidalloc::CidAlloc;

struct Global;

impl Face for Global {
    fn alloc(&self, layout: Layout, _random: &mut Random) -> *mut u8 {
        // SAFETY: sizes here are never 0.
        unsafe { std::alloc::alloc(layout) }
    }
    fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: sizes here are never 0.
        unsafe { std::alloc::alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> (*mut u8, bool) {
        // SAFETY: the caller's live block of this layout.
        (unsafe { std::alloc::realloc(block, layout, size) }, true)
    }
    unsafe fn free(&self, block: *mut u8, layout: Layout, _by_layout: bool, _random: &mut Random) {
        // SAFETY: the caller's live block of this layout.
        unsafe { std::alloc::dealloc(block, layout) };
    }
}

#[test]
#[ignore = "is started by the others, in a process of its own"]
fn worker() {
    worker::run(&Global, false);
}

runs::runs! {
    blocks_keep_what_they_hold_with_16_threads: 16 "signals,trim,churn" [];
    blocks_keep_what_they_hold_with_cpu_numbers: 4 "signals,trim" ["CIDALLOC_CID" = "cpu"];
    blocks_keep_what_they_hold_with_emulated_cids: 16 "signals,trim,churn" ["CIDALLOC_CID" = "emulated"];
    blocks_keep_what_they_hold_without_membarrier: 16 "signals,trim"
        ["WITHOUT" = "rseq=ENOSYS,membarrier=ENOSYS"];
    blocks_keep_what_they_hold_without_cids: 4 "signals,trim" ["CIDALLOC_CID" = "none"];
    blocks_keep_what_they_hold_where_we_register_threads: 16 "signals,trim"
        ["GLIBC_TUNABLES" = "glibc.pthread.rseq=0"];
    blocks_keep_what_they_hold_in_the_hardened_mode: 16 "signals,fork,churn,trim"
        ["CIDALLOC_HARDENED" = "1"];
    blocks_keep_what_they_hold_when_everything_happens: 64 "signals,fork,churn,trim"
        ["CIDALLOC_DRAIN_MS" = "1" "CIDALLOC_DECAY_MS" = "1" "CIDALLOC_CACHE_BYTES_MAX" = "64k"];
}

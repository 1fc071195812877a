//! Large objects: what moving them by their pages leaves behind.
#![allow(unsafe_code)]

use cidalloc::config::PAGE;
use cidalloc::{free, hardened, malloc, realloc};
use core::slice;

#[test]
fn pages_left_by_a_moved_block_read_as_zero_to_the_last_byte() {
    let run = 17 * PAGE;
    // SAFETY: each block is live where it is used, given up once, and as long as said.
    unsafe {
        // A run that was written to its end, reused by a block that ends before it does.
        let first = malloc::alloc(run);
        if hardened::is_on() {
            println!("skipped: in the hardened mode a freed run is not the next one");
            return free::free(first);
        }
        let behind = malloc::alloc(PAGE);
        slice::from_raw_parts_mut(first, run).fill(0xff);
        free::free(first);
        let block = malloc::alloc((1 << 20) + 4096);
        assert_eq!(block, first, "the freed run is the best fit");
        // No room behind it, so its pages move, and the run becomes clean.
        let moved = realloc::realloc(block, 8 << 20);
        assert_ne!(moved, block);
        assert_eq!(*moved.add(1 << 20), 0xff, "contents move along");
        let zeroed = malloc::alloc_zeroed(run, 1);
        assert_eq!(zeroed, first, "the run that the block left is the best fit");
        let bytes = slice::from_raw_parts(zeroed, run);
        assert_eq!(bytes.iter().position(|&b| b != 0), None);
        free::free(zeroed);
        free::free(moved);
        free::free(behind);
    }
}

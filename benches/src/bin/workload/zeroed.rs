//! `calloc` in a ring of live blocks: the memory comes back dirty, so the allocator has
//! to know or to clear. Zeroes are sampled on every page, then the pages written.

use crate::heap::Block;
use crate::meter::{Timed, timed};
use crate::proc::die;
use crate::table::Table;

pub(crate) fn run(size: usize, ops: u64) -> Timed {
    let live = if size < 1 << 20 { 64 } else { 4 };
    let mut ring: Table<Option<Block>> = Table::new(live, |_| None);
    let once = |slot: &mut Option<Block>| {
        *slot = None;
        let block = Block::calloc(size);
        for at in (0..size).step_by(4096).chain([size / 2, size - 1]) {
            // SAFETY: `at` lies within the block.
            unsafe {
                let byte = block.as_ptr().add(at);
                if byte.read_volatile() != 0 {
                    die("calloc returned memory that is not zero");
                }
            }
        }
        for at in (0..size).step_by(4096).chain([size / 2, size - 1]) {
            // SAFETY: as above.
            unsafe { block.as_ptr().add(at).write_volatile(0xff) };
        }
        *slot = Some(block);
    };
    ring.iter_mut().for_each(once);
    timed(|| {
        (0..ops).for_each(|i| once(&mut ring[i as usize % live]));
        ops
    })
}

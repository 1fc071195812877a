//! `count` blocks of 64 bytes, then all freed; repeated, in the steady state.

use cidalloc_benches::catalog::Order;

use crate::heap::Block;
use crate::meter::{Timed, timed};
use crate::rng::Rng;
use crate::table::Table;

const SIZE: usize = 64;

fn free_order(order: Order, count: usize) -> Table<u32> {
    let last = count - 1;
    let mut table = Table::new(count, |i| {
        u32::try_from(if order == Order::Lifo { last - i } else { i }).unwrap_or(0)
    });
    if order == Order::Shuffled {
        let mut rng = Rng::new(count);
        (1..count).for_each(|i| table.swap(i, rng.below(i + 1)));
    }
    table
}

/// Writing the first byte is what every program does next with a block. `touch: false`
/// leaves that out and shows whether the allocator itself touches cold blocks.
pub(crate) fn run(count: usize, order: Order, touch: bool, ops: u64) -> Timed {
    let mut blocks: Table<Option<Block>> = Table::new(count, |_| None);
    let order = free_order(order, count);
    let mut once = || {
        for slot in blocks.iter_mut() {
            *slot = Some(if touch { Block::touched(SIZE) } else { Block::malloc(SIZE) });
        }
        for &i in order.iter() {
            blocks[i as usize] = None;
        }
    };
    once();
    let rounds = (ops / count as u64).max(1);
    timed(|| {
        (0..rounds).for_each(|_| once());
        rounds * count as u64
    })
}

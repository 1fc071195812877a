//! `realloc` of a vector of words from nothing to 16 MiB: by doubling its capacity, and
//! by one word at a time, as careless C programs do. Every word is written.

use crate::heap::Block;
use crate::meter::{Timed, timed};
use crate::proc::die;

const WORDS_MAX: usize = (16 << 20) / 8;

/// Writes words `from..to` of a block that has room for them.
fn extend(block: &Block, from: usize, to: usize) {
    let base = block.as_ptr().cast::<u64>();
    for i in from..to {
        // SAFETY: the block was resized to hold `to` words.
        unsafe { base.add(i).write_volatile(i as u64) };
    }
}

/// One vector's life; returns the number of `realloc` calls.
fn grow(calls_max: u64, next: impl Fn(usize) -> usize) -> u64 {
    let (mut block, mut words, mut calls) = (Block::malloc(8), 1, 0);
    extend(&block, 0, 1);
    while words < WORDS_MAX && calls < calls_max {
        let more = next(words);
        block = block.resized(more * 8);
        extend(&block, words, more);
        words = more;
        calls += 1;
    }
    let base = block.as_ptr().cast::<u64>();
    let kept = [0, words / 3, words / 2, words - 1].iter().all(|&i| {
        // SAFETY: all `words` words were written.
        let word = unsafe { base.add(i).read() };
        word == i as u64
    });
    if !kept {
        die("realloc did not keep the content");
    }
    calls
}

pub(crate) fn run(doubling: bool, ops: u64) -> Timed {
    timed(|| {
        let mut done = 0;
        while done < ops {
            let left = ops - done;
            done += if doubling { grow(left, |n| n * 2) } else { grow(left, |n| n + 1) };
        }
        done
    })
}

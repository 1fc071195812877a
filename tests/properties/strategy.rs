//! How sequences are chosen, and so in which direction they shrink: to fewer steps, smaller
//! numbers, the first thread.

use cidalloc::config::{PAGE, SMALL_MAX};
use cidalloc::size_class::{CLASS, CLASSES};
use cidalloc_operations::{Form, HUGE, LARGEST, Op, Step, THREADS};
use proptest::prelude::*;

fn size() -> impl Strategy<Value = usize> {
    let near = |n: usize| (n - 20)..(n + 20);
    let class = |class: usize| CLASS[class].size as usize;
    prop_oneof![
        8 => 1..600usize,
        2 => Just(0usize),
        6 => 600..4200usize,
        4 => 1..SMALL_MAX,
        6 => (1..CLASSES, 0..3usize).prop_map(move |(c, d)| class(c) + d - 1),
        2 => near(SMALL_MAX),
        2 => (1..20usize, 0..40usize).prop_map(|(n, d)| (n * 4096 + d) - 20),
        3 => (1..40usize, 0..40usize).prop_map(|(n, d)| (n * PAGE + d) - 20),
        2 => 1..400_000usize,
        1 => 1..6_000_000usize,
        1 => huge(),
    ]
}

/// Sizes that no heap has.
fn huge() -> impl Strategy<Value = usize> {
    let half = isize::MAX as usize;
    prop_oneof![HUGE..HUGE + 100, (half - 9)..=(half + 9), (usize::MAX - 100)..=usize::MAX]
}

/// Factors whose product is small, beyond all blocks, or beyond all numbers.
fn product() -> impl Strategy<Value = (usize, usize)> {
    prop_oneof![
        12 => (0..70usize, 0..700usize),
        2 => (1..4usize, 1..LARGEST / 3),
        1 => (huge(), 0..3usize),
        1 => (1..70usize, huge()),
        1 => Just((HUGE, HUGE)),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let pick = any::<u16>;
    let form = prop_oneof![Just(Form::Posix), Just(Form::C11), Just(Form::Old)];
    let shift = prop_oneof![8 => 0..13u8, 4 => 13..=22u8, 1 => 46..=63u8];
    prop_oneof![
        8 => size().prop_map(|size| Op::Malloc { size }),
        4 => product().prop_map(|(count, size)| Op::Calloc { count, size }),
        2 => size().prop_map(|size| Op::Calloc { count: 1, size }),
        4 => (form, shift, size()).prop_map(|(form, shift, size)| Op::Aligned { form, shift, size }),
        4 => (pick(), size()).prop_map(|(pick, size)| Op::Realloc { pick, size }),
        1 => (pick(), product())
            .prop_map(|(pick, (count, size))| Op::ReallocArray { pick, count, size }),
        4 => (pick(), 0..32u8).prop_map(|(pick, eighths)| Op::Resize { pick, eighths }),
        6 => pick().prop_map(|pick| Op::Free { pick }),
        3 => pick().prop_map(|pick| Op::FreeSized { pick }),
        2 => (size(), 0..=255u8).prop_map(|(size, count)| Op::Many { size, count }),
        2 => (0..16u8).prop_map(|every| Op::FreeEach { every }),
        1 => Just(Op::Trim),
        1 => Just(Op::Later),
        1 => Just(Op::Exit),
    ]
}

/// Each class, below, at and above its size, by every way to a block of a class.
pub(crate) fn edges() -> Vec<Step> {
    let mut ops = Vec::new();
    for class in &CLASS[1..] {
        let edge = class.size as usize;
        for size in edge - 1..=edge + 1 {
            ops.extend([Op::Malloc { size }, Op::Calloc { count: 1, size }]);
            ops.extend((0..=16).map(|shift| Op::Aligned { form: Form::C11, shift, size }));
            ops.push(Op::Realloc { pick: 3, size });
        }
        ops.push(Op::FreeEach { every: 1 });
    }
    ops.into_iter().map(|op| Step { thread: 0, op }).collect()
}

pub(crate) fn steps(longest: usize) -> impl Strategy<Value = Vec<Step>> {
    let thread = prop_oneof![2 => Just(0u8), 1 => 0..THREADS];
    let step = (thread, op()).prop_map(|(thread, op)| Step { thread, op });
    prop::collection::vec(step, 1..=longest)
}

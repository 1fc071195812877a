//! A sequence that fails, made short: every step that it does without is left out, every number is
//! made as small as it stays a failure.
//!
//! ```text
//!  leave out   halves, quarters … single steps        some hundred runs in all: proptest's own way
//!  lessen      each number: 0, else halves of what    takes a step at a time and then never looks
//!              is left, thread 0                      back, ten times as many for longer sequences
//!  leave out   once more
//! ```

use cidalloc_operations::{Op, Step};

/// The shortest failing sequence that is found from `steps`, and why it fails. `fails` says why.
pub(crate) fn shrink(
    steps: Vec<Step>,
    why: String,
    fails: impl Fn(&[Step]) -> Option<String>,
) -> (Vec<Step>, String) {
    let mut best = Best { steps, why, fails };
    best.leave_out();
    best.lessen();
    best.leave_out();
    (best.steps, best.why)
}

struct Best<F> {
    steps: Vec<Step>,
    why: String,
    fails: F,
}

impl<F: Fn(&[Step]) -> Option<String>> Best<F> {
    fn take(&mut self, steps: Vec<Step>) -> bool {
        let why = (self.fails)(&steps);
        let takes = why.is_some();
        if let Some(why) = why {
            (self.steps, self.why) = (steps, why);
        }
        takes
    }

    fn leave_out(&mut self) {
        let mut length = self.steps.len().div_ceil(2);
        while length > 0 {
            // From the end: what is done last depends on the most.
            let mut end = self.steps.len();
            let mut left_out = false;
            while end > 0 {
                let begin = end.saturating_sub(length);
                let mut fewer = self.steps.clone();
                fewer.drain(begin..end);
                left_out |= self.take(fewer);
                end = begin.min(self.steps.len());
            }
            if length > 1 || !left_out {
                length /= 2;
            }
        }
    }

    fn lessen(&mut self) {
        for i in 0..self.steps.len() {
            let mut first = self.steps.clone();
            first[i].thread = 0;
            if first[i] != self.steps[i] {
                self.take(first);
            }
            for n in 0..numbers(&mut self.steps[i].op).len() {
                self.lessen_number(i, n);
            }
        }
    }

    /// The smallest value that still fails, if all above it do.
    fn lessen_number(&mut self, i: usize, n: usize) {
        let (mut low, mut high) = (0, numbers(&mut self.steps[i].op)[n].get());
        let mut value = 0;
        while low < high {
            let mut smaller = self.steps.clone();
            numbers(&mut smaller[i].op)[n].set(value);
            if self.take(smaller) {
                high = value;
            } else {
                low = value + 1;
            }
            value = low + (high - low) / 2;
        }
    }
}

/// A number of a step.
enum Number<'a> {
    Byte(&'a mut u8),
    Pick(&'a mut u16),
    Size(&'a mut usize),
}

impl Number<'_> {
    fn get(&self) -> usize {
        match self {
            Self::Byte(n) => usize::from(**n),
            Self::Pick(n) => usize::from(**n),
            Self::Size(n) => **n,
        }
    }

    /// `value` is less than the number was.
    fn set(&mut self, value: usize) {
        match self {
            Self::Byte(n) => **n = value as u8,
            Self::Pick(n) => **n = value as u16,
            Self::Size(n) => **n = value,
        }
    }
}

fn numbers(op: &mut Op) -> Vec<Number<'_>> {
    use Number::{Byte, Pick, Size};
    match op {
        Op::Malloc { size } => vec![Size(size)],
        Op::Calloc { count, size } => vec![Size(count), Size(size)],
        Op::Aligned { shift, size, .. } => vec![Byte(shift), Size(size)],
        Op::Realloc { pick, size } => vec![Pick(pick), Size(size)],
        Op::ReallocArray { pick, count, size } => vec![Pick(pick), Size(count), Size(size)],
        Op::Resize { pick, eighths } => vec![Pick(pick), Byte(eighths)],
        Op::Free { pick } | Op::FreeSized { pick } => vec![Pick(pick)],
        Op::Many { size, count } => vec![Byte(count), Size(size)],
        Op::FreeEach { every } => vec![Byte(every)],
        Op::Trim | Op::Later | Op::Exit => vec![],
    }
}

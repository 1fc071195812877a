//! What a sequence comes to: calls on numbered blocks, decided before anything runs.
//!
//! ```text
//!  steps   Malloc 24 │ Many 2 of 100 │ Free pick 5
//!  script  b0 = 24   │ b1, b2 = 100  │ free(b0)        5 mod 3 live blocks: two before the youngest
//! ```
//!
//! Sizes decide alone whether a call must be refused, so the script knows that as well. Steps
//! that would leave the budget of bytes and blocks are left out: a machine's memory is no part of
//! what is tested here.

use crate::step::{Form, HUGE, LARGEST, Op, Step};
use core::fmt;

/// Bytes that live at once, at most.
const LIVE_BYTES_MAX: usize = 32 << 20;
/// Blocks that live at once, at most.
const LIVE_MAX: usize = 1200;

/// A refused call: null, or the error as result, and this error number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `ENOMEM`
    NoMemory,
    /// `EINVAL`
    Invalid,
}

/// One call; blocks are numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the C functions")]
pub enum Call {
    Malloc { block: usize, size: usize },
    Calloc { block: usize, count: usize, size: usize },
    Aligned { block: usize, form: Form, align: usize, size: usize },
    Realloc { block: usize, size: usize },
    ReallocArray { block: usize, count: usize, size: usize },
    Free { block: usize },
    FreeSized { block: usize, size: usize },
    FreeAlignedSized { block: usize, align: usize, size: usize },
    Trim,
    Later,
    Exit,
}

/// A call, who makes it, and whether it must be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The thread's number; 0 is the caller's.
    pub thread: u8,
    /// What it calls.
    pub call: Call,
    /// The error that it must get.
    pub refused: Option<Refusal>,
}

/// The calls of a sequence, in order. Displayed as lines of C.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script(pub Vec<Line>);

#[derive(Clone, Copy)]
struct Live {
    block: usize,
    size: usize,
    /// The alignment asked for, until a `realloc` made it a block like any other; 0 for those
    /// that had none.
    align: usize,
}

#[derive(Default)]
struct Writer {
    lines: Vec<Line>,
    live: Vec<Live>,
    bytes: usize,
    next: usize,
    thread: u8,
}

fn refusal(size: Option<usize>, align: usize) -> Option<Refusal> {
    (size.is_none_or(|size| size > LARGEST) || align >= HUGE).then_some(Refusal::NoMemory)
}

impl Writer {
    fn say(&mut self, call: Call, refused: Option<Refusal>) {
        self.lines.push(Line { thread: self.thread, call, refused });
    }

    /// A call that makes a block of `size`, written by `call` from the block's number. No size: a
    /// product beyond all numbers. Sizes between those that can be had and those that cannot, as
    /// products may be, are left out.
    fn make(&mut self, size: Option<usize>, align: usize, call: impl FnOnce(usize) -> Call) {
        let unsure = size.is_some_and(|size| size > LARGEST && size < HUGE);
        let refused = refusal(size, align);
        if unsure || (refused.is_none() && !self.has_room(size.unwrap_or(0) + align)) {
            return;
        }
        let block = self.next;
        self.next += 1;
        self.say(call(block), refused);
        if let (None, Some(size)) = (refused, size) {
            self.bytes += size;
            self.live.push(Live { block, size, align });
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.live.len() < LIVE_MAX && self.bytes + bytes <= LIVE_BYTES_MAX
    }

    fn resize(&mut self, i: usize, size: Option<usize>, call: impl FnOnce(usize) -> Call) {
        let Live { block, size: old, .. } = self.live[i];
        let unsure = size.is_some_and(|size| size > LARGEST && size < HUGE);
        let refused = refusal(size, 1);
        if unsure || (refused.is_none() && self.bytes + size.unwrap_or(0) > LIVE_BYTES_MAX) {
            return;
        }
        self.say(call(block), refused);
        match (refused, size) {
            (None, Some(0)) => drop(self.remove(i)),
            (None, Some(size)) => {
                self.bytes = self.bytes - old + size;
                self.live[i] = Live { block, size, align: 0 };
            }
            _ => {}
        }
    }

    fn remove(&mut self, i: usize) -> Live {
        let live = self.live.remove(i);
        self.bytes -= live.size;
        live
    }

    /// Counted from the youngest, so that what a step means depends on the few steps before it.
    fn pick(&self, pick: u16) -> Option<usize> {
        let back = usize::from(pick).checked_rem(self.live.len())?;
        Some(self.live.len() - 1 - back)
    }

    fn free(&mut self, i: usize) {
        let Live { block, .. } = self.remove(i);
        self.say(Call::Free { block }, None);
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Malloc { size } => {
                self.make(Some(size), 1, |block| Call::Malloc { block, size });
            }
            Op::Calloc { count, size } => {
                let bytes = count.checked_mul(size);
                self.make(bytes, 1, |block| Call::Calloc { block, count, size });
            }
            Op::Aligned { form, shift, size } => {
                let align = 1usize << shift;
                if form == Form::Posix && align < size_of::<usize>() {
                    let block = self.next;
                    self.next += 1;
                    let call = Call::Aligned { block, form, align, size };
                    return self.say(call, Some(Refusal::Invalid));
                }
                self.make(Some(size), align, |block| Call::Aligned { block, form, align, size });
            }
            Op::Realloc { pick, size } => {
                if let Some(i) = self.pick(pick) {
                    self.resize(i, Some(size), |block| Call::Realloc { block, size });
                }
            }
            Op::ReallocArray { pick, count, size } => {
                if let Some(i) = self.pick(pick) {
                    let bytes = count.checked_mul(size);
                    self.resize(i, bytes, |block| Call::ReallocArray { block, count, size });
                }
            }
            Op::Resize { pick, eighths } => {
                if let Some(i) = self.pick(pick) {
                    let size = (self.live[i].size * usize::from(eighths) / 8).min(LARGEST);
                    self.resize(i, Some(size), |block| Call::Realloc { block, size });
                }
            }
            Op::Free { pick } => {
                if let Some(i) = self.pick(pick) {
                    self.free(i);
                }
            }
            Op::FreeSized { pick } => {
                if let Some(i) = self.pick(pick) {
                    let Live { block, size, align } = self.remove(i);
                    let call = match align {
                        0 | 1 => Call::FreeSized { block, size },
                        align => Call::FreeAlignedSized { block, align, size },
                    };
                    self.say(call, None);
                }
            }
            Op::Many { size, count } => {
                for _ in 0..count {
                    self.make(Some(size), 1, |block| Call::Malloc { block, size });
                }
            }
            Op::FreeEach { every } => {
                let every = usize::from(every).max(1);
                let chosen = (0..self.live.len()).step_by(every).rev().collect::<Vec<_>>();
                chosen.into_iter().for_each(|i| self.free(i));
            }
            Op::Trim => self.say(Call::Trim, None),
            Op::Later => self.say(Call::Later, None),
            // The caller's thread goes on.
            Op::Exit if self.thread == 0 => {}
            Op::Exit => self.say(Call::Exit, None),
        }
    }
}

/// The calls that `steps` come to.
#[must_use]
pub fn script(steps: &[Step]) -> Script {
    let mut writer = Writer::default();
    for step in steps {
        writer.thread = step.thread;
        writer.step(&step.op);
    }
    Script(writer.lines)
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.call {
            Call::Malloc { block, size } => write!(f, "b{block} = malloc({size});")?,
            Call::Calloc { block, count, size } => {
                write!(f, "b{block} = calloc({count}, {size});")?;
            }
            Call::Aligned { block, form, align, size } => match form {
                Form::Posix => write!(f, "posix_memalign(&b{block}, {align}, {size});")?,
                Form::C11 => write!(f, "b{block} = aligned_alloc({align}, {size});")?,
                Form::Old => write!(f, "b{block} = memalign({align}, {size});")?,
            },
            Call::Realloc { block, size } => {
                write!(f, "b{block} = realloc(b{block}, {size});")?;
            }
            Call::ReallocArray { block, count, size } => {
                write!(f, "b{block} = reallocarray(b{block}, {count}, {size});")?;
            }
            Call::Free { block } => write!(f, "free(b{block});")?,
            Call::FreeSized { block, size } => write!(f, "free_sized(b{block}, {size});")?,
            Call::FreeAlignedSized { block, align, size } => {
                write!(f, "free_aligned_sized(b{block}, {align}, {size});")?;
            }
            Call::Trim => write!(f, "malloc_trim(0);")?,
            Call::Later => write!(f, "/* time passes, idle caches are drained */")?,
            Call::Exit => write!(f, "pthread_exit(NULL);")?,
        }
        if self.thread > 0 {
            write!(f, " /* thread {} */", self.thread)?;
        }
        match self.refused {
            Some(Refusal::NoMemory) => write!(f, " /* must be refused: ENOMEM */"),
            Some(Refusal::Invalid) => write!(f, " /* must be refused: EINVAL */"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}

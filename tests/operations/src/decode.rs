//! Bytes to steps, and back: the language that a fuzzer speaks.
//!
//! ```text
//!  byte   the face: even Direct, odd Rust          of a fuzzer's whole input
//!  byte   kind of step (low 4 bits), thread (next 2)       all bytes mean something, and
//!  then   its fields, in order                             what is missing at the end is 0
//!  size   tag ┬ 0, 1  exact, 2 bytes         4  near n × 64 KiB
//!             ├ 2     near a class's size    5  exact, 3 bytes
//!             └ 3     near n × 4 KiB         6  exact, 8 bytes    7  n × 16
//! ```
//!
//! "Near" has a signed byte of difference: most mistakes of allocators live at edges, which a
//! mutation of one byte should reach.

use crate::direct::{Direct, Rust};
use crate::face::Face;
use crate::script::{Script, script};
use crate::step::{Form, HUGE, LARGEST, Op, Step, THREADS};
use cidalloc::config::PAGE;
use cidalloc::size_class::{CLASS, CLASSES};

/// Steps of one sequence, at most: executions are many and short.
const STEPS_MAX: usize = 400;

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let n = N.min(self.0.len());
        array[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        array
    }

    fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    fn pick(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    fn size(&mut self) -> usize {
        let near = |edge: usize, difference: u8| {
            edge.saturating_add_signed(difference.cast_signed().into())
        };
        let size = match self.byte() & 7 {
            0 | 1 => u16::from_le_bytes(self.array()).into(),
            2 => {
                let [class, difference] = self.array();
                near(CLASS[usize::from(class) % CLASSES].size as usize, difference)
            }
            3 => {
                let [n, difference] = self.array();
                near(usize::from(n) << 12, difference)
            }
            4 => {
                let [n, difference] = self.array();
                near(usize::from(n) * PAGE, difference)
            }
            5 => {
                let [a, b, c] = self.array();
                u32::from_le_bytes([a, b, c, 0]) as usize
            }
            6 => u64::from_le_bytes(self.array()) as usize,
            _ => usize::from(self.byte()) * 16,
        };
        if size > LARGEST { size.max(HUGE) } else { size }
    }

    fn step(&mut self) -> Step {
        let head = self.byte();
        let op = match head & 15 {
            0 => Op::Malloc { size: self.size() },
            1 => Op::Calloc { count: self.size(), size: self.size() },
            2 => {
                let how = self.byte();
                let form = [Form::Posix, Form::C11, Form::Old][usize::from(how >> 6) % 3];
                Op::Aligned { form, shift: shift(how & 63), size: self.size() }
            }
            3 => Op::Realloc { pick: self.pick(), size: self.size() },
            4 => Op::ReallocArray { pick: self.pick(), count: self.size(), size: self.size() },
            5 => Op::Resize { pick: self.pick(), eighths: self.byte() % 32 },
            6 => Op::FreeSized { pick: self.pick() },
            7 => Op::Many { size: self.size(), count: self.byte() },
            8 => Op::FreeEach { every: self.byte() % 16 },
            9 => Op::Trim,
            10 => Op::Later,
            11 => Op::Exit,
            _ => Op::Free { pick: self.pick() },
        };
        Step { thread: head >> 4 & (THREADS - 1), op }
    }
}

/// Alignments up to 4 MiB can be had; from 2⁴⁶ on they are refused. Between the two they mostly
/// measure how much memory the machine has.
fn shift(n: u8) -> u8 {
    if n <= 22 { n } else { n.clamp(46, 63) }
}

/// What a fuzzer's input means: a face of this process's heap, and what is played on it.
#[must_use]
pub fn input(bytes: &[u8]) -> (&'static dyn Face, Script) {
    let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let face: &dyn Face = if first & 1 == 0 { &Direct } else { &Rust };
    (face, script(&decode(rest)))
}

/// The steps that `bytes` mean.
#[must_use]
pub fn decode(bytes: &[u8]) -> Vec<Step> {
    let mut bytes = Bytes(bytes);
    let more = || (!bytes.0.is_empty()).then(|| bytes.step());
    core::iter::from_fn(more).take(STEPS_MAX).collect()
}

fn put_size(bytes: &mut Vec<u8>, size: usize) {
    if let Ok(short) = u16::try_from(size) {
        bytes.push(0);
        bytes.extend(short.to_le_bytes());
    } else if size <= LARGEST {
        bytes.push(5);
        bytes.extend(&(size as u32).to_le_bytes()[..3]);
    } else {
        bytes.push(6);
        bytes.extend((size as u64).to_le_bytes());
    }
}

/// Bytes that mean `steps`.
#[must_use]
pub fn encode(steps: &[Step]) -> Vec<u8> {
    let mut bytes = Vec::new();
    steps.iter().for_each(|step| put_step(&mut bytes, step));
    bytes
}

fn put_step(bytes: &mut Vec<u8>, Step { thread, op }: &Step) {
    let kind = match op {
        Op::Malloc { .. } => 0,
        Op::Calloc { .. } => 1,
        Op::Aligned { .. } => 2,
        Op::Realloc { .. } => 3,
        Op::ReallocArray { .. } => 4,
        Op::Resize { .. } => 5,
        Op::FreeSized { .. } => 6,
        Op::Many { .. } => 7,
        Op::FreeEach { .. } => 8,
        Op::Trim => 9,
        Op::Later => 10,
        Op::Exit => 11,
        Op::Free { .. } => 12,
    };
    bytes.push(thread << 4 | kind);
    match *op {
        Op::Malloc { size } => put_size(bytes, size),
        Op::Calloc { count, size } => {
            put_size(bytes, count);
            put_size(bytes, size);
        }
        Op::Aligned { form, shift, size } => {
            bytes.push((form as u8) << 6 | shift);
            put_size(bytes, size);
        }
        Op::Realloc { pick, size } => {
            bytes.extend(pick.to_le_bytes());
            put_size(bytes, size);
        }
        Op::ReallocArray { pick, count, size } => {
            bytes.extend(pick.to_le_bytes());
            put_size(bytes, count);
            put_size(bytes, size);
        }
        Op::Resize { pick, eighths } => {
            bytes.extend(pick.to_le_bytes());
            bytes.push(eighths);
        }
        Op::Free { pick } | Op::FreeSized { pick } => bytes.extend(pick.to_le_bytes()),
        Op::Many { size, count } => {
            put_size(bytes, size);
            bytes.push(count);
        }
        Op::FreeEach { every } => bytes.push(every),
        Op::Trim | Op::Later | Op::Exit => {}
    }
}

//! The windows of a table `__rseq_cs`, as they lie in a tracee's memory.
//!
//! ```text
//!   2:  lea  t, descriptor      entry   ─┐ approach: armed, but not inside
//!       mov  fs:[rseq_cs], t            ─┘
//!   3:  …                       start   ─┐
//!       jcc  4f                          │ instructions
//!       mov  [header], h        commit  ─┘
//!   4:  …                       end                          abort:  jmp 2b
//! ```

use super::Tracee;
use crate::code::stores;
use crate::elf::DESCRIPTOR_SIZE;
use iced_x86::{ConditionCode, Decoder, DecoderOptions, Instruction};

/// One window.
#[derive(Debug, Clone)]
pub struct Window {
    /// Where an aborted operation begins again; `start` where it does not.
    pub entry: u64,
    /// The first instruction.
    pub start: u64,
    /// What follows the last one.
    pub end: u64,
    /// Where the kernel sends an aborted thread.
    pub abort: u64,
    /// The instructions from entry to start.
    pub approach: Vec<Instruction>,
    /// The instructions of the window.
    pub instructions: Vec<Instruction>,
}

impl Window {
    /// Whether anything is stored in it. The watcher's window of the self-test stores nothing.
    #[must_use]
    pub fn stores(&self) -> bool {
        self.instructions.iter().any(stores)
    }

    /// Whether `address` is inside.
    #[must_use]
    pub fn covers(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }
}

/// The windows of the table of `size` bytes at `address`, as the loader relocated it.
///
/// # Panics
/// If the table or its windows cannot be read.
#[must_use]
pub fn windows(tracee: &Tracee, address: u64, size: u64) -> Vec<Window> {
    (0..size / DESCRIPTOR_SIZE)
        .map(|i| {
            let word = |offset: u64| {
                let mut bytes = [0; 8];
                tracee.read(address + i * DESCRIPTOR_SIZE + offset, &mut bytes);
                u64::from_le_bytes(bytes)
            };
            window(tracee, word(8), word(16), word(24))
        })
        .collect()
}

fn window(tracee: &Tracee, start: u64, length: u64, abort: u64) -> Window {
    /// More than an approach is long, and less than lies between two windows.
    const NEAR: u64 = 32;
    /// More than any instruction has.
    const ONE: u64 = 15;
    let back = decode(tracee, abort, abort + ONE).first().map(Instruction::near_branch_target);
    let entry = back.filter(|target| (start - NEAR..start).contains(target)).unwrap_or(start);
    let end = start + length;
    Window {
        entry,
        start,
        end,
        abort,
        approach: decode(tracee, entry, start),
        instructions: decode(tracee, start, end),
    }
}

/// The instructions from `from` to `to`; the last one may be cut off.
fn decode(tracee: &Tracee, from: u64, to: u64) -> Vec<Instruction> {
    let mut bytes = vec![0; (to - from) as usize];
    tracee.read(from, &mut bytes);
    Decoder::with_ip(64, &bytes, from, DecoderOptions::NONE).into_iter().collect()
}

/// Whether a conditional branch would be taken with these flags; none for other instructions.
#[must_use]
pub fn is_taken(instruction: &Instruction, flags: u64) -> Option<bool> {
    let flag = |bit: u32| flags >> bit & 1 == 1;
    let (carry, parity, zero, sign, overflow) = (flag(0), flag(2), flag(6), flag(7), flag(11));
    Some(match instruction.condition_code() {
        ConditionCode::None => return None,
        ConditionCode::o => overflow,
        ConditionCode::no => !overflow,
        ConditionCode::b => carry,
        ConditionCode::ae => !carry,
        ConditionCode::e => zero,
        ConditionCode::ne => !zero,
        ConditionCode::be => carry || zero,
        ConditionCode::a => !carry && !zero,
        ConditionCode::s => sign,
        ConditionCode::ns => !sign,
        ConditionCode::p => parity,
        ConditionCode::np => !parity,
        ConditionCode::l => sign != overflow,
        ConditionCode::ge => sign == overflow,
        ConditionCode::le => zero || sign != overflow,
        ConditionCode::g => !zero && sign == overflow,
    })
}

//! The reference: a map of the live blocks, and what must hold after each call.
//!
//! ```text
//!  call ──► answer    refused exactly if it must be, with the error that is documented; errno kept
//!     └───► block     aligned; usable size enough; overlaps no live block; zero if so promised;
//!                     content kept up to the smaller size; then written whole
//!           others    their ends, after every call; all of them, when freed and at the end
//!  at the end         audit of the heap ► all freed, by all threads ► audit ► nothing is left
//! ```

use crate::blocks::{Block, check_zero};
use crate::face::{Answer, Face, Left, Old, Request};
use crate::script::{Call, Line, Refusal, Script};
use crate::step::THREADS;
use crate::workers::Workers;
use cidalloc::malloc::MIN_ALIGN;
use core::ops::Bound::{Excluded, Unbounded};
use std::collections::BTreeMap;

/// How much was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Calls made, those included that free what is left at the end.
    pub calls: u64,
    /// Of these, refused as they must be.
    pub refused: u64,
    /// Threads started.
    pub threads: u64,
}

struct World<'scope, 'env> {
    face: &'env dyn Face,
    workers: Workers<'scope, 'env>,
    /// Live blocks by number.
    live: BTreeMap<usize, Block>,
    /// Their ranges: beginning → end.
    ranges: BTreeMap<usize, usize>,
    done: Done,
    seed: usize,
}

/// Plays `script` on `face`, and looks at everything after each call.
///
/// # Panics
/// With the line at which a promise was broken, and the promise.
pub fn run(face: &dyn Face, script: &Script) -> Done {
    std::thread::scope(|scope| {
        let mut world = World {
            face,
            workers: Workers::new(scope, face),
            live: BTreeMap::new(),
            ranges: BTreeMap::new(),
            done: Done::default(),
            seed: 0,
        };
        for line in &script.0 {
            world.line(line);
        }
        world.end();
        Done { threads: world.workers.started, ..world.done }
    })
}

/// What a call makes: bytes, alignment, whether zero; none for those that make nothing.
fn made(call: &Call) -> Option<(usize, usize, usize, bool)> {
    match *call {
        Call::Malloc { block, size } | Call::Realloc { block, size } => {
            Some((block, size, 1, false))
        }
        Call::Aligned { block, align, size, .. } => Some((block, size, align, false)),
        Call::Calloc { block, count, size } => Some((block, count.checked_mul(size)?, 1, true)),
        Call::ReallocArray { block, count, size } => {
            Some((block, count.checked_mul(size)?, 1, false))
        }
        _ => None,
    }
}

impl World<'_, '_> {
    fn old(&self, block: usize) -> Old {
        let Block { address, size, align, .. } = self.live[&block];
        Old { address, size, align }
    }

    fn request(&self, call: &Call) -> Option<Request> {
        Some(match *call {
            Call::Malloc { size, .. } => Request::Malloc { size },
            Call::Calloc { count, size, .. } => Request::Calloc { count, size },
            Call::Aligned { form, align, size, .. } => Request::Aligned { form, align, size },
            Call::Realloc { block, size } => Request::Realloc { old: self.old(block), size },
            Call::ReallocArray { block, count, size } => {
                Request::ReallocArray { old: self.old(block), count, size }
            }
            Call::Free { block } => Request::Free { old: self.old(block) },
            Call::FreeSized { block, .. } => Request::FreeSized { old: self.old(block) },
            Call::FreeAlignedSized { block, .. } => {
                Request::FreeAlignedSized { old: self.old(block) }
            }
            Call::Trim => Request::Trim,
            Call::Later => Request::Later,
            Call::Exit => return None,
        })
    }

    fn line(&mut self, line: &Line) {
        self.call(line);
        self.live.values().for_each(|block| block.check_edges(line));
    }

    fn call(&mut self, line: &Line) {
        let Some(request) = self.request(&line.call) else {
            return self.workers.exit(line.thread);
        };
        if !self.face.says_why() && line.refused == Some(Refusal::Invalid) {
            // Odd arguments are the business of the C functions.
            return;
        }
        let given_up = self.gives_up(line);
        // SAFETY: addresses are those of live blocks, which are live no more if given up.
        let answer = unsafe { self.workers.ask(line.thread, request) };
        self.done.calls += 1;
        if let Some(refusal) = line.refused {
            self.done.refused += 1;
            self.refused(line, refusal, answer);
        } else {
            assert_eq!(answer.result, 0, "{line}: refused");
            assert_eq!(answer.errno, Answer::UNTOUCHED, "{line}: errno was changed");
            self.accepted(line, given_up, answer.address);
        }
    }

    /// The block that the call gives up, looked at for the last time.
    fn gives_up(&mut self, line: &Line) -> Option<Block> {
        let (Call::Free { block }
        | Call::FreeSized { block, .. }
        | Call::FreeAlignedSized { block, .. }
        | Call::Realloc { block, .. }
        | Call::ReallocArray { block, .. }) = line.call
        else {
            return None;
        };
        self.live[&block].check(line);
        if line.refused.is_some() {
            return None;
        }
        let block = self.live.remove(&block)?;
        self.ranges.remove(&block.address);
        Some(block)
    }

    fn refused(&self, line: &Line, refusal: Refusal, answer: Answer) {
        let error = match refusal {
            Refusal::NoMemory => libc::ENOMEM,
            Refusal::Invalid => libc::EINVAL,
        };
        assert_eq!(answer.address, 0, "{line}: not refused");
        if !self.face.says_why() {
            return;
        }
        let posix = matches!(line.call, Call::Aligned { form: crate::step::Form::Posix, .. });
        let right = if posix { (error, Answer::UNTOUCHED) } else { (0, error) };
        assert_eq!((answer.result, answer.errno), right, "{line}: result and errno");
    }

    fn accepted(&mut self, line: &Line, old: Option<Block>, address: usize) {
        let Some((number, size, align, zero)) = made(&line.call) else {
            return;
        };
        if size == 0 && matches!(line.call, Call::Realloc { .. } | Call::ReallocArray { .. }) {
            return assert_eq!(address, 0, "{line}: realloc to 0 frees");
        }
        assert_ne!(address, 0, "{line}: refused");
        let kept = old.as_ref().filter(|_| self.face.keeps_alignment()).map(|old| old.align);
        let align = kept.unwrap_or(align);
        let right = address.is_multiple_of(align.max(MIN_ALIGN));
        assert!(right, "{line}: {address:#x} is not aligned to {align}");
        let usable = self.face.usable(address);
        assert!(usable >= size, "{line}: {usable} usable bytes");
        let end = address + usable;
        let before = self.ranges.range(..=address).next_back();
        let after = self.ranges.range((Excluded(address), Unbounded)).next();
        let overlaps = before.is_some_and(|(_, &end)| end > address)
            || after.is_some_and(|(&begin, _)| begin < end);
        assert!(!overlaps, "{line}: {address:#x}..{end:#x} overlaps {before:x?} or {after:x?}");
        if zero {
            check_zero(address, size, line);
        }
        if let Some(old) = old {
            old.check_moved(address, old.size.min(size), line);
        }
        self.seed += 1;
        let block = Block { address, size, align, usable, seed: self.seed };
        block.fill();
        self.ranges.insert(address, end);
        self.live.insert(number, block);
    }

    fn audit(&self, when: &str) {
        let held: Vec<usize> = self.live.values().map(|block| block.address).collect();
        if let Err(wrong) = self.face.audit(&held) {
            panic!("{when}: {wrong}");
        }
    }

    fn end(&mut self) {
        self.live.values().for_each(|block| block.check(&"at the end"));
        self.audit("at the end");
        let numbers: Vec<usize> = self.live.keys().copied().collect();
        for (i, block) in numbers.into_iter().enumerate() {
            // Others free a few: each of their calls takes two changes of threads.
            let thread = if i < 16 { i as u8 % THREADS } else { 0 };
            self.call(&Line { thread, call: Call::Free { block }, refused: None });
        }
        (1..THREADS).for_each(|thread| self.workers.exit(thread));
        self.audit("with all blocks freed");
        match self.face.left() {
            Ok(left) => assert_eq!(left, Left::default(), "after all was freed and trimmed"),
            Err(wrong) => panic!("after trim: {wrong}"),
        }
    }
}

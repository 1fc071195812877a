//! Each operation alone, in each state of `cases.rs`, aborted before each instruction of its
//! window, and behind each write in it; stopped, without an abort, on the way there and behind the
//! commit.
#![allow(unsafe_code)]

use crate::cases::{self, Case};
use crate::model::{self, Place, Word, difference, partial_effect};
use crate::world::{Shared, State};
use cidalloc_tests::elf::Image;
use cidalloc_tests::trace::windows::{is_taken, windows};
use cidalloc_tests::trace::{Stop, Tracee, Window};
use cidalloc_tests::{reliability, skip};
use iced_x86::Instruction;
use rseq_sys::abi::{AT_RSEQ_FEATURE_SIZE, SIGNATURE};
use rseq_sys::area::thread_pointer;
use rseq_sys::registration::{Owner, Registration, detect};
use std::collections::{BTreeMap, BTreeSet};

/// Aborts at one instruction before the operation may go on.
const IN_A_ROW: u32 = 2;
/// Tries of an operation during which the kernel gave the thread another cid.
const TRIES: u32 = 1000;
/// A word's owner that is no shard.
const NOBODY: u64 = 0xffff_fff0;

/// The areas of this process, if the kernel fills them.
pub(crate) fn registration() -> Option<Registration> {
    // SAFETY: reads what the kernel passed at exec.
    let feature_size = unsafe { libc::getauxval(AT_RSEQ_FEATURE_SIZE) };
    let registration = detect(feature_size as u32);
    (registration.owner != Owner::Nobody && registration.has_mm_cid).then_some(registration)
}

/// A tracee that performs operations, and what was seen of its windows.
struct Harness<'a> {
    shared: &'a Shared,
    tracee: Tracee,
    windows: Vec<Window>,
    place: Place,
    seen: &'a mut Seen,
}

#[derive(Default)]
struct Seen {
    /// Addresses at which an operation was aborted.
    aborted: BTreeSet<u64>,
    /// Conditional instructions, and the ways that they went.
    ways: BTreeMap<u64, BTreeSet<bool>>,
    forced: u64,
    /// Of these, behind a write.
    behind_writes: u64,
    outside: u64,
    has_watchpoints: bool,
}

/// Where an operation is stopped.
#[derive(Debug, Clone, Copy)]
enum Spot {
    /// Before the instruction at this address.
    Before(u64),
    /// In the window, behind a write to this word: each turn of a loop has its own.
    BehindWrite(Word),
}

/// What the last stop asks for.
enum Arrival {
    At(u64),
    BehindWrite,
    /// The operation is over.
    Done,
}

impl Harness<'_> {
    fn arrival(&mut self, case: &Case) -> Arrival {
        self.tracee.resume(0);
        let stop = self.tracee.wait();
        assert_eq!(stop, Stop::Trap, "{}: the operation ended the process", case.name);
        match self.tracee.arrived() {
            Some(address) => Arrival::At(address),
            None if self.seen.has_watchpoints && self.tracee.has_written() => Arrival::BehindWrite,
            None => Arrival::Done,
        }
    }

    /// The state to begin with, with the owner that the case asks for.
    fn before(&self, case: &Case) -> State {
        let owner = if case.is_owner { self.place.index } else { NOBODY };
        State { owner, ..case.before }
    }

    /// The windows that the operation enters.
    fn entered(&mut self, case: &Case) -> Vec<Window> {
        self.shared.set(&self.before(case), case.request);
        for window in &self.windows {
            self.tracee.plant(window.start);
        }
        let mut entered = Vec::new();
        while let Arrival::At(address) = self.arrival(case) {
            self.tracee.lift(address);
            entered.extend(self.windows.iter().find(|window| window.start == address).cloned());
        }
        self.tracee.lift_all();
        entered
    }

    fn aborts_everywhere(&mut self, case: &Case) {
        let entered = self.entered(case);
        assert_eq!(entered.len(), 1, "{}: windows {entered:#x?}", case.name);
        for window in &entered {
            for instruction in window.approach.iter().chain(&window.instructions) {
                self.stop_before(case, window, instruction);
            }
            self.stop_at(case, window, Spot::Before(window.end));
            if self.seen.has_watchpoints {
                self.stop_behind_writes(case, window);
            }
        }
    }

    /// What [`Self::pass`] comes to, when the cid stays for once.
    fn stop_at(&mut self, case: &Case, window: &Window, spot: Spot) -> Option<u64> {
        let passed = (0..TRIES).find_map(|_| self.pass(case, window, spot).ok());
        passed.unwrap_or_else(|| panic!("{}: the cid never stayed", case.name))
    }

    fn stop_behind_writes(&mut self, case: &Case, window: &Window) {
        let before = self.before(case);
        let after = model::after(&before, &case.request, self.place);
        for word in model::written_early(case.request.operation, &before, &after) {
            let flags = self.stop_at(case, window, Spot::BehindWrite(word));
            if flags.is_none() && self.seen.behind_writes == 0 && self.place.is_registered {
                skip("aborts in each turn of a loop", "watchpoints of this machine never stop");
                self.seen.has_watchpoints = false;
                return;
            }
            assert!(flags.is_some(), "{}: {word:?} was not written in the window", case.name);
        }
    }

    /// Where a word that is written before the commit is written.
    fn address(&self, case: &Case, word: Word) -> u64 {
        match word {
            Word::Shard(slot) => self.shared.address_of_slot(slot),
            Word::Buffer(i) => self.shared.address_in_buffer(i),
            // Of whatever copy the thread is at, if it stays there.
            Word::Copy(i) => self.shared.address_in_copy(i, self.place.index),
            other => panic!("{}: {other:?} is written before the commit", case.name),
        }
    }

    fn stop_before(&mut self, case: &Case, window: &Window, instruction: &Instruction) {
        let address = instruction.ip();
        let Some(flags) = self.stop_at(case, window, Spot::Before(address)) else { return };
        if let Some(taken) = is_taken(instruction, flags) {
            self.seen.ways.entry(address).or_default().insert(taken);
        }
        if window.covers(address) && self.place.is_registered {
            self.seen.aborted.insert(address);
        }
    }

    /// One operation, stopped at `spot`: the flags there, or none if it went another way.
    /// An error if the kernel gave the thread another cid meanwhile.
    fn pass(
        &mut self,
        case: &Case,
        window: &Window,
        spot: Spot,
    ) -> Result<Option<u64>, &'static str> {
        let operation = case.request.operation;
        let before = self.before(case);
        let after = model::after(&before, &case.request, self.place);
        let what = || format!("{}, stopped {spot:x?} of {window:#x?}", case.name);
        let place = self.place.index;
        let depends = operation.is_on_copy() && matches!(spot, Spot::BehindWrite(_));
        self.shared.set(&before, case.request);
        self.tracee.plant(window.abort);
        let is_inside = match spot {
            Spot::Before(address) => {
                self.tracee.plant(address);
                window.covers(address)
            }
            Spot::BehindWrite(word) => {
                let address = self.address(case, word);
                self.tracee.watch(Some(address)).expect("a watchpoint, as before");
                true
            }
        };
        let aborts = is_inside && self.place.is_registered;
        let (mut stops, mut flags, mut is_due) = (0, None, false);
        loop {
            let at = match self.arrival(case) {
                Arrival::At(at) => Some(at),
                Arrival::BehindWrite => None,
                Arrival::Done => break,
            };
            let now = self.shared.state();
            if at == Some(window.abort) {
                assert!(self.place.is_registered, "{}: an abort of no kernel's", what());
                is_due = false;
                self.tracee.step_over(window.abort);
                if let Some(early) = partial_effect(operation, &now, &before, &after) {
                    panic!("{}: aborted, and {early}", what());
                }
                continue;
            }
            assert!(!is_due, "{}: not aborted", what());
            let wrong = if at == Some(window.end) {
                difference(&now, &State { outcome: before.outcome, ..after })
            } else {
                partial_effect(operation, &now, &before, &after)
            };
            let is_moved = case.is_owner && self.shared.index()[0] != before.owner;
            if let Some(wrong) = wrong.filter(|_| !is_moved) {
                panic!("{}: {wrong}", what());
            }
            flags = Some(self.tracee.registers().eflags);
            stops += 1;
            is_due = aborts;
            if stops == IN_A_ROW || !aborts {
                self.forget(spot);
            }
        }
        self.forget(spot);
        self.tracee.lift_all();
        let index = self.shared.index();
        if case.is_owner && index != [before.owner; 2] {
            self.place.index = index[1];
            return Err("another cid");
        }
        if depends && index != [place; 2] {
            self.place.index = index[1];
            return Err("another copy");
        }
        assert!(!is_due, "{}: not aborted", what());
        if let Some(wrong) = difference(&self.shared.state(), &after) {
            panic!("{}: at the end {wrong}", what());
        }
        *if aborts { &mut self.seen.forced } else { &mut self.seen.outside } += u64::from(stops);
        if aborts && matches!(spot, Spot::BehindWrite(_)) {
            self.seen.behind_writes += u64::from(stops);
        }
        Ok(flags)
    }

    fn forget(&mut self, spot: Spot) {
        match spot {
            Spot::Before(address) => self.tracee.lift(address),
            Spot::BehindWrite(_) => self.tracee.watch(None).expect("a watchpoint, as before"),
        }
    }
}

/// Gives the registration of the calling thread up, whatever length it has.
fn unregister(registration: &Registration) {
    const UNREGISTER: usize = 1;
    let area = thread_pointer().wrapping_add_signed(registration.offset);
    for length in (32..512usize).step_by(4) {
        // SAFETY: the kernel forgets an area of this thread, or refuses.
        unsafe { libc::syscall(libc::SYS_rseq, area, length, UNREGISTER, SIGNATURE as usize) };
    }
}

/// All cases in a child of this process, registered or not. None where it cannot be had.
fn go_through(registration: &Registration, is_registered: bool, seen: &mut Seen) -> Option<()> {
    let shared = Shared::new(registration);
    let serve = || {
        if !is_registered {
            unregister(registration);
        }
        shared.serve();
    };
    // SAFETY: system calls and sections alone.
    let mut tracee = match unsafe { Tracee::fork(serve) } {
        Ok(tracee) => tracee,
        Err(why) => {
            skip("aborts at each instruction", &why);
            return None;
        }
    };
    tracee.resume(0);
    assert_eq!(tracee.wait(), Stop::Trap, "the child's first stop");
    let exe = std::env::current_exe().expect("the path of this program");
    let base = tracee.mapping(&exe).expect("this program is mapped in its child").start;
    let (table, size, _) = Image::read(&exe).descriptors();
    let windows = windows(&tracee, base + table, size);
    let windows: Vec<Window> = windows.into_iter().filter(Window::stores).collect();
    assert!(!windows.is_empty(), "no windows in {}", exe.display());
    seen.has_watchpoints = match tracee.watch(None) {
        Ok(()) => true,
        Err(why) => {
            skip("aborts in each turn of a loop", &format!("no watchpoints here: {why}"));
            false
        }
    };
    let place = Place { is_registered, index: u64::MAX };
    let mut harness = Harness { shared: &shared, tracee, windows, place, seen };
    let cases = cases::all();
    // The first operation tells the index, and whether the thread has one.
    let _ = harness.entered(&cases[0]);
    harness.place.index = shared.index()[1];
    if (harness.place.index == u64::MAX) == is_registered {
        let why = "the kernel keeps the registration; its length is none that is known here";
        assert!(!is_registered, "the child of a registered thread is not registered");
        skip("sections of threads without a registration", why);
        return None;
    }
    for case in &cases {
        harness.aborts_everywhere(case);
    }
    if is_registered {
        let all = harness.windows.iter().flat_map(|window| &window.instructions);
        let missed: Vec<_> = all.filter(|at| !harness.seen.aborted.contains(&at.ip())).collect();
        assert!(missed.is_empty(), "no state leads to these instructions: {missed:#x?}");
    }
    Some(())
}

#[test]
fn aborts_at_every_instruction_leave_no_partial_effect() {
    let Some(registration) = registration() else {
        return skip("aborts at each instruction", "this kernel gives no mm_cid");
    };
    let mut seen = Seen::default();
    let Some(()) = go_through(&registration, true, &mut seen) else { return };
    let (forced, outside, cases) = (seen.forced, seen.outside, cases::all().len());
    reliability::line(
        "stepping",
        "an abort at each instruction of each section",
        "ptrace: a breakpoint before it, or behind each write; the kernel aborts, twice in a row",
        forced,
        &format!(
            "{} instructions in {cases} states, {} times behind a write: nothing changed before \
             the commit, the effect once after it",
            seen.aborted.len(),
            seen.behind_writes
        ),
    );
    let Some(()) = go_through(&registration, false, &mut seen) else { return };
    reliability::line(
        "stepping",
        "a stop just outside a window, or of a thread without rseq",
        "ptrace: breakpoints on the way in, behind the commit, and where the kernel aborts nothing",
        seen.outside,
        "the operation goes on, its effect is there once",
    );
    assert!(seen.outside > outside && seen.forced == forced, "no aborts without a registration");
    let one_way: Vec<_> = seen.ways.iter().filter(|(_, ways)| ways.len() == 1).collect();
    assert!(one_way.is_empty(), "these went one way only: {one_way:x?}");
}

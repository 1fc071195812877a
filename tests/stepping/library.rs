//! The copies of the windows in `libcidmalloc.so`, under a program that allocates and looks.
//!
//! What its memory is at a stop is not compared here, since it is the whole heap: the program
//! finds an object that is lost or handed out twice by its contents, and by the statistics.

use crate::sections::registration;
use cidalloc_tests::elf::Image;
use cidalloc_tests::trace::program::{Memory, Program};
use cidalloc_tests::trace::windows::windows;
use cidalloc_tests::trace::{Stop, Tracee, Window};
use cidalloc_tests::{compile_c, preload_library, reliability, skip, subject};
use std::collections::BTreeSet;

/// Aborts at one instruction before the operation may go on.
const IN_A_ROW: u32 = 3;
/// Rounds in which an instruction must be come by: most pass all, some only when shapes change.
const TRIES: u32 = 40;

/// Whether the function of this name has windows for objects of other nodes alone.
fn is_for_nodes(name: &str) -> bool {
    // The one window of an overflowing free pushes an object of another node (`foreign::keep`).
    ["7foreign", "12push_on_node", "13push_homeward", "6refill8overflow"]
        .iter()
        .any(|part| name.contains(part))
}

/// The program between two rounds.
struct Rounds {
    tracee: Tracee,
    output: Memory,
    rounds: u64,
    aborts: u64,
}

impl Rounds {
    /// Lets it run to the next breakpoint; none at the end of a round.
    fn arrival(&mut self) -> Option<u64> {
        let mut signal = 0;
        loop {
            self.tracee.resume(signal);
            match self.tracee.wait() {
                Stop::Trap => return self.tracee.arrived(),
                Stop::Signal(other) => signal = other,
                Stop::Event(_) => signal = 0,
                stop => panic!("{stop:?} in round {}:\n{}", self.rounds, self.output.text()),
            }
        }
    }

    /// One round with a stop at `address`: whether it came by there.
    fn round(&mut self, window: &Window, address: u64) -> bool {
        self.tracee.plant(address);
        self.tracee.plant(window.abort);
        let (mut stops, mut is_due) = (0, false);
        while let Some(at) = self.arrival() {
            if at == window.abort {
                is_due = false;
                self.tracee.step_over(at);
                continue;
            }
            assert!(!is_due, "no abort at {address:#x} of {window:#x?}");
            stops += 1;
            is_due = window.covers(address);
            self.aborts += u64::from(is_due);
            if stops == IN_A_ROW || !is_due {
                self.tracee.lift(at);
            }
        }
        assert!(!is_due, "no abort at {address:#x} of {window:#x?}");
        self.tracee.lift_all();
        self.rounds += 1;
        stops > 0
    }

    /// One undisturbed round: the windows that it enters.
    fn entered(&mut self, windows: &[Window]) -> BTreeSet<u64> {
        for window in windows {
            self.tracee.plant(window.start);
        }
        let mut entered = BTreeSet::new();
        while let Some(at) = self.arrival() {
            self.tracee.lift(at);
            entered.insert(at);
        }
        self.tracee.lift_all();
        self.rounds += 1;
        entered
    }

    fn end(mut self) {
        let mut registers = self.tracee.registers();
        registers.rax = 0;
        self.tracee.set_registers(&registers);
        let stop = loop {
            self.tracee.resume(0);
            match self.tracee.wait() {
                Stop::Event(_) => {}
                stop => break stop,
            }
        };
        let said = self.output.text();
        let rounds = format!("{} rounds", self.rounds);
        assert_eq!(stop, Stop::Exited(0), "{said}");
        assert!(said.contains(&rounds) && said.contains("ok rounds"), "not {rounds}: {said}");
    }
}

#[test]
fn aborts_in_the_library_lose_and_double_nothing() {
    const WHAT: &str = "aborts in the library's windows";
    if !subject().is_ours() {
        return skip(WHAT, "libcidmalloc alone has windows");
    }
    if registration().is_none() {
        return skip(WHAT, "this kernel gives no mm_cid");
    }
    let Some(program) = compile_c("stepping/rounds.c") else { return };
    let library = preload_library();
    let output = Memory::new();
    // As on a machine with few CPUs and one node, where each window has its use.
    let program = Program::preloaded(
        &[program.as_os_str(), "rounds".as_ref()],
        &[
            ("CIDALLOC_NUMA", "none"),
            ("CIDALLOC_CID", "kernel"),
            ("CIDALLOC_ARENA_CIDS", "1"),
            ("CIDALLOC_CACHE_BYTES_MAX", "128k"),
        ],
        &output,
    );
    let tracee = match Tracee::exec(&program) {
        Ok(tracee) => tracee,
        Err(why) => return skip(WHAT, &why),
    };
    let mut rounds = Rounds { tracee, output, rounds: 0, aborts: 0 };
    assert_eq!(rounds.arrival(), None, "the program's first stop");
    let base = rounds.tracee.mapping(&library).expect("the library is preloaded").start;
    let image = Image::read(&library);
    let (table, size, _) = image.descriptors();
    let windows = windows(&rounds.tracee, base + table, size);
    let entered = rounds.entered(&windows);
    let name = |window: &Window| image.symbol_at(window.start - base).unwrap_or("no symbol");
    let (windows, others): (Vec<_>, Vec<_>) =
        windows.into_iter().partition(|window| entered.contains(&window.start));
    let lost: Vec<_> = others.iter().map(name).filter(|name| !is_for_nodes(name)).collect();
    assert!(lost.is_empty(), "no round enters the windows of {lost:?}");
    let mut instructions = 0;
    for window in &windows {
        for instruction in window.approach.iter().chain(&window.instructions) {
            let passed = (0..TRIES).any(|_| rounds.round(window, instruction.ip()));
            assert!(passed, "no round comes by {instruction:#x?} in {}", name(window));
            instructions += 1;
        }
    }
    let aborts = rounds.aborts;
    rounds.end();
    reliability::line(
        "stepping",
        "an abort at each instruction of the library's windows",
        "ptrace: a breakpoint in a program of malloc and free, three aborts in a row",
        aborts,
        &format!(
            "{instructions} instructions of {} windows: contents and statistics as without; {} \
             windows are for machines with several nodes",
            windows.len(),
            others.len()
        ),
    );
}

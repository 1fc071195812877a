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
use std::path::Path;

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

/// What was done in one setting.
struct Tally {
    instructions: u64,
    windows: u64,
    aborts: u64,
    /// Windows that no setting so far enters.
    left: Vec<String>,
}

/// Aborts in each window that this setting enters, and none before did: `done` has where they begin
/// in the library.
fn go_through(
    program: &Path,
    setting: (&str, &str),
    done: &mut BTreeSet<u64>,
) -> Result<Tally, String> {
    let output = Memory::new();
    // As on a machine with few CPUs and one node, where each window has its use.
    let environment = [
        ("CIDALLOC_NUMA", "none"),
        ("CIDALLOC_CID", "kernel"),
        ("CIDALLOC_ARENA_CIDS", "1"),
        ("CIDALLOC_CACHE_BYTES_MAX", "128k"),
        setting,
    ];
    let command = [program.as_os_str(), "rounds".as_ref()];
    let tracee = Tracee::exec(&Program::preloaded(&command, &environment, &output))?;
    let mut rounds = Rounds { tracee, output, rounds: 0, aborts: 0 };
    assert_eq!(rounds.arrival(), None, "the program's first stop");
    let library = preload_library();
    let image = Image::read(&library);
    let base = rounds.tracee.mapping(&library).expect("the library is preloaded").start;
    let name = |window: &Window| image.symbol_at(window.start - base).unwrap_or("no symbol");
    let (table, size, _) = image.descriptors();
    let mut windows = windows(&rounds.tracee, base + table, size);
    windows.retain(|window| !done.contains(&(window.start - base)));
    let entered = rounds.entered(&windows);
    let (windows, others): (Vec<_>, Vec<_>) =
        windows.into_iter().partition(|window| entered.contains(&window.start));
    let mut instructions = 0;
    for window in &windows {
        for instruction in window.approach.iter().chain(&window.instructions) {
            let passed = (0..TRIES).any(|_| rounds.round(window, instruction.ip()));
            assert!(passed, "no round comes by {instruction:#x?} in {}", name(window));
            instructions += 1;
        }
        done.insert(window.start - base);
    }
    let aborts = rounds.aborts;
    rounds.end();
    let left = others.iter().map(|window| name(window).to_owned()).collect();
    Ok(Tally { instructions, windows: windows.len() as u64, aborts, left })
}

#[test]
fn aborts_in_the_library_lose_and_double_nothing() {
    const WHAT: &str = "aborts in the library's windows";
    /// The hardened mode has ways of its own through malloc and free.
    const SETTINGS: [(&str, &str); 2] =
        [("CIDALLOC_HARDENED", "0"), ("CIDALLOC_HARDENED", "state,zero,random")];
    if !subject().is_ours() {
        return skip(WHAT, "libcidmalloc alone has windows");
    }
    if registration().is_none() {
        return skip(WHAT, "this kernel gives no mm_cid");
    }
    let Some(program) = compile_c("stepping/rounds.c") else { return };
    let mut done = BTreeSet::new();
    let mut all = Tally { instructions: 0, windows: 0, aborts: 0, left: Vec::new() };
    for setting in SETTINGS {
        let tally = match go_through(&program, setting, &mut done) {
            Ok(tally) => tally,
            Err(why) => return skip(WHAT, &why),
        };
        all.instructions += tally.instructions;
        all.windows += tally.windows;
        all.aborts += tally.aborts;
        all.left = tally.left;
    }
    let lost: Vec<_> = all.left.iter().filter(|name| !is_for_nodes(name)).collect();
    assert!(lost.is_empty(), "no round enters the windows of {lost:?}");
    reliability::line(
        "stepping",
        "an abort at each instruction of the library's windows",
        "ptrace: a breakpoint in a program of malloc and free, three aborts in a row",
        all.aborts,
        &format!(
            "{} instructions of {} windows: contents and statistics as without; {} windows are \
             for machines with several nodes",
            all.instructions,
            all.windows,
            all.left.len()
        ),
    );
}

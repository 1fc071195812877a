//! The watcher's section on arm64, checked on any machine: its descriptor, and its behaviour when
//! interrupted at every instruction.
//!
//! ```text
//!   object    window, abort, signature    = what the kernel asks for
//!   program   aarch64/soundness.c         = quiet, ticked, aborted
//! ```
//!
//! Needs the Debian packages of `aarch64_assembles.rs`.

#[path = "aarch64/listing.rs"]
#[allow(dead_code, reason = "used in part")]
mod listing;
#[path = "aarch64/tools.rs"]
#[allow(dead_code, reason = "used in part")]
mod tools;

use listing::link_and_list;
use std::path::{Path, PathBuf};
use tools::{assemble, directory, have, link_and_run};

const SIGNATURE: u32 = 0xd428_bc00;

fn assembled(directory: &Path) -> Option<PathBuf> {
    have("as", "binutils-aarch64-linux-gnu")
        .then(|| assemble(("soundness", &["src/soundness/aarch64.S"]), directory))
}

#[test]
fn the_window_loads_and_branches_and_does_nothing_else() {
    let directory = directory("aarch64-soundness-listing");
    let Some(object) = assembled(&directory) else { return };
    let listing = link_and_list(&[object], &directory);
    let [d] = &listing.descriptors[..] else { panic!("one descriptor") };
    let at = |address: u64| &listing.code[&address];
    assert_eq!(d.flags, 0, "version and flags");
    assert_eq!(at(d.start).function, "cidalloc_rseq_watch");
    assert_eq!(at(d.abort - 4).word, SIGNATURE);
    assert!(!(d.start..d.end).contains(&d.abort), "aborts to itself");
    assert_eq!(at(d.start - 4).operands, "x4, [x0, #8]", "arms before its window");
    assert_eq!(at(d.end).operands, "xzr, [x0, #8]", "disarms after its window");
    assert_eq!(at(d.abort + 4).target(), Some(d.end), "an abort leaves by the same way");
    for (address, i) in listing.code.range(d.start..d.end) {
        let quiet = ["ldr", "mov", "cmp", "subs", "b.ne"].contains(&&*i.name);
        assert!(quiet, "{address:x}: {} {}", i.name, i.operands);
        let target = i.target().unwrap_or(d.end);
        assert!((d.start..=d.end).contains(&target), "branches to {target:x}");
    }
    for (address, i) in &listing.code {
        let spoken_for = (16..=30).flat_map(|n| [format!("x{n}"), format!("w{n}")]);
        let uses = i.uses(spoken_for.chain(["sp".to_owned(), "wsp".to_owned()]));
        assert!(!uses, "{address:x}: {} {}", i.name, i.operands);
    }
}

#[test]
fn the_watcher_tells_how_its_window_ended() {
    let directory = directory("aarch64-soundness-run");
    let Some(object) = assembled(&directory) else { return };
    if let Some(line) = link_and_run("soundness", &[object], &directory, "-static") {
        assert!(line.starts_with("ok: "));
    }
}

//! The fast paths, instruction by instruction, compared with `fast_path.golden`.
//!
//! A change of the counts is a change to be seen in review: run the test with
//! `CIDALLOC_BLESS=1` to write the file anew, and commit it with its cause.

use super::our_image;
use cidalloc_tests::code::{Profile, profile};
use cidalloc_tests::elf::Image;
use cidalloc_tests::{skip, tests_root};
use core::fmt::Write;
use object::Architecture;
use std::path::Path;

const FUNCTIONS: [&str; 2] = ["malloc", "free"];
const HEADER: &str = "\
# Instruction classes of the release library's entry points on x86-64.
# whole: all of the function. hit: the shortest way to a return that commits a window.
# Written by the test fast_paths_are_as_recorded with CIDALLOC_BLESS=1.
";

fn profiles(image: &Image) -> Vec<(&'static str, Profile)> {
    FUNCTIONS
        .into_iter()
        .map(|name| {
            let counts =
                profile(image, name).unwrap_or_else(|| panic!("the library exports no {name}"));
            (name, counts)
        })
        .collect()
}

fn x86_64_image(what: &str) -> Option<Image> {
    let image = our_image(what)?;
    if image.architecture() == Architecture::X86_64 {
        return Some(image);
    }
    skip(what, "the counts are of x86-64 code");
    None
}

#[test]
fn fast_paths_are_as_recorded() {
    let Some(image) = x86_64_image("fast path counts") else {
        return;
    };
    let mut text = HEADER.to_owned();
    for (name, counts) in profiles(&image) {
        writeln!(text, "{name} whole: {}", counts.whole).expect("a string takes text");
        writeln!(text, "{name} hit: {}", counts.hit).expect("a string takes text");
    }
    let golden = tests_root().join("preload/fast_path.golden");
    if std::env::var("CIDALLOC_BLESS").as_deref() == Ok("1") {
        std::fs::write(&golden, &text).unwrap_or_else(|e| panic!("{}: {e}", golden.display()));
        return;
    }
    let recorded = std::fs::read_to_string(&golden).unwrap_or_else(|e| {
        panic!("{}: {e}; write it with CIDALLOC_BLESS=1. Now:\n{text}", golden.display())
    });
    assert_eq!(
        text,
        recorded,
        "the fast path changed; if that is meant, write {} anew with CIDALLOC_BLESS=1",
        golden.display()
    );
}

#[test]
fn hit_paths_call_nothing_and_lock_nothing() {
    let Some(image) = x86_64_image("hit paths") else {
        return;
    };
    for (name, counts) in profiles(&image) {
        assert!(counts.commits, "no way through {name} commits a window and returns");
        assert_eq!(counts.hit.calls, 0, "{name}: {}", counts.hit);
        assert_eq!(counts.hit.locked, 0, "{name}: {}", counts.hit);
        assert_eq!(counts.hit.returns, 1, "{name}: {}", counts.hit);
    }
}

/// The counter itself, on code that is not ours: libc's functions have been there for long.
#[test]
fn functions_of_libc_can_be_counted() {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc/self/maps");
    let libc = maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| {
        Path::new(path)
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("libc.so"))
    });
    let Some(libc) = libc else {
        return skip("libc's functions", "libc is linked statically");
    };
    let image = Image::read(Path::new(libc));
    if image.architecture() != Architecture::X86_64 {
        return skip("libc's functions", "the counts are of x86-64 code");
    }
    for (name, counts) in profiles(&image) {
        assert!(!counts.commits, "{name} of libc has a window");
        assert!(counts.whole.total > 10 && counts.whole.loads > 0, "{name}: {}", counts.whole);
        assert!(counts.whole.branches > 0 && counts.whole.returns > 0, "{name}: {}", counts.whole);
        assert!((2..=counts.whole.total).contains(&counts.hit.total), "{name}: {}", counts.hit);
    }
}

//! The arm64 sections, checked on any machine: numbers, texts, instructions, behaviour.
//!
//! ```text
//!   aarch64.S   .equ numbers                        = the constants of abi, cs and copies
//!   aarch64.rs  names, types                        = x86_64.rs
//!   objects     windows, aborts                     = what the kernel and the contract ask for
//!   programs    aarch64/sections.c, copies.c        = the contract, interrupted at every instruction
//! ```
//!
//! The last two need Debian's packages binutils-aarch64-linux-gnu, gcc-aarch64-linux-gnu,
//! libc6-dev-arm64-cross and qemu-user-static; on an arm64 machine its own tools serve.

// The declarations as this machine's compiler sees them. Nothing in there is called: the
// symbols exist on arm64 only.
#[cfg(not(target_arch = "aarch64"))]
#[allow(dead_code, unreachable_pub, reason = "only its types are compared")]
#[path = "../src/cs/aarch64.rs"]
mod aarch64;
#[cfg(not(target_arch = "aarch64"))]
#[allow(dead_code, unreachable_pub, reason = "only its types are compared")]
#[path = "../src/copies/aarch64.rs"]
mod aarch64_on_copies;
#[path = "aarch64/listing.rs"]
mod listing;
#[path = "aarch64/tools.rs"]
mod tools;

use listing::{Listing, link_and_list};
use rseq_sys::abi;
use rseq_sys::copies::Current;
#[cfg(not(target_arch = "aarch64"))]
use rseq_sys::copies::Outcome;
use rseq_sys::cs::{Anchor, CID_BITS};
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use tools::{
    AREA, COPIES, SHARDS, Text, assemble, assemble_by_compiler, directory, have, have_compiler,
    in_crate, link_and_run,
};

/// `brk #0x45e0`, the kernel's `RSEQ_SIG_CODE` for arm64.
const SIGNATURE: u32 = 0xd428_bc00;

fn read(path: &str) -> String {
    std::fs::read_to_string(in_crate(path)).expect("a file of this crate")
}

/// What functions are called that are a shorter way on x86-64 to what others do as well.
const ONLY_ON_X86_64: &str = "add_through_cid";

/// The public functions of a file of sections, each from its name to its body.
fn signatures(paths: &[&str]) -> Vec<String> {
    let text = paths.iter().map(|path| read(path)).collect::<String>();
    let functions = text.split("pub unsafe fn ").skip(1);
    functions
        .filter(|f| !f.starts_with(ONLY_ON_X86_64))
        .map(|f| f.split('{').next().unwrap_or_default())
        .map(|f| f.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// Sections of one text: where the same are for x86-64, the declarations, what their names begin with
/// in the text, and the program that interrupts them.
struct Sections {
    text: Text,
    model: &'static [&'static str],
    declarations: &'static str,
    prefix: &'static str,
    program: &'static str,
}

const ALL: [Sections; 2] = [
    Sections {
        text: SHARDS,
        model: &["src/cs/x86_64.rs"],
        declarations: "src/cs/aarch64.rs",
        prefix: "",
        program: "sections",
    },
    Sections {
        text: COPIES,
        model: &["src/copies/x86_64.rs", "src/copies/x86_64/through.rs"],
        declarations: "src/copies/aarch64.rs",
        prefix: "copies_",
        program: "copies",
    },
];

impl Sections {
    fn names(&self) -> Vec<String> {
        let name = |s: &String| s.split(['(', '<']).next().unwrap_or_default().to_owned();
        signatures(self.model).iter().map(|s| self.prefix.to_owned() + &name(s)).collect()
    }
}

#[test]
fn numbers_are_those_of_the_crate() {
    let text = read("src/cs/aarch64_frame.S") + &read("src/cs/aarch64.S");
    let numbers: Vec<(&str, u64)> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix(".equ"))
        .map(|line| {
            let (name, value) = line.trim().split_once(", ").expect(".equ name, value");
            let hexadecimal = value.strip_prefix("0x");
            let value = hexadecimal.map_or_else(|| value.parse(), |v| u64::from_str_radix(v, 16));
            (name, value.expect("a number"))
        })
        .collect();
    let wanted = [
        ("CIDALLOC_ANCHOR_AREA", offset_of!(Anchor, area) as u64),
        ("CIDALLOC_ANCHOR_IDS", offset_of!(Anchor, ids) as u64),
        ("CIDALLOC_ANCHOR_TABLE", offset_of!(Anchor, table) as u64),
        ("CIDALLOC_CPU_ID", abi::CPU_ID as u64),
        ("CIDALLOC_RSEQ_CS", abi::RSEQ_CS as u64),
        ("CIDALLOC_SIGNATURE", u64::from(SIGNATURE)),
        ("CIDALLOC_CID_BITS", u64::from(CID_BITS)),
    ];
    assert_eq!(numbers, wanted);
    // The pair load of the anchor reads two words that stand together.
    assert_eq!(offset_of!(Anchor, ids), offset_of!(Anchor, area) + 8);
    // The frame takes the one for the other.
    assert_eq!(offset_of!(Current, area), offset_of!(Anchor, area));
    assert_eq!(offset_of!(Current, ids), offset_of!(Anchor, ids));
    assert_eq!(offset_of!(Current, rows), offset_of!(Anchor, table));
    let abi_text = read("src/abi.rs");
    assert!(
        abi_text
            .contains("cfg(target_arch = \"aarch64\")]\npub const SIGNATURE: u32 = 0xd428_bc00;")
    );
}

#[test]
fn texts_pass_through_a_format_string() {
    for (_, files) in [AREA, SHARDS, COPIES] {
        for file in files {
            assert!(!read(file).contains(['{', '}']), "{file} has a brace");
        }
    }
}

#[test]
fn signatures_and_order_are_those_of_x86_64() {
    for sections in ALL {
        assert_eq!(signatures(&[sections.declarations]), signatures(sections.model));
        let assembler = sections.text.1.iter().map(|file| read(file)).collect::<String>();
        let names = assembler
            .lines()
            .filter_map(|line| line.trim().strip_prefix("cidalloc_section "))
            .collect::<Vec<_>>();
        assert_eq!(names, sections.names());
    }
}

#[cfg(not(target_arch = "aarch64"))]
const _: () = {
    use rseq_sys::cs;
    let _ = [cs::pop, aarch64::pop];
    let _ = [cs::push, aarch64::push];
    let _ = [cs::push_on_node, aarch64::push_on_node];
    let _ = [cs::pop_batch, aarch64::pop_batch];
    let _ = [cs::push_batch, aarch64::push_batch];
    let _ = [cs::reshape, aarch64::reshape];
    let _ = [cs::take, aarch64::take];
    let _ = [cs::put, aarch64::put];
    use aarch64_on_copies as arm64;
    use rseq_sys::copies;
    let _ = [copies::add, arm64::add];
    let _ = [copies::load, arm64::load];
    let _ = [copies::compare_store, arm64::compare_store];
    let _ = [copies::compare_two_store, arm64::compare_two_store];
    let _ = [copies::compare_store_store, arm64::compare_store_store];
    let _ = [copies::push, arm64::push];
    let _ = [copies::pop, arm64::pop];
    let _ = [copies::pop_all, arm64::pop_all];
    let _ = [copies::compare_copy_store, arm64::compare_copy_store];
    let _ = [copies::add_through::<12>, arm64::add_through::<12>];
};

fn check_window(listing: &Listing, number: usize, name: &str) {
    let Listing { code, descriptors } = listing;
    let d = &descriptors[number];
    let at = |address: u64| &code[&address];
    assert_eq!(d.flags, 0, "{name}: version and flags");
    assert_eq!(at(d.start).function, format!("cidalloc_rseq_{name}"));
    assert_eq!(at(d.abort - 4).word, SIGNATURE, "{name}: signature");
    assert!(!(d.start..d.end).contains(&d.abort), "{name}: aborts to itself");

    let arm = d.start - 4;
    assert_eq!(at(arm).name, "str", "{name}: arms before its window");
    assert_eq!(at(arm).operands, "x13, [x9, #8]", "{name}: arms rseq_cs");
    assert_eq!(at(d.abort).name, "b", "{name}: the abort code is one branch");
    assert_eq!(at(d.abort).target(), Some(arm), "{name}: aborts arm again");

    let (last, commits) = if name == "copies_load" { ("ldar", 0) } else { ("stlr", 1) };
    assert_eq!(at(d.end - 4).name, last, "{name}: ends with its commit");
    assert_eq!(at(d.end).name, "ret", "{name}: returns after its commit");
    let window = || code.range(d.start..d.end).map(|(_, i)| i);
    assert_eq!(window().count() as u64 * 4, d.end - d.start, "{name}: no gap");
    assert_eq!(window().filter(|i| i.name == "stlr").count(), commits, "{name}: one commit");
    assert!(window().any(|i| i.name == "ldar"), "{name}: begins with an acquire");
    for i in window() {
        let leaves = ["bl", "blr", "br", "ret", "svc", "brk", "hvc"].contains(&&*i.name);
        assert!(!leaves, "{name}: {} {} in the window", i.name, i.operands);
        let target = i.target().unwrap_or(d.end);
        assert!((d.start..=d.end).contains(&target), "{name}: branches to {target:x}");
    }
    let outside = code.iter().filter(|(a, _)| !(d.start..d.end).contains(a));
    for (address, i) in outside {
        let inside = i.target().is_some_and(|t| (d.start..d.end).contains(&t));
        assert!(!inside, "{name}: {address:x} branches into the window");
    }
}

fn check(listing: &Listing, names: &[String]) {
    assert_eq!(listing.descriptors.len(), names.len(), "a descriptor each");
    for (number, name) in names.iter().enumerate() {
        check_window(listing, number, name);
    }
    for (address, i) in &listing.code {
        // x18 is the platform's, x19 to x30 are the caller's, and the stack is nobody's.
        let reserved = (18..=30).flat_map(|n| [format!("x{n}"), format!("w{n}")]);
        let uses = i.uses(reserved.chain(["sp".to_owned(), "wsp".to_owned()]));
        assert!(!uses, "{address:x}: {} {}", i.name, i.operands);
    }
}

fn check_and_run(sections: &Sections, objects: &[PathBuf], directory: &Path, linkage: &str) {
    let names = sections.names();
    if have("objdump", "binutils-aarch64-linux-gnu") {
        check(&link_and_list(objects, directory), &names);
    }
    if let Some(line) = link_and_run(sections.program, objects, directory, linkage) {
        assert!(line.starts_with(&format!("ok: {} sections", names.len())));
    }
}

// Linked statically and not: each finds the thread-local variable and libc's words in its way.

#[test]
fn gnu_assembles_sections_that_hold_the_contract() {
    if have("as", "binutils-aarch64-linux-gnu") {
        let directory = directory("aarch64-gnu");
        for sections in ALL {
            let objects = [sections.text, AREA].map(|text| assemble(text, &directory));
            check_and_run(&sections, &objects, &directory, "-static");
        }
    }
}

#[test]
fn rustc_assembles_sections_that_hold_the_contract() {
    let directory = directory("aarch64-rustc");
    if have_compiler(&directory) {
        for sections in ALL {
            let texts = [sections.text, AREA];
            let objects = texts.map(|text| assemble_by_compiler(text, &directory));
            check_and_run(&sections, &objects, &directory, "-pie");
        }
    }
}

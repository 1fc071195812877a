//! The arm64 sections, checked on any machine: numbers, texts, instructions, behaviour.
//!
//! ```text
//!   aarch64.S   .equ numbers        = the constants of abi and cs
//!   aarch64.rs  names, types        = x86_64.rs
//!   objects     windows, aborts     = what the kernel and the contract ask for
//!   program     aarch64/sections.c  = the contract, interrupted at every instruction
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
#[path = "aarch64/listing.rs"]
mod listing;
#[path = "aarch64/tools.rs"]
mod tools;

use listing::{Listing, link_and_list};
use rseq_sys::abi;
use rseq_sys::cs::{Anchor, CID_BITS};
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use tools::{
    FILES, assemble_by_compiler, assemble_by_gnu, directory, have, in_crate, link_and_run,
};

/// `brk #0x45e0`, the kernel's `RSEQ_SIG_CODE` for arm64.
const SIGNATURE: u32 = 0xd428_bc00;

fn read(path: &str) -> String {
    std::fs::read_to_string(in_crate(path)).expect("a file of this crate")
}

/// The public functions of a file of sections, each from its name to its body.
fn signatures(path: &str) -> Vec<String> {
    let text = read(path);
    let functions = text.split("pub unsafe fn ").skip(1);
    functions
        .map(|f| f.split('{').next().unwrap_or_default())
        .map(|f| f.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

fn names() -> Vec<String> {
    let signatures = signatures("src/cs/x86_64.rs");
    let name = |s: &String| s.split('(').next().unwrap_or_default().to_owned();
    signatures.iter().map(name).collect()
}

#[test]
fn numbers_are_those_of_the_crate() {
    let text = read("src/cs/aarch64.S");
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
        ("CIDALLOC_CID_BITS", u64::from(CID_BITS)),
        ("CIDALLOC_SIGNATURE", u64::from(SIGNATURE)),
    ];
    assert_eq!(numbers, wanted);
    // The pair load of the anchor reads two words that stand together.
    assert_eq!(offset_of!(Anchor, ids), offset_of!(Anchor, area) + 8);
    let abi_text = read("src/abi.rs");
    assert!(
        abi_text
            .contains("cfg(target_arch = \"aarch64\")]\npub const SIGNATURE: u32 = 0xd428_bc00;")
    );
}

#[test]
fn texts_pass_through_a_format_string() {
    for file in FILES {
        let text = read(&format!("src/cs/{file}.S"));
        assert!(!text.contains(['{', '}']), "{file}.S has a brace");
    }
}

#[test]
fn signatures_and_order_are_those_of_x86_64() {
    assert_eq!(signatures("src/cs/aarch64.rs"), signatures("src/cs/x86_64.rs"));
    let assembler = read("src/cs/aarch64.S");
    let sections = assembler
        .lines()
        .filter_map(|line| line.trim().strip_prefix("cidalloc_section "))
        .collect::<Vec<_>>();
    assert_eq!(sections, names());
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

    assert_eq!(at(d.end - 4).name, "stlr", "{name}: ends with its commit");
    assert_eq!(at(d.end).name, "ret", "{name}: returns after its commit");
    let window = || code.range(d.start..d.end).map(|(_, i)| i);
    assert_eq!(window().count() as u64 * 4, d.end - d.start, "{name}: no gap");
    assert_eq!(window().filter(|i| i.name == "stlr").count(), 1, "{name}: one commit");
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

fn check(listing: &Listing) {
    let names = names();
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

fn check_and_run(objects: &[PathBuf], directory: &Path, linkage: &str) {
    if have("objdump", "binutils-aarch64-linux-gnu") {
        check(&link_and_list(objects, directory));
    }
    if let Some(line) = link_and_run("sections", objects, directory, linkage) {
        assert!(line.starts_with("ok: 8 sections"));
    }
}

// Linked statically and not: each finds the thread-local variable and libc's words in its way.

#[test]
fn gnu_assembles_sections_that_hold_the_contract() {
    if have("as", "binutils-aarch64-linux-gnu") {
        let directory = directory("aarch64-gnu");
        check_and_run(&assemble_by_gnu(&directory), &directory, "-static");
    }
}

#[test]
fn rustc_assembles_sections_that_hold_the_contract() {
    let directory = directory("aarch64-rustc");
    if let Some(objects) = assemble_by_compiler(&directory) {
        check_and_run(&objects, &directory, "-pie");
    }
}

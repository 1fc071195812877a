//! A linked program as its instructions and its rseq descriptors.
//!
//! ```text
//!   objdump -d   400180:  c89ffd8e   stlr   x14, [x12]     ──► Instruction
//!   __rseq_cs    version flags | start | length | abort    ──► Descriptor, by objcopy
//! ```

use crate::tools::{run, tool};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One instruction.
pub(crate) struct Instruction {
    /// Its encoding.
    pub(crate) word: u32,
    /// The function it stands in.
    pub(crate) function: String,
    /// Its mnemonic.
    pub(crate) name: String,
    /// Its operands, without comments.
    pub(crate) operands: String,
}

impl Instruction {
    /// Where it branches to, for branches to a fixed address.
    pub(crate) fn target(&self) -> Option<u64> {
        let branches = self.name.starts_with("b.")
            || ["b", "bl", "cbz", "cbnz", "tbz", "tbnz"].contains(&&*self.name);
        let address = self.operands.split('<').next()?.trim().rsplit([' ', ',']).next()?;
        branches.then(|| u64::from_str_radix(address, 16).expect("an address"))
    }
    /// Whether it names one of `registers`, in any width.
    pub(crate) fn uses(&self, registers: impl IntoIterator<Item = String>) -> bool {
        let words: Vec<&str> = self.operands.split(|c: char| !c.is_alphanumeric()).collect();
        registers.into_iter().any(|r| words.contains(&&*r))
    }
}

/// One entry of `__rseq_cs`.
pub(crate) struct Descriptor {
    /// Version and flags.
    pub(crate) flags: u64,
    /// Address of the window.
    pub(crate) start: u64,
    /// Address after the window.
    pub(crate) end: u64,
    /// Where aborts go.
    pub(crate) abort: u64,
}

/// A linked program.
pub(crate) struct Listing {
    /// Instructions by address.
    pub(crate) code: BTreeMap<u64, Instruction>,
    /// Descriptors in their order.
    pub(crate) descriptors: Vec<Descriptor>,
}

/// Links `objects` in `directory`, and lists what came of it.
pub(crate) fn link_and_list(objects: &[PathBuf], directory: &Path) -> Listing {
    let (program, bytes) = (directory.join("program"), directory.join("descriptors"));
    run(tool("ld").args(["-e", "0", "-o"]).arg(&program).args(objects));
    run(tool("objcopy").args(["-O", "binary", "-j", "__rseq_cs"]).args([&program, &bytes]));
    let bytes = fs::read(bytes).expect("objcopy wrote it");
    assert_eq!(bytes.len() % 32, 0, "whole descriptors");
    let descriptors = bytes.chunks_exact(32).map(|entry| {
        let word =
            |i: usize| u64::from_le_bytes(entry[i * 8..i * 8 + 8].try_into().expect("8 bytes"));
        Descriptor { flags: word(0), start: word(1), end: word(1) + word(2), abort: word(3) }
    });
    Listing {
        code: instructions(&run(tool("objdump").arg("-d").arg(&program))),
        descriptors: descriptors.collect(),
    }
}

fn instructions(text: &str) -> BTreeMap<u64, Instruction> {
    let mut function = String::new();
    let mut code = BTreeMap::new();
    for line in text.lines() {
        if let Some((_, name)) = line.strip_suffix(">:").and_then(|l| l.split_once(" <")) {
            name.clone_into(&mut function);
        }
        let Some((address, rest)) = line.split_once(":\t") else {
            continue;
        };
        let mut fields = rest.split('\t').map(str::trim);
        let address = u64::from_str_radix(address.trim(), 16).expect("an address");
        let word = fields.next().unwrap_or_default();
        let instruction = Instruction {
            word: u32::from_str_radix(word, 16).expect("an encoding"),
            function: function.clone(),
            name: fields.next().unwrap_or_default().to_owned(),
            operands: fields.next().unwrap_or_default().to_owned(),
        };
        code.insert(address, instruction);
    }
    code
}

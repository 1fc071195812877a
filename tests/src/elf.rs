//! A built shared library: what it exports and needs, and its memory after relocation.
//!
//! ```text
//!   .dynsym   defined names, where functions begin and end
//!   .dynamic  NEEDED, FLAGS, FLAGS_1, TEXTREL
//!   .rela.dyn RELATIVE at X with addend A  →  the word at X is A (load address 0)
//!   __rseq_cs 32-byte descriptors, whose addresses are such words:
//!             { version u32, flags u32, start_ip u64, post_commit_offset u64, abort_ip u64 }
//! ```

use object::elf;
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{
    Architecture, LittleEndian, Object, ObjectSection, ObjectSymbol, ObjectSymbolTable,
    RelocationFlags, RelocationTarget, SectionFlags, SymbolKind,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The size of one descriptor, and its alignment.
pub const DESCRIPTOR_SIZE: u64 = 32;

/// One entry of the table `__rseq_cs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// Where the entry is.
    pub address: u64,
    /// 0 in all kernels so far.
    pub version: u32,
    /// 0: the flags for not restarting were withdrawn in Linux 6.1.
    pub flags: u32,
    /// The first instruction of the window.
    pub start: u64,
    /// The length of the window: its last byte belongs to the commit store.
    pub length: u64,
    /// Where the kernel sends an aborted thread.
    pub abort: u64,
}

impl Descriptor {
    /// The address behind the commit store.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start.wrapping_add(self.length)
    }

    /// Whether `address` is inside the window.
    #[must_use]
    pub fn covers(&self, address: u64) -> bool {
        address.wrapping_sub(self.start) < self.length
    }
}

/// Where a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// Its first instruction.
    pub address: u64,
    /// Its length in bytes.
    pub size: u64,
}

struct Section {
    name: String,
    address: u64,
    bytes: Vec<u8>,
    executable: bool,
}

/// A shared library, read once.
pub struct Image {
    architecture: Architecture,
    sections: Vec<Section>,
    /// Addresses of words that the loader fills, and what it fills in at load address 0.
    relative: BTreeMap<u64, u64>,
    functions: BTreeMap<String, Function>,
    /// Where functions begin, exported or not, and their names as in the file.
    symbols: BTreeMap<u64, String>,
    /// Where the loader puts the addresses of other libraries' functions, by their names.
    imports: BTreeMap<String, u64>,
    exports: BTreeSet<String>,
    needed: Vec<String>,
    flags: u64,
    flags_1: u64,
    has_textrel: bool,
    tls_size: Option<u64>,
}

impl Image {
    /// Reads the library at `path`.
    ///
    /// # Panics
    /// If it is no 64-bit little-endian ELF file with section headers.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self::parse(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    fn parse(bytes: &[u8]) -> object::Result<Self> {
        let file = ElfFile64::<LittleEndian>::parse(bytes)?;
        let mut image = Self {
            architecture: file.architecture(),
            sections: Vec::new(),
            relative: BTreeMap::new(),
            functions: BTreeMap::new(),
            symbols: BTreeMap::new(),
            imports: BTreeMap::new(),
            exports: BTreeSet::new(),
            needed: Vec::new(),
            flags: 0,
            flags_1: 0,
            has_textrel: false,
            tls_size: None,
        };
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
                continue;
            };
            image.sections.push(Section {
                name: section.name()?.to_owned(),
                address: section.address(),
                bytes: section.data().unwrap_or_default().to_vec(),
                executable: sh_flags.contains(elf::SHF_EXECINSTR),
            });
        }
        for symbol in file.dynamic_symbols().filter(ObjectSymbol::is_definition) {
            let function = Function { address: symbol.address(), size: symbol.size() };
            image.functions.insert(symbol.name()?.to_owned(), function);
            image.exports.insert(symbol.name()?.to_owned());
        }
        for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
            image.symbols.insert(symbol.address(), symbol.name()?.to_owned());
        }
        for (address, relocation) in file.dynamic_relocations().into_iter().flatten() {
            let RelocationFlags::Elf { r_type } = relocation.flags() else {
                continue;
            };
            if let RelocationTarget::Symbol(index) = relocation.target()
                && let Ok(name) = file
                    .dynamic_symbol_table()
                    .map_or(Ok(""), |table| table.symbol_by_index(index)?.name())
            {
                image.imports.insert(name.to_owned(), address);
            }
            let relative = match image.architecture {
                Architecture::Aarch64 => elf::R_AARCH64_RELATIVE,
                _ => elf::R_X86_64_RELATIVE,
            };
            if r_type == relative {
                image.relative.insert(address, relocation.addend().cast_unsigned());
            }
        }
        let dynamic = file.elf_dynamic_table()?;
        for entry in &dynamic {
            match entry.tag {
                elf::DT_NEEDED => {
                    let name = dynamic.string(entry)?;
                    image.needed.push(String::from_utf8_lossy(name).into_owned());
                }
                elf::DT_TEXTREL => image.has_textrel = true,
                elf::DT_FLAGS => image.flags = entry.val,
                elf::DT_FLAGS_1 => image.flags_1 = entry.val,
                _ => {}
            }
        }
        image.tls_size = file
            .elf_program_headers()
            .iter()
            .find(|header| header.p_type(LittleEndian) == elf::PT_TLS)
            .map(|header| header.p_memsz(LittleEndian));
        Ok(image)
    }

    /// The machine that it is for.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// All names that it defines for others.
    #[must_use]
    pub fn exports(&self) -> &BTreeSet<String> {
        &self.exports
    }

    /// The libraries that it names as needed.
    #[must_use]
    pub fn needed(&self) -> &[String] {
        &self.needed
    }

    /// Whether its code must be written to at load.
    #[must_use]
    pub fn has_text_relocations(&self) -> bool {
        self.has_textrel || self.flags & elf::DF_TEXTREL.0 != 0
    }

    /// Whether it was linked with `-z nodelete`.
    #[must_use]
    pub fn is_never_unloaded(&self) -> bool {
        self.flags_1 & elf::DF_1_NODELETE.0 != 0
    }

    /// Whether it asks for room in the static TLS block.
    #[must_use]
    pub fn wants_static_tls(&self) -> bool {
        self.flags & elf::DF_STATIC_TLS.0 != 0
    }

    /// The size of its TLS block, where it has one.
    #[must_use]
    pub fn tls_size(&self) -> Option<u64> {
        self.tls_size
    }

    /// The exported function `name`.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<Function> {
        self.functions.get(name).copied()
    }

    /// The mangled name of the function that `address` is in, if the file says so.
    #[must_use]
    pub fn symbol_at(&self, address: u64) -> Option<&str> {
        self.symbols.range(..=address).next_back().map(|(_, name)| name.as_str())
    }

    /// Where the loader puts the address of the function `name` of another library.
    #[must_use]
    pub fn import(&self, name: &str) -> Option<u64> {
        self.imports.get(name).copied()
    }

    /// Whether `address` is in a section of code.
    #[must_use]
    pub fn is_code(&self, address: u64) -> bool {
        self.section_at(address).is_some_and(|section| section.executable)
    }

    /// The bytes from `address` to the end of its section, as in the file.
    #[must_use]
    pub fn bytes_at(&self, address: u64) -> Option<&[u8]> {
        let section = self.section_at(address)?;
        section.bytes.get(usize::try_from(address - section.address).ok()?..)
    }

    fn section_at(&self, address: u64) -> Option<&Section> {
        self.sections.iter().find(|section| {
            section.address != 0
                && (section.address..section.address + section.bytes.len() as u64)
                    .contains(&address)
        })
    }

    /// The word at `address` after relocation, at load address 0.
    #[must_use]
    pub fn word_at(&self, address: u64) -> Option<u64> {
        match self.relative.get(&address) {
            Some(addend) => Some(*addend),
            // Packed relocations (.relr.dyn) keep the addend in place.
            None => Some(u64::from_le_bytes(*self.bytes_at(address)?.first_chunk()?)),
        }
    }

    /// The 32-bit word at `address`, as in the file.
    #[must_use]
    pub fn half_at(&self, address: u64) -> Option<u32> {
        Some(u32::from_le_bytes(*self.bytes_at(address)?.first_chunk()?))
    }

    /// The table `__rseq_cs`: where it begins, its size, and its entries.
    #[must_use]
    pub fn descriptors(&self) -> (u64, u64, Vec<Descriptor>) {
        let Some(table) = self.sections.iter().find(|section| section.name == "__rseq_cs") else {
            return (0, 0, Vec::new());
        };
        let size = table.bytes.len() as u64;
        let entries = (0..size / DESCRIPTOR_SIZE)
            .filter_map(|i| self.descriptor_at(table.address + i * DESCRIPTOR_SIZE))
            .collect();
        (table.address, size, entries)
    }

    fn descriptor_at(&self, address: u64) -> Option<Descriptor> {
        Some(Descriptor {
            address,
            version: self.half_at(address)?,
            flags: self.half_at(address + 4)?,
            start: self.word_at(address + 8)?,
            length: self.word_at(address + 16)?,
            abort: self.word_at(address + 24)?,
        })
    }
}

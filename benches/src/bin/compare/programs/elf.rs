//! Whether a preloaded malloc can take effect in an executable at all.
//!
//! ```text
//!  mode bits          setuid, setgid      the loader ignores LD_PRELOAD
//!  program headers    no PT_INTERP        static: there is no loader
//!  dynamic symbols    `malloc` defined    its own comes first in the loader's search
//! ```
//!
//! The last is how `rustc` links jemalloc, for one: a library may be mapped there and serve
//! nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const PT_INTERP: u32 = 3;
const SHT_DYNSYM: u32 = 11;
const SETID: u32 = 0o6000;
const SYMBOL: usize = 24;

/// One line on why a preload would not take effect in `program`.
pub(crate) fn check(program: &Path) -> Result<(), String> {
    let name = program.display();
    let read = |error| format!("{name} cannot be read: {error}");
    let mode = std::fs::metadata(program).map_err(read)?.permissions().mode();
    if mode & SETID != 0 {
        return Err(format!("{name} is setuid or setgid: the loader ignores LD_PRELOAD there"));
    }
    let bytes = std::fs::read(program).map_err(read)?;
    let what = Executable(&bytes);
    match what.is_dynamic() {
        None => Err(format!("{name} is not a 64-bit executable; name the program itself")),
        Some(false) => Err(format!("{name} is linked statically: nothing can be preloaded")),
        Some(true) if what.defines("malloc") => {
            Err(format!("{name} brings its own malloc, which comes before a preloaded one"))
        }
        Some(true) => Ok(()),
    }
}

/// The bytes of a file that may be a 64-bit little-endian ELF executable.
struct Executable<'a>(&'a [u8]);

impl<'a> Executable<'a> {
    fn number<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..at.checked_add(N)?)?.try_into().ok()
    }
    fn half(&self, at: usize) -> Option<usize> {
        Some(u16::from_le_bytes(self.number(at)?).into())
    }
    fn word(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.number(at)?))
    }
    fn long(&self, at: usize) -> Option<usize> {
        usize::try_from(u64::from_le_bytes(self.number(at)?)).ok()
    }

    /// Whether it names a loader; `None` where it is no such executable.
    fn is_dynamic(&self) -> Option<bool> {
        if self.number::<6>(0)? != *b"\x7fELF\x02\x01" {
            return None;
        }
        let (table, size, count) = (self.long(32)?, self.half(54)?, self.half(56)?);
        Some((0..count).any(|i| self.word(table + i * size) == Some(PT_INTERP)))
    }

    /// Whether its dynamic symbols define `symbol`.
    fn defines(&self, symbol: &str) -> bool {
        self.names_defined().is_some_and(|mut names| names.any(|name| name == symbol.as_bytes()))
    }

    fn names_defined(&self) -> Option<impl Iterator<Item = &'a [u8]>> {
        let (table, size, count) = (self.long(40)?, self.half(58)?, self.half(60)?);
        let section = |i: usize| table + i * size;
        let symbols = (0..count).map(section).find(|&s| self.word(s + 4) == Some(SHT_DYNSYM))?;
        let strings = section(self.word(symbols + 40)? as usize);
        let (text, text_len) = (self.long(strings + 24)?, self.long(strings + 32)?);
        let text = self.0.get(text..text.checked_add(text_len)?)?;
        let (at, len) = (self.long(symbols + 24)?, self.long(symbols + 32)?);
        let entries = self.0.get(at..at.checked_add(len)?)?.chunks_exact(SYMBOL);
        Some(entries.filter(|entry| entry[6..8] != [0, 0]).filter_map(move |entry| {
            let name = u32::from_le_bytes(entry[..4].try_into().ok()?) as usize;
            text.get(name..)?.split(|byte| *byte == 0).next()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_dynamic_program_passes_and_a_script_does_not() {
        check(Path::new("/bin/sh")).unwrap();
        let script = std::env::temp_dir().join(format!("cidalloc-elf-{}", std::process::id()));
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        let error = check(&script).unwrap_err();
        std::fs::remove_file(&script).unwrap();
        assert!(error.contains("not a 64-bit executable"), "{error}");
    }

    #[test]
    fn static_programs_and_those_with_their_own_malloc_are_refused() {
        let folder = std::env::temp_dir().join(format!("cidalloc-elf-own-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let plain = "int main(void) { return 0; }\n";
        let own = format!(
            "#include <stddef.h>\nvoid *malloc(size_t n) {{ (void)n; return NULL; }}\n{plain}"
        );
        for (flag, text, why) in
            [("-static", plain, "statically"), ("-rdynamic", &own, "its own malloc")]
        {
            let (source, program) = (folder.join("own.c"), folder.join("own"));
            std::fs::write(&source, text).unwrap();
            let cc = Command::new("cc").arg(flag).arg("-o").arg(&program).arg(&source).status();
            match cc {
                Ok(status) if status.success() => {
                    let error = check(&program).unwrap_err();
                    assert!(error.contains(why), "{flag}: {error}");
                }
                _ => println!("skipped: cc {flag} does not work; apt-get install gcc libc6-dev"),
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

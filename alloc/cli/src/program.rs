//! What kind of program a file is, as far as it decides whether a library can be preloaded.
//!
//! ```text
//!  #! script ──► its interpreter ──► ELF ─ no PT_INTERP ► static: has no loader
//!                                     ├─── setuid        ► loader ignores LD_PRELOAD
//!                                     └─── other class   ► our library is not for it
//! ```

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Scripts that are interpreters of scripts, at most, as in the kernel.
const DEPTH: usize = 5;

/// Where the system finds `program`: by PATH, unless it names a path.
fn resolve(program: &OsStr) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(program.into());
    }
    let dirs = std::env::var_os("PATH")?;
    std::env::split_paths(&dirs)
        .map(|dir| dir.join(program))
        .find(|path| path.metadata().is_ok_and(|m| m.is_file() && m.mode() & 0o111 != 0))
}

/// Whether `program` is there, whatever it takes to run it.
pub(crate) fn is_there(program: &OsStr) -> bool {
    resolve(program).is_some_and(|path| path.exists())
}

/// Why `program` cannot have the library, if that can be seen from its file.
pub(crate) fn obstacle(program: &OsStr) -> Option<&'static str> {
    let mut path = resolve(program)?;
    for _ in 0..DEPTH {
        let mut head = Vec::new();
        File::open(&path).ok()?.take(4096).read_to_end(&mut head).ok()?;
        match interpreter(&head) {
            Some(next) => path = next.into(),
            None => return of_elf(&path, &head),
        }
    }
    None
}

/// The interpreter that the first line of a script names.
fn interpreter(head: &[u8]) -> Option<OsString> {
    let line = head.strip_prefix(b"#!")?.split(|&b| b == b'\n').next()?;
    let name = line.trim_ascii().split(|b| b.is_ascii_whitespace()).next()?;
    Some(OsStr::from_bytes(name).to_owned())
}

/// Fields of a 64-bit little-endian ELF header that matter here.
struct Elf {
    machine: u16,
    headers_at: u64,
    header_size: u16,
    headers: u16,
}

fn of_elf(path: &Path, head: &[u8]) -> Option<&'static str> {
    let file = path.metadata().ok()?;
    // The owner of our entry there is who we are to the kernel.
    let us = Path::new("/proc/self").metadata().ok()?;
    let other_user = file.mode() & 0o4000 != 0 && file.uid() != us.uid();
    let other_group = file.mode() & 0o2000 != 0 && file.gid() != us.gid();
    if other_user || other_group {
        return Some("it is setuid or setgid, and its loader ignores LD_PRELOAD");
    }
    if !head.starts_with(b"\x7fELF") || head.len() < 64 {
        return None;
    }
    const LITTLE_64: [u8; 2] = [2, 1];
    let half = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let elf = Elf {
        machine: half(18),
        headers_at: u64::from_le_bytes(head[32..40].try_into().ok()?),
        header_size: half(54),
        headers: half(56),
    };
    let machine: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    if head[4..6] != LITTLE_64 || elf.machine != machine {
        return Some("it is a program for another architecture than the library");
    }
    (!has_interpreter(path, &elf)?)
        .then_some("it is statically linked, and has no loader that could bring the library in")
}

fn has_interpreter(path: &Path, elf: &Elf) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    let file = File::open(path).ok()?;
    for i in 0..u64::from(elf.headers) {
        let mut kind = [0; 4];
        let at = elf.headers_at.checked_add(i * u64::from(elf.header_size))?;
        file.read_exact_at(&mut kind, at).ok()?;
        if u32::from_le_bytes(kind) == PT_INTERP {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scripts_interpreter_is_its_first_word() {
        let of = |text: &str| interpreter(text.as_bytes());
        assert_eq!(of("#! /bin/sh -e\necho"), Some("/bin/sh".into()));
        assert_eq!(of("#!/usr/bin/env python3"), Some("/usr/bin/env".into()));
        assert_eq!(of("\x7fELF"), None);
    }

    #[test]
    fn a_shell_can_have_the_library() {
        assert_eq!(obstacle("sh".as_ref()), None);
        assert_eq!(obstacle("no-such-program-anywhere".as_ref()), None);
    }
}

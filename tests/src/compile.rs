//! C and C++ sources to programs, once per content.
//!
//! ```text
//!   tests/startup/fork.c ─┐ hash of source, headers,       target/…/cidalloc-test-programs/
//!   tests/c/*.h          ─┴ compiler and arguments   →         fork-0123456789abcdef
//! ```
//!
//! Several test processes may compile the same source at the same time: each writes a name of
//! its own and renames it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// A language and the way its compiler is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compiler {
    /// C programs.
    C,
    /// C++ programs.
    Cxx,
    /// C++ libraries.
    CxxLibrary,
}

impl Compiler {
    fn command(self) -> String {
        let (variable, default) = match self {
            Self::C => ("CC", "cc"),
            Self::Cxx | Self::CxxLibrary => ("CXX", "c++"),
        };
        std::env::var(variable).unwrap_or_else(|_| default.to_owned())
    }

    // The compiler may not reason about malloc: `free(malloc(n))` must stay two calls.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::C => &["-std=gnu11", "-O1", "-g", "-fno-builtin", "-pthread", "-w"],
            Self::Cxx => &[
                "-std=c++17",
                "-O1",
                "-g",
                "-fno-builtin",
                "-fsized-deallocation",
                "-pthread",
                "-w",
            ],
            Self::CxxLibrary => {
                &["-std=c++17", "-O1", "-g", "-fno-builtin", "-fPIC", "-shared", "-pthread", "-w"]
            }
        }
    }
}

/// Compiles `source`, a path under the tests' folder; none where there is no C compiler.
///
/// # Panics
/// If the compiler rejects the source.
#[must_use]
pub fn compile_c(source: &str) -> Option<PathBuf> {
    compile(source, Compiler::C, &[])
}

/// As [`compile_c`], with more `arguments`; none where the compiler does not take them, or has not
/// the libraries that they ask for.
///
/// # Panics
/// As [`compile_c`].
#[must_use]
pub fn compile_c_with(source: &str, arguments: &[&str]) -> Option<PathBuf> {
    if works(Compiler::C) && !takes(Compiler::C, arguments) {
        let (name, arguments) = (Compiler::C.command(), arguments.join(" "));
        crate::skip(source, &format!("{name} makes no program with {arguments}"));
        return None;
    }
    compile(source, Compiler::C, arguments)
}

/// As [`compile_c`], for C++.
///
/// # Panics
/// If the compiler rejects the source.
#[must_use]
pub fn compile_cxx(source: &str) -> Option<PathBuf> {
    compile(source, Compiler::Cxx, &[])
}

/// As [`compile_cxx`], to a library that a program may load.
///
/// # Panics
/// If the compiler rejects the source.
#[must_use]
pub fn compile_library(source: &str) -> Option<PathBuf> {
    compile(source, Compiler::CxxLibrary, &[])
}

fn compile(source: &str, compiler: Compiler, more: &[&str]) -> Option<PathBuf> {
    static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    if !works(compiler) {
        let name = compiler.command();
        crate::skip(source, &format!("no compiler {name} here; install it or set CC and CXX"));
        return None;
    }
    let mut built = BUILT.lock().expect("an earlier compilation failed");
    let built = built.get_or_insert_default();
    let name = format!("{source} {}", more.join(" "));
    if let Some(program) = built.get(&name) {
        return Some(program.clone());
    }
    let program = build(&crate::tests_root().join(source), compiler, more);
    built.insert(name, program.clone());
    Some(program)
}

fn works(compiler: Compiler) -> bool {
    static C: OnceLock<bool> = OnceLock::new();
    static CXX: OnceLock<bool> = OnceLock::new();
    let cell = match compiler {
        Compiler::C => &C,
        Compiler::Cxx | Compiler::CxxLibrary => &CXX,
    };
    *cell.get_or_init(|| {
        Command::new(compiler.command())
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .is_ok_and(|output| output.status.success())
    })
}

/// Whether an empty program can be made with `arguments`.
fn takes(compiler: Compiler, arguments: &[&str]) -> bool {
    let mut probe = Command::new(compiler.command());
    probe.args(["-x", "c", "-", "-o", "/dev/null"]).args(arguments);
    probe.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut probe) = probe.spawn() else { return false };
    let source =
        probe.stdin.take().map(|mut stdin| stdin.write_all(b"int main(void) { return 0; }"));
    source.is_some_and(|written| written.is_ok())
        && probe.wait().is_ok_and(|status| status.success())
}

fn build(source: &Path, compiler: Compiler, more: &[&str]) -> PathBuf {
    let headers = crate::tests_root().join("c");
    let stem = source.file_stem().and_then(OsStr::to_str).expect("a source has a name");
    let program =
        crate::programs_root().join(format!("{stem}-{:016x}", key(source, compiler, more)));
    if program.exists() {
        return program;
    }
    let draft = program.with_extension(format!("{}.tmp", std::process::id()));
    let output = Command::new(compiler.command())
        .args(compiler.arguments())
        .args(more)
        .arg("-I")
        .arg(&headers)
        .arg(source)
        .arg("-o")
        .arg(&draft)
        .arg("-ldl")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("cannot run {}: {e}", compiler.command()));
    assert!(
        output.status.success(),
        "{} does not compile:\n{}",
        source.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::rename(&draft, &program)
        .unwrap_or_else(|e| panic!("cannot rename {draft:?} to {program:?}: {e}"));
    program
}

/// FNV-1a over all that the program is made from.
fn key(source: &Path, compiler: Compiler, more: &[&str]) -> u64 {
    let mut inputs = vec![source.to_path_buf()];
    let headers = crate::tests_root().join("c");
    let entries = std::fs::read_dir(&headers)
        .unwrap_or_else(|e| panic!("cannot list {}: {e}", headers.display()));
    inputs.extend(entries.filter_map(|entry| entry.ok().map(|entry| entry.path())));
    inputs.sort();
    let mut text = compiler.command().into_bytes();
    text.extend(compiler.arguments().concat().bytes());
    text.extend(more.concat().bytes());
    for input in inputs {
        text.extend(std::fs::read(&input).unwrap_or_else(|e| panic!("cannot read {input:?}: {e}")));
    }
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

//! The library under test: ours, built once per test process, or another one by request.
//!
//! ```text
//!   CIDALLOC_TEST_LIB   unset               cargo build --release -p cidmalloc    Ours
//!                       …/libcidmalloc*.so  that file                             Ours
//!                       any other path      that file                             Other
//!                       none                nothing is preloaded                  Libc
//! ```
//!
//! Tests of what the C standard and glibc promise run with all three, which is how the tests
//! themselves are tested. Tests of our own promises run with `Ours` alone.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// What answers `malloc` in the programs that the tests run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A `libcidmalloc.so`: all that it promises is tested.
    Ours(PathBuf),
    /// Another allocator: only what every allocator promises is tested.
    Other(PathBuf),
    /// Nothing is preloaded.
    Libc,
}

impl Subject {
    /// The file to preload.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Ours(path) | Self::Other(path) => Some(path),
            Self::Libc => None,
        }
    }

    /// Whether our own promises hold.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Ours(_))
    }

    /// The word that test programs find in `SUBJECT_UNDER_TEST`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ours(_) => "ours",
            Self::Other(_) => "other",
            Self::Libc => "libc",
        }
    }
}

/// The subject of this test process; built or looked up at the first call.
///
/// # Panics
/// If the library cannot be built, or `CIDALLOC_TEST_LIB` names no file.
#[must_use]
pub fn subject() -> &'static Subject {
    static SUBJECT: OnceLock<Subject> = OnceLock::new();
    SUBJECT.get_or_init(|| match std::env::var("CIDALLOC_TEST_LIB") {
        Ok(word) if word == "none" => Subject::Libc,
        Ok(path) => named(&path),
        Err(_) => Subject::Ours(build()),
    })
}

/// The shared library under test.
///
/// # Panics
/// As [`subject`], and if there is none because `CIDALLOC_TEST_LIB` is `none`.
#[must_use]
pub fn preload_library() -> PathBuf {
    match subject().path() {
        Some(path) => path.to_path_buf(),
        None => panic!("CIDALLOC_TEST_LIB=none leaves no library to read; name one or unset it"),
    }
}

fn named(path: &str) -> Subject {
    let path = std::fs::canonicalize(path).unwrap_or_else(|e| {
        panic!("CIDALLOC_TEST_LIB={path}: {e}; give the path of a shared library, or none")
    });
    let text = path.to_string_lossy().into_owned();
    assert!(
        !text.contains([' ', ':']),
        "{text}: LD_PRELOAD cannot name a path with a space or a colon; move the library"
    );
    let ours =
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libcidmalloc"));
    if ours { Subject::Ours(path) } else { Subject::Other(path) }
}

fn build() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .current_dir(crate::tests_root())
        .args(["build", "--release", "-p", "cidmalloc"])
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("cannot run {}: {e}", env!("CARGO")));
    assert!(
        output.status.success(),
        "cargo build --release -p cidmalloc failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Cargo says where the file went, so no target folder or triple is guessed here.
    let messages = String::from_utf8_lossy(&output.stdout);
    messages
        .lines()
        .filter(|line| line.contains("\"compiler-artifact\""))
        .flat_map(|line| line.split('"'))
        .find(|word| word.ends_with("/libcidmalloc.so"))
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            panic!("the package cidmalloc built no libcidmalloc.so; its crate-type must be cdylib")
        })
}

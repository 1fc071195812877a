//! The library under test, and programs for it.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The folder of this package.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Both forms of the library.
#[derive(Debug)]
pub(crate) struct Library {
    pub(crate) shared: PathBuf,
    pub(crate) archive: PathBuf,
}

/// Built once per test process.
pub(crate) fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(root()).args(["build", "-p", "cidpool-capi"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let built = run(cargo.arg("--message-format=json-render-diagnostics"));
        assert!(built.status.success(), "{}", said(&built));
        // Cargo says where the files went, so no target folder is guessed here.
        let messages = String::from_utf8_lossy(&built.stdout);
        let file = |name: &str| {
            let artifacts = messages.lines().filter(|line| line.contains("cidpool-capi"));
            let mut words = artifacts.flat_map(|line| line.split('"'));
            let path = words.find(|word| word.ends_with(name));
            PathBuf::from(path.unwrap_or_else(|| panic!("cargo built no {name}")))
        };
        Library { shared: file("/libcidpool.so"), archive: file("/libcidpool.a") }
    })
}

pub(crate) fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null());
    command.output().unwrap_or_else(|e| panic!("cannot run {:?}: {e}", command.get_program()))
}

/// How a command ended and what it wrote.
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// A compiler, if it is installed.
fn compiler(variable: &str, default: &str) -> Option<String> {
    let name = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    let there = Command::new(&name).arg("--version").output().is_ok_and(|o| o.status.success());
    if !there {
        skip(&format!("no compiler {name} here"));
        return None;
    }
    Some(name)
}

/// Says in one line that something was not tested; fails where skips are forbidden.
pub(crate) fn skip(why: &str) {
    assert!(
        std::env::var("CIDALLOC_FORBID_SKIP").as_deref() != Ok("1"),
        "skipped: {why}; skips are forbidden here (CIDALLOC_FORBID_SKIP=1)"
    );
    // Written past the harness's capture, which would swallow the line of a passing test.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// How a program gets the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linked {
    Shared,
    Archive,
}

/// Compiles `source`, a path under this package, to a program; none without a compiler.
pub(crate) fn compile(source: &str, linked: Linked) -> Option<PathBuf> {
    let cc = compiler("CC", "cc")?;
    let library = library();
    let folder = library.shared.parent().expect("the library lies in a folder");
    let stem = Path::new(source).file_stem().and_then(OsStr::to_str).expect("a source's name");
    // Several tests may run the same program.
    static PROGRAMS: AtomicUsize = AtomicUsize::new(0);
    let number = PROGRAMS.fetch_add(1, Relaxed);
    let program = folder.join(format!("cidpool-{stem}-{}-{number}", std::process::id()));
    let mut command = Command::new(&cc);
    command.args(["-std=gnu11", "-O1", "-g", "-pthread", "-Wall", "-Wextra", "-Werror", "-I"]);
    command.arg(root().join("include")).arg("-isystem").arg(root().join("../../../tests/c"));
    command.arg(root().join(source)).arg("-o").arg(&program);
    match linked {
        Linked::Shared => {
            command.arg(&library.shared).arg(format!("-Wl,-rpath,{}", folder.display()));
        }
        // What Rust's standard library needs.
        Linked::Archive => {
            command.arg(&library.archive).args(["-lgcc_s", "-lm", "-ldl"]);
        }
    }
    let output = run(&mut command);
    assert!(output.status.success(), "{source} does not compile:\n{}", said(&output));
    Some(program)
}

/// Whether the header alone is accepted by `cc`, or by `c++`, in the dialect `std`.
pub(crate) fn header_compiles(variable: &str, default: &str, language: &str, std: &str) {
    let Some(compiler) = compiler(variable, default) else { return };
    let mut command = Command::new(compiler);
    command.args(["-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
    command.arg(format!("-std={std}")).args(["-x", language]);
    command.arg(root().join("include/cidpool.h"));
    let output = run(&mut command);
    assert!(output.status.success(), "as {std}:\n{}", said(&output));
}

//! The cross tools: where they are, and the sections as objects of two assemblers.
//!
//! ```text
//!   *.S ──► as                        ──► gnu/NAME.o       what Debian's tools make of it
//!      └──► rustc, its own assembler  ──► compiler/NAME.o  what the crate is built from
//! ```
//!
//! rustc assembles for every architecture, whichever targets are installed: a crate without
//! `core` holds nothing but the `global_asm!`. Such a crate needs the compiler's internals,
//! hence `RUSTC_BOOTSTRAP`, and a compiler that changed them is a reported skip.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What is assembled as one: the name of the object, and the files of the crate.
pub(crate) type Text = (&'static str, &'static [&'static str]);
/// The variable of the area.
pub(crate) const AREA: Text = ("area", &["src/cs/aarch64_area.S"]);
/// The sections on shards.
pub(crate) const SHARDS: Text = ("shards", &["src/cs/aarch64_frame.S", "src/cs/aarch64.S"]);
/// The sections on copies.
pub(crate) const COPIES: Text = ("copies", &["src/cs/aarch64_frame.S", "src/copies/aarch64.S"]);

const CRATE_WITHOUT_CORE: &str = r#"
#![feature(no_core, lang_items, rustc_attrs, decl_macro)]
#![no_core]
#![allow(internal_features)]
#[lang = "pointee_sized"] pub trait PointeeSized {}
#[lang = "meta_sized"] pub trait MetaSized: PointeeSized {}
#[lang = "sized"] pub trait Sized: MetaSized {}
#[rustc_builtin_macro] pub macro global_asm("", $(operands,)* $(options($(option),*))?) {}
#[rustc_builtin_macro] pub macro include_str($file:expr) {}
"#;

/// Reports that something is not tested; a failure where `CIDALLOC_FORBID_SKIPS` is set.
pub(crate) fn skip(why: &str) {
    assert!(
        std::env::var_os("CIDALLOC_FORBID_SKIPS").is_none(),
        "skips are forbidden (CIDALLOC_FORBID_SKIPS): {why}"
    );
    eprintln!("skip: {why}");
}

/// The path of a file below this crate.
pub(crate) fn in_crate(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// `name` of binutils or gcc for arm64: its own on an arm64 machine, else Debian's cross tool.
pub(crate) fn tool(name: &str) -> Command {
    Command::new(if cfg!(target_arch = "aarch64") {
        name.to_owned()
    } else {
        format!("aarch64-linux-gnu-{name}")
    })
}

/// Whether `name` can be run; reports a skip that names Debian's `package` where not.
pub(crate) fn have(name: &str, package: &str) -> bool {
    let found = tool(name).arg("--version").output().is_ok();
    if !found {
        let command = tool(name);
        let program = command.get_program().display().to_string();
        skip(&format!("{program} is not installed (Debian package {package})"));
    }
    found
}

/// The standard output of `command`, which must succeed and must not complain.
pub(crate) fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {status}\n{stdout}{stderr}");
    assert!(stderr.is_empty(), "{command:?} complains:\n{stderr}");
    stdout
}

/// A new, empty directory for the results of one test.
pub(crate) fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("the target directory can be written");
    path
}

/// Assembles a text by GNU's assembler into `directory`.
pub(crate) fn assemble((name, files): Text, directory: &Path) -> PathBuf {
    let object = directory.join(name).with_extension("o");
    let sources = files.iter().map(|file| in_crate(file));
    run(tool("as").arg("--fatal-warnings").arg("-o").arg(&object).args(sources));
    object
}

/// Links `tests/aarch64/NAME.c` with `objects` in `directory` and runs it there. What it
/// says; `None`, reported, where there are no tools for that.
pub(crate) fn link_and_run(
    name: &str,
    objects: &[PathBuf],
    directory: &Path,
    linkage: &str,
) -> Option<String> {
    let emulator = "qemu-aarch64-static";
    let native = cfg!(target_arch = "aarch64");
    if !have("gcc", "gcc-aarch64-linux-gnu and libc6-dev-arm64-cross") {
        return None;
    }
    if !native && Command::new(emulator).arg("--version").output().is_err() {
        skip("qemu-aarch64-static is not installed (Debian package qemu-user-static)");
        return None;
    }
    let program = directory.join(name).with_extension("program");
    run(tool("gcc")
        .args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror"])
        .args(["-fPIE", linkage, "-pthread", "-o"])
        .args([&program, &in_crate("tests/aarch64").join(name).with_extension("c")])
        .args(objects));
    let mut command = Command::new(if native { program.as_os_str() } else { emulator.as_ref() });
    if !native {
        command.args(["-L", "/usr/aarch64-linux-gnu"]).arg(&program);
    }
    let line = run(&mut command);
    eprint!("{name} {linkage}: {line}");
    Some(line)
}

/// Whether this compiler assembles; reported where not.
pub(crate) fn have_compiler(directory: &Path) -> bool {
    let source = directory.join("empty.rs");
    fs::write(&source, CRATE_WITHOUT_CORE).expect("the target directory can be written");
    let probe = compile(&source, &directory.join("empty.o")).output();
    let works = probe.is_ok_and(|output| output.status.success());
    if !works {
        skip("this rustc does not build a crate without core for aarch64-unknown-linux-gnu");
    }
    works
}

/// Assembles a text by the compiler into `directory`.
pub(crate) fn assemble_by_compiler((name, files): Text, directory: &Path) -> PathBuf {
    let source = directory.join(name).with_extension("rs");
    // As the crate does it, which has `concat!` for that.
    let text = files.iter().map(|file| fs::read_to_string(in_crate(file)).expect("a file"));
    let whole = directory.join(name).with_extension("S");
    fs::write(&whole, text.collect::<String>()).expect("the target directory can be written");
    let item = format!("{CRATE_WITHOUT_CORE}global_asm!(include_str!({whole:?}));\n");
    fs::write(&source, item).expect("the target directory can be written");
    let object = source.with_extension("o");
    run(&mut compile(&source, &object));
    object
}

fn compile(source: &Path, object: &Path) -> Command {
    let mut command = Command::new("rustc");
    command.env("RUSTC_BOOTSTRAP", "1");
    command.args(["--edition=2024", "--crate-type=lib", "--emit=obj"]);
    command.args(["--target=aarch64-unknown-linux-gnu", "-o"]);
    command.args([object, source]);
    command
}

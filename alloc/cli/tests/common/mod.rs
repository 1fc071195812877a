//! What the tests of the command share: the library, and a command that knows nothing of ours.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

pub(crate) const COMMAND: &str = env!("CARGO_BIN_EXE_cidalloc");

/// The library, built by the cargo that built this test, into the target directory in use.
pub(crate) fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let target = Path::new(COMMAND).ancestors().nth(2).unwrap();
        let status = Command::new(env!("CARGO"))
            .args(["build", "--release", "-p", "cidmalloc", "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(status.success(), "the library did not build");
        target.join("release/libcidmalloc.so")
    })
}

/// `cidalloc SUBCOMMAND --library … ARGS`, ready to start.
pub(crate) fn command(subcommand: &str, args: &[&str]) -> Command {
    let mut command = Command::new(COMMAND);
    command.args([subcommand, "--library"]).arg(library()).args(args).stdin(Stdio::null());
    without_ours(&mut command);
    command
}

/// Takes out what the environment of the tests would tell the library, the loader and libc.
pub(crate) fn without_ours(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"CIDALLOC_") {
            command.env_remove(name);
        }
    }
    command.env_remove("LD_PRELOAD").env_remove("GLIBC_TUNABLES");
}

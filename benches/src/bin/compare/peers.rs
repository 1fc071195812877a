//! The peers of the crates registry: built here, one package after the other, so that one
//! that cannot be built is named and the others go on.
//!
//! ```text
//!   benches/peers ──cargo build -p peer-X──▶ target/peers/release/libpeer_X.so
//!        └ Cargo.lock: which release it is          └ X.log where it failed
//! ```

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use indicatif::{ProgressBar, ProgressStyle};

use crate::interrupt;

/// A package of `benches/peers`.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// The crate that brings its source.
    source: &'static str,
    env: Option<(&'static str, &'static str)>,
}

const fn peer(name: &'static str, source: &'static str) -> Peer {
    Peer { name, source, env: None }
}

pub(crate) const TCMALLOC: &str = "tcmalloc";

pub(crate) const PEERS: [Peer; 6] = [
    peer("mimalloc-v3", "libmimalloc-sys"),
    peer("mimalloc-v2", "libmimalloc-sys"),
    peer("jemalloc", "tikv-jemalloc-sys"),
    peer("snmalloc", "snmalloc-sys"),
    peer("rpmalloc", "rpmalloc-sys"),
    // Its caches are per CPU only where rseq is not registered before it does so.
    Peer {
        name: TCMALLOC,
        source: "libtcmalloc-sys",
        env: Some(("GLIBC_TUNABLES", "glibc.pthread.rseq=0")),
    },
];

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");

impl Peer {
    /// The crate and its release.
    pub(crate) fn version(&self) -> String {
        let lock = std::fs::read_to_string(Path::new(FOLDER).join("Cargo.lock"));
        let lock = lock.unwrap_or_default();
        let version = locked(&lock, self.source);
        format!("{} {}", self.source, version.unwrap_or_default()).trim().to_owned()
    }

    /// Its environment; what the user set for the same name stands before it.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        let Some((key, value)) = self.env else { return Vec::new() };
        let value = match std::env::var(key) {
            Ok(set) if !set.is_empty() => format!("{set}:{value}"),
            _ => value.to_owned(),
        };
        vec![(key.to_owned(), value)]
    }

    fn library(&self, target: &Path) -> PathBuf {
        target.join(format!("release/libpeer_{}.so", self.name.replace('-', "_")))
    }

    fn build(&self, target: &Path) -> Result<PathBuf, String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args([
            "build",
            "--release",
            "--locked",
            "--package",
            &format!("peer-{}", self.name),
        ]);
        command.arg("--target-dir").arg(target).current_dir(FOLDER).stdin(Stdio::null());
        // How this program is built must not change how they are.
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("CARGO_PROFILE_") {
                command.env_remove(key);
            }
        }
        let output = command
            .output()
            .map_err(|error| format!("cargo cannot be run in {FOLDER}: {error}"))?;
        if output.status.success() {
            return Ok(self.library(target));
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let log = target.join(format!("{}.log", self.name));
        let kept = std::fs::write(&log, &*said).is_ok();
        let place = if kept { format!("; all of it: {}", log.display()) } else { String::new() };
        Err(format!("{}{place}", cause(&said)))
    }
}

/// The release of a crate in a lock file.
fn locked<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let at = format!("name = \"{name}\"");
    let mut lines = lock.lines().skip_while(|line| *line != at);
    lines.nth(1)?.strip_prefix("version = \"")?.strip_suffix('"')
}

/// The one line of a failed build that says most, with a remedy where one is known.
fn cause(said: &str) -> String {
    const TELLING: [(&str, &str); 6] = [
        ("is `cmake` not installed?", "apt-get install cmake"),
        ("failed to find tool", "apt-get install build-essential"),
        ("fatal error:", "apt-get install build-essential"),
        ("failed to download", "the crates registry must be in reach, once"),
        ("error occurred", ""),
        ("error", ""),
    ];
    for (mark, remedy) in TELLING {
        if let Some(line) = said.lines().find(|line| line.contains(mark)) {
            let line = line.trim();
            return if remedy.is_empty() { line.to_owned() } else { format!("{line}; {remedy}") };
        }
    }
    said.lines().last().unwrap_or("cargo said nothing").to_owned()
}

/// Builds these packages; what is up to date takes no time.
pub(crate) fn build<'a>(
    peers: &[&'a Peer],
    target: &Path,
) -> Vec<(&'a Peer, Result<PathBuf, String>)> {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{elapsed}]") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(core::time::Duration::from_millis(200));
    let one = |(i, peer): (usize, &&'a Peer)| {
        bar.set_message(format!(
            "building peers ({} of {}): {}; the first time takes some minutes",
            i + 1,
            peers.len(),
            peer.name
        ));
        let built =
            if interrupt::asked() { Err("interrupted".to_owned()) } else { peer.build(target) };
        (*peer, built)
    };
    let built = peers.iter().enumerate().map(one).collect();
    bar.finish_and_clear();
    built
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_is_a_package_whose_release_is_locked() {
        for peer in &PEERS {
            assert!(Path::new(FOLDER).join(peer.name).join("Cargo.toml").exists(), "{}", peer.name);
            let version = peer.version();
            let (_, release) = version.split_once(' ').unwrap();
            assert!(release.starts_with(|c: char| c.is_ascii_digit()), "{version}");
        }
    }

    #[test]
    fn a_release_is_that_of_the_very_crate() {
        let lock =
            "name = \"cc-more\"\nversion = \"1.0.0\"\n\nname = \"cc\"\nversion = \"2.0.0\"\n";
        assert_eq!(locked(lock, "cc"), Some("2.0.0"));
        assert_eq!(locked(lock, "c"), None);
    }

    #[test]
    fn the_telling_line_of_a_failed_build_is_found() {
        let said = "warning: x\nerror: failed to run custom build command\n  thread 'main' panicked: \
                    is `cmake` not installed?\n";
        assert!(cause(said).ends_with("is `cmake` not installed?; apt-get install cmake"));
        assert_eq!(cause("warning: x\nerror: no matching package\n"), "error: no matching package");
        assert_eq!(cause(""), "cargo said nothing");
    }

    #[test]
    fn only_tcmalloc_has_an_environment_of_its_own() {
        let with: Vec<_> = PEERS.iter().filter(|peer| !peer.env().is_empty()).collect();
        assert_eq!(with.len(), 1);
        assert!(with[0].env()[0].1.ends_with("glibc.pthread.rseq=0"));
    }
}

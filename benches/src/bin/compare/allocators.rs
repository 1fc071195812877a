//! The columns: glibc as it is, and the libraries that can be preloaded over it.

use std::path::{Path, PathBuf};

/// One column.
pub(crate) struct Allocator {
    pub(crate) name: String,
    /// The library to preload; `None` for the C library's own allocator.
    pub(crate) preload: Option<PathBuf>,
}

pub(crate) const OURS: &str = "ours";
pub(crate) const GLIBC: &str = "glibc";

const LIBRARY_DIRS: [&str; 4] =
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];

/// Column, file names (newest first) and the Debian package that brings them.
const PEERS: [(&str, &[&str], &str); 3] = [
    ("jemalloc", &["libjemalloc.so.2"], "libjemalloc2"),
    ("mimalloc", &["libmimalloc.so.3", "libmimalloc.so.2"], "libmimalloc2.0"),
    ("tcmalloc", &["libtcmalloc_minimal.so.4"], "libtcmalloc-minimal4"),
];

/// What `choose` found, and one line for each thing it missed.
pub(crate) struct Choice {
    pub(crate) allocators: Vec<Allocator>,
    pub(crate) missing: Vec<String>,
}

fn installed(names: &[&str]) -> Option<PathBuf> {
    names
        .iter()
        .flat_map(|name| LIBRARY_DIRS.iter().map(move |dir| Path::new(dir).join(name)))
        .find(|path| path.exists())
}

/// All columns that can be had, or those in `wanted`, which must exist.
pub(crate) fn choose(
    ours: &Path,
    extra: &[(String, PathBuf)],
    wanted: &[String],
) -> Result<Choice, String> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    let mut add = |name: &str, preload: Option<PathBuf>| {
        found.push(Allocator { name: name.to_owned(), preload });
    };
    if ours.exists() {
        add(OURS, Some(ours.to_owned()));
    } else {
        missing.push(format!(
            "{OURS}: {} does not exist; build it: cargo build --release -p cidmalloc, or name it: --ours PATH",
            ours.display()
        ));
    }
    add(GLIBC, None);
    for (name, files, package) in PEERS {
        match installed(files) {
            Some(path) => add(name, Some(path)),
            None => missing.push(format!("{name}: not installed; apt-get install {package}")),
        }
    }
    for (name, path) in extra {
        if !path.exists() {
            return Err(format!("--preload {name}={}: no such file", path.display()));
        }
        add(name, Some(path.clone()));
    }
    for (i, allocator) in found.iter().enumerate() {
        if found[..i].iter().any(|other| other.name == allocator.name) {
            return Err(format!(
                "--preload {}=…: the name is taken; choose another",
                allocator.name
            ));
        }
    }
    if wanted.is_empty() {
        return Ok(Choice { allocators: found, missing });
    }
    for name in wanted {
        if !found.iter().any(|allocator| allocator.name == *name) {
            let why = missing.iter().find(|line| line.starts_with(&format!("{name}:")));
            return Err(why.cloned().unwrap_or_else(|| {
                let known: Vec<_> = found.iter().map(|a| a.name.as_str()).collect();
                format!("--allocators {name}: unknown; known here: {}", known.join(", "))
            }));
        }
    }
    found.retain(|allocator| wanted.contains(&allocator.name));
    Ok(Choice { allocators: found, missing: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_of_ours_is_named_with_its_remedy() {
        let choice = choose(Path::new("/nonexistent/lib.so"), &[], &[]).unwrap();
        assert!(choice.missing[0].contains("cargo build --release -p cidmalloc"));
        assert!(choice.allocators.iter().any(|a| a.name == GLIBC && a.preload.is_none()));
        let error = choose(Path::new("/nonexistent/lib.so"), &[], &[OURS.into()]).err().unwrap();
        assert!(error.contains("--ours PATH"), "{error}");
    }

    #[test]
    fn an_unknown_or_repeated_name_is_refused() {
        let none = Path::new("/nonexistent/lib.so");
        assert!(choose(none, &[], &["nosuch".into()]).is_err());
        assert!(choose(none, &[("glibc".into(), "/dev/null".into())], &[]).is_err());
        assert!(choose(none, &[("x".into(), "/nonexistent/x.so".into())], &[]).is_err());
    }
}

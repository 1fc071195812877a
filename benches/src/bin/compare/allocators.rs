//! The columns: ours, the C library's own, the crates' peers, Debian's libraries, and files.

use core::ffi::CStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use cidalloc_benches::results::{Allocator, Kind};

use crate::peers;

/// One column. An absent one is listed, and not run.
pub(crate) struct Column {
    pub(crate) entry: Allocator,
    /// The library to preload; `None` for the C library's own allocator.
    pub(crate) preload: Option<PathBuf>,
    /// What its processes have in their environment besides.
    pub(crate) env: Vec<(String, String)>,
}

pub(crate) const OURS: &str = "cidalloc";
pub(crate) const GLIBC: &str = "glibc";

const LIBRARY_DIRS: [&str; 4] =
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];

/// A library of Debian's packages.
struct Debian {
    name: &'static str,
    /// Newest first.
    files: &'static [&'static str],
    package: &'static str,
    /// Measured where nothing else is asked for: no crate brings this one.
    usual: bool,
}

const DEBIAN: [Debian; 3] = [
    Debian {
        name: "tcmalloc-minimal",
        files: &["libtcmalloc_minimal.so.4"],
        package: "libtcmalloc-minimal4",
        usual: true,
    },
    Debian {
        name: "debian-jemalloc",
        files: &["libjemalloc.so.2"],
        package: "libjemalloc2",
        usual: false,
    },
    Debian {
        name: "debian-mimalloc",
        files: &["libmimalloc.so.3", "libmimalloc.so.2"],
        package: "libmimalloc2.0",
        usual: false,
    },
];

fn installed(names: &[&str]) -> Option<PathBuf> {
    names
        .iter()
        .flat_map(|name| LIBRARY_DIRS.iter().map(move |dir| Path::new(dir).join(name)))
        .find(|path| path.exists())
}

/// Name and version of the package that a file belongs to, as `libjemalloc2 5.3.0-1`.
fn package_of(file: &Path) -> Option<String> {
    let real = std::fs::canonicalize(file).ok()?;
    let ask = |arguments: &[&str], last: &std::ffi::OsStr| {
        let output = Command::new("dpkg-query").args(arguments).arg(last).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // `/lib` and `/usr/lib` are one folder, and the package may know either name.
    let name = real.file_name()?.to_str()?;
    let owners = ask(&["-S"], format!("*/{name}").as_ref())?;
    let package = owners.lines().next()?.split([':', ',']).next()?.to_owned();
    let version = ask(&["-W", "-f=${Version}"], package.as_ref())?;
    Some(format!("{package} {version}"))
}

/// The release of the C library, as `2.36`.
pub(crate) fn libc_release() -> String {
    // SAFETY: the release is a constant string.
    let release = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
    release.to_string_lossy().into_owned()
}

/// The C library and its release.
pub(crate) fn libc_version() -> String {
    format!("glibc {}", libc_release())
}

impl Column {
    fn new(name: &str, kind: Kind, version: String, library: Result<PathBuf, String>) -> Self {
        let (path, absent) = match library {
            Ok(path) => (Some(std::fs::canonicalize(&path).unwrap_or(path)), None),
            Err(why) => (None, Some(why)),
        };
        let entry = Allocator {
            name: name.to_owned(),
            kind,
            version,
            path: path.as_ref().map(|path| path.display().to_string()),
            note: String::new(),
            absent,
        };
        Self { entry, preload: path, env: Vec::new() }
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.entry.absent.is_some()
    }
}

/// What was asked for on the command line.
pub(crate) struct Wanted<'a> {
    pub(crate) ours: &'a Path,
    pub(crate) files: &'a [(String, PathBuf)],
    /// Names of columns; the usual ones where there are none.
    pub(crate) names: &'a [String],
    /// Where the crates' peers are built.
    pub(crate) target: &'a Path,
}

impl Wanted<'_> {
    fn wants(&self, name: &str, usual: bool) -> bool {
        if self.names.is_empty() { usual } else { self.names.iter().any(|wanted| wanted == name) }
    }

    /// Refuses what no column could be, before anything is built.
    fn check(&self) -> Result<(), String> {
        let mut known = vec![OURS, GLIBC];
        known.extend(peers::PEERS.iter().map(|peer| peer.name));
        known.extend(DEBIAN.iter().map(|debian| debian.name));
        for (name, path) in self.files {
            if !path.exists() {
                return Err(format!("--preload {name}={}: no such file", path.display()));
            }
            if known.contains(&name.as_str()) {
                return Err(format!("--preload {name}=…: the name is taken; choose another"));
            }
            known.push(name);
        }
        match self.names.iter().find(|name| !known.contains(&name.as_str())) {
            Some(name) => {
                Err(format!("--allocators {name}: unknown; known here: {}", known.join(", ")))
            }
            None => Ok(()),
        }
    }

    /// The columns, with those that cannot be had marked absent: an error where one of these
    /// was asked for by name.
    pub(crate) fn columns(&self) -> Result<Vec<Column>, String> {
        self.check()?;
        let mut columns = Vec::new();
        if self.wants(OURS, true) {
            let library = if self.ours.exists() {
                Ok(self.ours.to_owned())
            } else {
                Err(format!(
                    "{} does not exist; build it: cargo build --release -p cidmalloc, or name it: \
                     --ours PATH",
                    self.ours.display()
                ))
            };
            let version = env!("CARGO_PKG_VERSION").to_owned();
            columns.push(Column::new(OURS, Kind::Ours, version, library));
        }
        if self.wants(GLIBC, true) {
            let mut column = Column::new(GLIBC, Kind::System, libc_version(), Err(String::new()));
            column.entry.absent = None;
            columns.push(column);
        }
        let chosen: Vec<_> =
            peers::PEERS.iter().filter(|peer| self.wants(peer.name, true)).collect();
        for (peer, built) in peers::build(&chosen, self.target) {
            let mut column = Column::new(peer.name, Kind::Crate, peer.version(), built);
            column.env = peer.env();
            columns.push(column);
        }
        for debian in DEBIAN.iter().filter(|debian| self.wants(debian.name, debian.usual)) {
            let library = installed(debian.files)
                .ok_or_else(|| format!("not installed; apt-get install {}", debian.package));
            let version = library.as_deref().ok().and_then(package_of).unwrap_or_default();
            columns.push(Column::new(debian.name, Kind::Debian, version, library));
        }
        for (name, path) in self.files.iter().filter(|(name, _)| self.wants(name, true)) {
            columns.push(Column::new(name, Kind::File, String::new(), Ok(path.clone())));
        }
        let missing = columns.iter().filter(|_| !self.names.is_empty()).find(|c| c.is_absent());
        if let Some(Allocator { name, absent: Some(why), .. }) = missing.map(|column| &column.entry)
        {
            return Err(format!("{name}: {why}"));
        }
        if columns.iter().all(Column::is_absent) {
            return Err("no allocator to run".to_owned());
        }
        Ok(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: &str = "/nonexistent/lib.so";

    fn columns(names: &[&str], files: &[(&str, &str)]) -> Result<Vec<Column>, String> {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let files: Vec<_> = files.iter().map(|&(n, p)| (n.to_owned(), p.into())).collect();
        let (ours, target) = (Path::new(NONE), Path::new("/nonexistent"));
        Wanted { ours, files: &files, names: &names, target }.columns()
    }

    #[test]
    fn a_missing_library_of_ours_is_named_with_its_remedy() {
        let error = columns(&[OURS], &[]).err().unwrap();
        assert!(error.contains("cargo build --release -p cidmalloc"), "{error}");
        assert!(error.contains("--ours PATH"), "{error}");
    }

    #[test]
    fn the_c_library_has_nothing_to_preload() {
        let columns = columns(&[GLIBC], &[]).unwrap();
        assert_eq!(columns.len(), 1);
        assert!(columns[0].preload.is_none() && !columns[0].is_absent());
        assert!(columns[0].entry.version.starts_with("glibc 2."));
    }

    #[test]
    fn an_unknown_or_repeated_name_is_refused() {
        let unknown = columns(&["nosuch"], &[]).err().unwrap();
        assert!(unknown.contains("snmalloc") && unknown.contains("debian-jemalloc"), "{unknown}");
        assert!(columns(&[GLIBC], &[("glibc", "/dev/null")]).is_err());
        assert!(columns(&[GLIBC], &[("x", NONE)]).is_err());
    }
}

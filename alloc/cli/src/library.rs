//! Which library a program gets, and how its loader is told.
//!
//! ```text
//!  DIR/cidalloc        DIR/libcidmalloc.so             as built
//!  PREFIX/bin/cidalloc PREFIX/lib/libcidmalloc.so      as installed
//! ```

use crate::Failure;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

const NAME: &str = "libcidmalloc.so";

/// The library's absolute path: the one asked for, or the one that belongs to this command.
pub(crate) fn find(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = asked {
        let whole = path.canonicalize().map_err(|error| {
            Failure::new(Failure::OURS, format!("library {}: {error}", path.display()))
        })?;
        return fits(whole);
    }
    let command = std::env::current_exe()
        .map_err(|error| Failure::new(Failure::OURS, format!("where am I? {error}")))?;
    let dir = command.parent().unwrap_or(Path::new("/"));
    let places = [dir.join(NAME), dir.join("../lib").join(NAME)];
    places.iter().find_map(|place| place.canonicalize().ok()).map_or_else(
        || {
            let line = format!(
                "{NAME} is neither in {dir} nor in {dir}/../lib; build it (cargo build --release \
                 -p cidmalloc) or name it by --library",
                dir = dir.display()
            );
            Err(Failure::new(Failure::OURS, line))
        },
        fits,
    )
}

/// The loader splits LD_PRELOAD at spaces and colons, and has no way to quote them.
fn fits(library: PathBuf) -> Result<PathBuf, Failure> {
    let bytes = library.as_os_str().as_bytes();
    if bytes.iter().any(|b| b.is_ascii_whitespace() || *b == b':') {
        let line = format!(
            "library {}: the loader takes no path with spaces or colons; move or link it",
            library.display()
        );
        return Err(Failure::new(Failure::OURS, line));
    }
    if !library.is_file() {
        let line = format!("library {}: not a file", library.display());
        return Err(Failure::new(Failure::OURS, line));
    }
    Ok(library)
}

/// The value of LD_PRELOAD: the library, and after it what was there.
pub(crate) fn preload(library: &Path, existing: Option<&OsStr>) -> OsString {
    let mut value = library.as_os_str().to_owned();
    let separators = |b: &u8| *b == b':' || *b == b' ';
    for entry in existing.unwrap_or_default().as_bytes().split(separators) {
        if !entry.is_empty() && entry != library.as_os_str().as_bytes() {
            value.push(":");
            value.push(OsStr::from_bytes(entry));
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_comes_first_once_and_the_others_stay() {
        let library = Path::new("/x/lib.so");
        let value = |existing: &str| preload(library, Some(existing.as_ref()));
        assert_eq!(preload(library, None), "/x/lib.so");
        assert_eq!(value("/a.so:/b.so"), "/x/lib.so:/a.so:/b.so");
        assert_eq!(value(" /a.so /x/lib.so"), "/x/lib.so:/a.so");
    }
}

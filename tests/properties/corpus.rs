//! The files of `tests/fuzz/corpus`, each the bytes of one sequence.

use std::path::PathBuf;

pub(crate) fn files() -> impl Iterator<Item = (PathBuf, Vec<u8>)> {
    let folder = cidalloc_tests::tests_root().join("fuzz/corpus");
    let entries = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("cannot list {}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| {
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        (path, bytes)
    })
}

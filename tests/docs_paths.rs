//! The documents name what is there: every path of the repository in `README.md` and `docs/`
//! exists, and so does what their links lead to.
//!
//! ```text
//!  `alloc/src/free.rs`         in backticks, outside of code blocks: from the repository's root
//!  `tests/guest/run --list`    each word of it
//!  [stats](docs/stats.md)      from the document's folder; not what has a scheme, nor anchors
//! ```

use std::path::{Path, PathBuf};

/// Endings of files that are ours when a path has them; others (`rseq.h`) may be anybody's.
const OURS: [&str; 3] = [".rs", ".md", ".toml"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository")
}

fn documents() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(root().join("docs")).expect("the folder docs");
    let mut paths: Vec<_> = docs.map(|entry| entry.expect("an entry of docs").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "md"));
    paths.push(root().join("README.md"));
    paths.sort();
    paths
}

/// The lines of `text` outside of code blocks, joined: a span in backticks may cross a line.
fn prose(text: &str) -> String {
    let mut in_code = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}

/// Whether a word in backticks means a file or folder of this repository.
fn is_path(word: &str) -> bool {
    let plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
    if !plain || word.starts_with('/') || word.starts_with('-') {
        return false;
    }
    match word.split_once('/') {
        Some(("target", _)) => false,
        Some((first, _)) => {
            root().join(first).is_dir() || OURS.iter().any(|ending| word.ends_with(ending))
        }
        None => OURS.iter().any(|ending| word.ends_with(ending)) || word.starts_with("LICENSE"),
    }
}

fn paths_in_backticks(prose: &str) -> impl Iterator<Item = &str> {
    let spans = prose.split('`').skip(1).step_by(2);
    spans.flat_map(str::split_whitespace).filter(|word| is_path(word))
}

fn links(prose: &str) -> impl Iterator<Item = &str> {
    prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#']).next())
        .filter(|target| !target.is_empty() && !target.contains("://"))
}

#[test]
fn every_path_that_the_documents_name_exists() {
    let (mut missing, mut seen) = (Vec::new(), 0);
    for document in documents() {
        let text = std::fs::read_to_string(&document).expect("a document is text");
        let prose = prose(&text);
        let folder = document.parent().expect("a document lies in a folder");
        let named = paths_in_backticks(&prose).map(|word| (word, root().join(word)));
        let linked = links(&prose).map(|word| (word, folder.join(word)));
        for (word, path) in named.chain(linked) {
            seen += 1;
            if !path.exists() {
                missing.push(format!("{}: {word}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "named, but not there:\n  {}", missing.join("\n  "));
    assert!(seen > 50, "only {seen} paths found: are they written in another way now?");
}

#[test]
fn paths_are_told_from_other_words() {
    for word in ["alloc/src/free.rs", "gone/away.rs", "tests/guest/", "README.md", "LICENSE-MIT"] {
        assert!(is_path(word), "{word}");
    }
    for word in ["/proc/self/maps", "include/uapi/linux/rseq.h", "malloc", "-z", "target/release/x"]
    {
        assert!(!is_path(word), "{word}");
    }
    let text =
        "`a b`\n```sh\n`tests/no`\n```\n[x](docs/stats.md#facts) [y](https://e.org) `tests/c`";
    let prose = prose(text);
    assert_eq!(paths_in_backticks(&prose).collect::<Vec<_>>(), ["tests/c"]);
    assert_eq!(links(&prose).collect::<Vec<_>>(), ["docs/stats.md"]);
}

//! The header that is in the repository is the one that the sources make.

use crate::library::root;
use cbindgen::{Builder, Config};

/// In the order of the header.
const SOURCES: [&str; 8] =
    ["attr", "pool", "items", "set", "places", "sections", "statistics", "counter"];

fn generate() -> String {
    let config = Config::from_file(root().join("cbindgen.toml")).expect("a configuration");
    let mut builder = Builder::new().with_config(config);
    for source in SOURCES {
        builder = builder.with_src(root().join("src").join(format!("{source}.rs")));
    }
    let mut text = Vec::new();
    builder.generate().expect("bindings").write(&mut text);
    String::from_utf8(text).expect("a header is text")
}

#[test]
fn the_header_is_what_the_sources_make() {
    let path = root().join("include/cidpool.h");
    let generated = generate();
    if std::env::var("CIDALLOC_BLESS").as_deref() == Ok("1") {
        std::fs::write(&path, &generated).expect("the header can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = committed.lines().zip(generated.lines()).position(|(a, b)| a != b);
    assert!(
        committed == generated,
        "{} is not what the sources make, from line {:?} on; CIDALLOC_BLESS=1 writes it anew",
        path.display(),
        differs
            .map_or(committed.lines().count().min(generated.lines().count()) + 1, |line| line + 1),
    );
}

#[test]
fn the_header_is_made_of_all_sources_that_export_something() {
    let folder = std::fs::read_dir(root().join("src")).expect("the sources");
    for path in folder.map(|entry| entry.expect("a source").path()) {
        let text = std::fs::read_to_string(&path).expect("a source is text");
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a source has a name");
        let is_used = SOURCES.contains(&name);
        assert_eq!(text.contains("#[unsafe(no_mangle)]"), is_used, "{name}");
    }
}

//! The layers of the allocator as drawn in `docs/ARCHITECTURE.md`, against what the sources use.
//!
//! ```text
//!  drawing   ```text block below "## Layers": upper lines may use lower ones
//!  sources   every `crate::name` in code outside of tests and comments
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_path_buf()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

/// The drawing: each module with the height of its line and the pair it belongs to.
fn drawing() -> BTreeMap<String, (usize, String)> {
    let path = repository().join("docs/ARCHITECTURE.md");
    let text = read(&path);
    let section = text.split("\n## Layers\n").nth(1).expect("a section `## Layers`");
    let block = section.split("```text\n").nth(1).and_then(|rest| rest.split("```").next());
    let block = block.expect("a ```text block below `## Layers`");
    let mut layers = BTreeMap::new();
    for (height, line) in block.lines().rev().enumerate() {
        // The first twelve columns name the layer.
        let modules = line.get(12..).unwrap_or_else(|| panic!("no modules in {line:?}"));
        for group in modules.split_whitespace() {
            for module in group.split('+') {
                let before = layers.insert(module.to_string(), (height, group.to_string()));
                assert!(before.is_none(), "{module} is drawn twice");
            }
        }
    }
    layers
}

/// The code of a source: without comments, and without what is compiled for tests alone.
fn code(text: &str) -> String {
    let mut kept = String::new();
    let mut skipping = false;
    for line in text.lines() {
        skipping |= line == "#[cfg(test)]";
        if !skipping && let Some(code) = line.split("//").next() {
            kept.push_str(code);
            kept.push('\n');
        }
        // An item of the outermost level ends where a line begins with its closing brace, or
        // with its semicolon.
        if skipping && (line.starts_with('}') || (line.ends_with(';') && !line.starts_with(' '))) {
            skipping = false;
        }
    }
    kept
}

/// The first path segments after each `crate::` in `code`, those in braces included.
fn uses(code: &str) -> BTreeSet<String> {
    let segment = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(segment(rest));
            continue;
        };
        let (mut depth, mut begin) = (1, 0);
        for (i, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 || (depth == 1 && c == ',') {
                found.insert(segment(&list[begin..i]));
                begin = i + 1;
            }
            if depth == 0 {
                break;
            }
        }
    }
    found.remove("");
    found
}

/// The modules of the allocator: what each uses of the crate.
fn modules() -> BTreeMap<String, BTreeSet<String>> {
    let mut modules: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut folders = vec![(repository().join("alloc/src"), None)];
    while let Some((folder, parent)) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry of the folder").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let module = parent.clone().unwrap_or(name.clone());
            if path.is_dir() {
                folders.push((path, Some(module)));
            } else if path.extension().is_some_and(|e| e == "rs")
                && name != "lib"
                && !name.ends_with("_tests")
            {
                modules.entry(module).or_default().extend(uses(&code(&read(&path))));
            }
        }
    }
    modules
}

#[test]
fn modules_use_only_what_is_drawn_below_them() {
    let (layers, modules) = (drawing(), modules());
    let mut wrong = Vec::new();
    for (module, used) in &modules {
        let Some((height, group)) = layers.get(module) else {
            wrong.push(format!("{module} is not in the drawing of docs/ARCHITECTURE.md"));
            continue;
        };
        for other in used.iter().filter(|other| *other != module) {
            let Some((other_height, other_group)) = layers.get(other) else {
                wrong.push(format!("{module} uses crate::{other}, which is not in the drawing"));
                continue;
            };
            if other_height < height || other_group == group {
                continue;
            }
            wrong.push(format!("{module} uses {other}, which is not below it"));
        }
    }
    for module in layers.keys().filter(|module| !modules.contains_key(*module)) {
        wrong.push(format!("{module} is drawn, and there is no such module"));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_crates_below_know_neither_each_other_nor_the_allocator() {
    for (folder, own) in [("rseq-sys", "rseq"), ("numa", "numa")] {
        let root = repository().join(folder);
        let manifest = read(&root.join("Cargo.toml"));
        let dependencies = manifest.split("dependencies]").skip(1).collect::<String>();
        let mut folders = vec![root.join("src")];
        let mut sources = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder of sources") {
                let path = entry.expect("an entry of the folder").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    sources.push(path);
                }
            }
        }
        assert!(!sources.is_empty(), "{folder} has sources");
        for (package, path) in
            [("cidalloc", "cidalloc::"), ("rseq-sys", "rseq_sys::"), ("numa-sys", "numa_sys::")]
        {
            if package.starts_with(own) {
                continue;
            }
            let named = dependencies.lines().any(|line| line.trim_start().starts_with(package));
            assert!(!named, "{folder}/Cargo.toml depends on {package}");
            for source in &sources {
                let code: String = read(source).lines().map(code_of_line).collect();
                assert!(!code.contains(path), "{} uses {package}", source.display());
            }
        }
    }
}

fn code_of_line(line: &str) -> String {
    format!("{}\n", line.split("//").next().unwrap_or(""))
}

#[test]
fn paths_are_found_in_all_their_forms_and_tests_are_left_out() {
    let text = "use crate::a::{X, Y};\nuse crate::{b, c::{self, Z}, d as e};\n\
                // crate::comment\nfn f() { crate::g::h() }\n\
                #[cfg(test)]\nmod tests {\n    use crate::only_here;\n}\nuse crate::i;\n";
    let found: Vec<_> = uses(&code(text)).into_iter().collect();
    assert_eq!(found, ["a", "b", "c", "d", "g", "i"]);
}

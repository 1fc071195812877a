//! The documents name tests that there are.

use crate::library::root;
use std::path::Path;

const DOCUMENT: &str = "docs/pool-librseq.md";

fn repository() -> &'static Path {
    root().ancestors().nth(3).expect("the package lies in the repository")
}

/// The rows of the tables in `text`, without headings and rules.
fn rows(text: &str) -> impl Iterator<Item = &str> {
    let mut above = "";
    text.lines().filter(move |line| {
        let is_row = line.starts_with('|') && !line.starts_with("| ---");
        let is_heading = !above.starts_with('|');
        above = line;
        is_row && !is_heading
    })
}

/// What stands as `file::test` in backticks.
fn tests(row: &str) -> impl Iterator<Item = (&str, &str)> {
    row.split('`').skip(1).step_by(2).filter_map(|word| {
        let (file, test) = word.split_once(".rs::")?;
        Some((&word[..file.len() + 3], test))
    })
}

/// Whether `source` has the test `name`: a function with the attribute, or what a macro makes one
/// of.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(number, line)| {
        let above = &lines[number.saturating_sub(3)..number];
        let begins =
            |with: &str| line.strip_prefix(with).is_some_and(|rest| rest.starts_with(name));
        let ends = |with: &str| line.contains(&format!("{name}{with}"));
        begins("fn ") && ends("(") && above.contains(&"#[test]") || begins("") && ends(",")
    })
}

#[test]
fn every_row_of_the_table_names_a_test_that_there_is() {
    let text = std::fs::read_to_string(repository().join(DOCUMENT)).expect("the document");
    let (mut rows_seen, mut wrong) = (0, Vec::new());
    for row in rows(&text) {
        rows_seen += 1;
        let mut named = 0;
        for (file, test) in tests(row) {
            named += 1;
            let source = std::fs::read_to_string(repository().join(file)).unwrap_or_default();
            if !has_test(&source, test) {
                wrong.push(format!("{file}::{test} is not there"));
            }
        }
        if named == 0 {
            wrong.push(format!("no test: {row}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows_seen > 30, "only {rows_seen} rows found: are they written in another way now?");
}

#[test]
fn tests_are_told_from_other_functions() {
    let source = "#[test]\n#[ignore]\nfn one() {}\n\nfn two() {}\nmake! {\n    three, 3;\n}\n";
    assert!(has_test(source, "one") && has_test(source, "three"));
    assert!(!has_test(source, "two") && !has_test(source, "on") && !has_test(source, "four"));
}

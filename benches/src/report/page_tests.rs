//! The page and the pictures: whole, self-contained, and safe against what names contain.

use super::super::{fixture, svg_means, svg_overview, svg_scatter};
use super::*;
use crate::results::Run;

/// Elements that HTML never closes.
const VOID: [&str; 2] = ["meta", "br"];

/// Fails where an element is closed that is not open, or left open.
fn well_formed(text: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find('>').expect("a tag ends");
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        let name = tag.split([' ', '\n', '/']).find(|part| !part.is_empty()).unwrap_or("");
        if tag.starts_with('!') || tag.ends_with('/') || VOID.contains(&name) {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "closed before {:.60}", rest);
        } else {
            open.push(name);
            // What stands in these is no markup.
            if name == "script" || name == "style" {
                rest = &rest[rest.find("</").expect("they end")..];
            }
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

fn pictures(results: &Results) -> [String; 3] {
    [svg_overview(results), svg_scatter(results), svg_means(results)]
}

#[test]
fn every_element_is_closed() {
    let results = fixture::results();
    well_formed(&html(&results));
    pictures(&results).iter().for_each(|picture| well_formed(picture));
}

#[test]
fn nothing_is_fetched() {
    let results = fixture::results();
    let page = html(&results);
    for word in ["http", "src=", "@import", "url(", "<link", "//cdn"] {
        assert!(!page.contains(word), "{word}");
    }
    for picture in pictures(&results) {
        let picture = picture.replace("http://www.w3.org/2000/svg", "");
        assert!(!picture.contains("http") && !picture.contains("href"));
    }
}

#[test]
fn no_number_is_lost_on_the_way() {
    let results = fixture::results();
    for text in [html(&results)].iter().chain(&pictures(&results)) {
        let body = text.split("</style>").nth(1).unwrap();
        let body = body.split("<script>").next().unwrap();
        for word in ["NaN", "inf ", ">inf", "\"inf", "-0.00"] {
            assert!(!body.contains(word), "{word}");
        }
    }
}

#[test]
fn names_and_reasons_cannot_become_markup() {
    let mut results = fixture::results();
    let evil = "</style><b onclick=\"x('&amp;')\">";
    results.allocators[2].name = evil.into();
    results.allocators[3].note = evil.into();
    results.workloads[0].name = evil.into();
    results.workloads[0].about = evil.into();
    results.failures[0].why = evil.into();
    results.run.command = evil.into();
    results.run.cpu = evil.into();
    let page = html(&results);
    assert!(!page.contains("<b on") && !page.contains("('&amp;')"));
    assert!(page.contains("&lt;/style&gt;"));
    well_formed(&page);
    pictures(&results).iter().for_each(|picture| well_formed(picture));
}

#[test]
fn absent_peers_and_failures_are_named() {
    let page = html(&fixture::results());
    assert!(page.contains("Absent: <b>hoard</b>. cmake is missing"));
    assert!(page.contains("Failed: <b>rpmalloc</b> in <a href=\"#w"));
    assert_eq!(page.matches("class=\"failed\"").count(), 2, "in time and in memory");
}

#[test]
fn every_workload_has_its_row_and_its_figures() {
    let results = fixture::results();
    let page = html(&results);
    for (i, workload) in results.workloads.iter().enumerate() {
        assert!(page.contains(&format!("id=\"w{i}\"")), "{}", workload.name);
    }
    // All links lead somewhere.
    for link in page.split("href=\"#").skip(1) {
        let target = link.split('"').next().unwrap();
        assert!(page.contains(&format!("id=\"{target}\"")), "{target}");
    }
}

#[test]
fn a_run_that_gave_nothing_still_has_its_page() {
    let mut results = Results::new(Run { interrupted: true, ..Run::default() }, Vec::new());
    well_formed(&html(&results));
    results.allocators = fixture::results().allocators;
    let page = html(&results);
    well_formed(&page);
    assert!(page.contains("ended before its time"));
    pictures(&results).iter().for_each(|picture| well_formed(picture));
}

#[test]
fn one_round_of_one_allocator_is_shown_as_such() {
    let mut results = fixture::results();
    results.cells.retain(|cell| cell.allocator == 1);
    results.cells.iter_mut().for_each(|cell| cell.samples.truncate(1));
    results.run.rounds = 1;
    let page = html(&results);
    well_formed(&page);
    assert!(page.contains("figures have no spread"));
    pictures(&results).iter().for_each(|picture| well_formed(picture));
}

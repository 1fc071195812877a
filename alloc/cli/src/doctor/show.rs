//! Points as text, aligned as the statistics are, and as JSON.
//!
//! ```text
//!  name ······  value: remark, or number right-aligned  remark
//!  [degraded]   a line for each: name, cost, remedy
//! ```

use super::point::{Degraded, Point, Value};
use core::fmt::Write as _;

fn degraded(points: &[Point]) -> impl Iterator<Item = (&'static str, &Degraded)> {
    points.iter().filter_map(|point| Some((point.name, point.degraded.as_ref()?)))
}

/// The report for people.
pub(crate) fn text(points: &[Point]) -> String {
    let mut out = String::from("cidalloc: this host, as the allocator finds it\n");
    for point in points {
        let (name, remark) = (point.name, &point.remark);
        // Writing to a string does not fail.
        let _ = match &point.value {
            Value::Word(word) if remark.is_empty() => writeln!(out, "{name:<16}{word}"),
            Value::Word(word) => writeln!(out, "{name:<16}{word}: {remark}"),
            Value::Number(number) => writeln!(out, "{name:<16}{number:>10}  {remark}"),
            Value::Bytes(number) => writeln!(out, "{name:<16}{:>10}  {remark}", humane(*number)),
        };
    }
    out.push_str("[degraded]\n");
    let before = out.len();
    for (name, Degraded { cost, mend }) in degraded(points) {
        let _ = writeln!(out, "{name:<16}{cost}; to mend it: {mend}");
    }
    if out.len() == before {
        out.push_str("nothing\n");
    }
    out
}

/// Bytes, cut to tenths of their unit.
fn humane(bytes: u64) -> String {
    let units = [(60, "EiB"), (50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|&(shift, _)| bytes >> shift != 0) {
        None => format!("{bytes} B"),
        Some((shift, unit)) => {
            let tenth = ((bytes >> (shift - 10)) & 1023) * 10 / 1024;
            format!("{}.{tenth} {unit}", bytes >> shift)
        }
    }
}

/// The report for machines:
/// `{"points": {NAME: {"value": …, "remark": …}, …}, "degraded": [{"name", "cost", "mend"}, …]}`.
pub(crate) fn json(points: &[Point]) -> String {
    let members = points.iter().map(|point| {
        let value = match &point.value {
            Value::Word(word) => quoted(word),
            Value::Number(number) | Value::Bytes(number) => number.to_string(),
        };
        let (name, remark) = (quoted(point.name), quoted(&point.remark));
        format!("    {name}: {{\"value\": {value}, \"remark\": {remark}}}")
    });
    let members: Vec<_> = members.collect();
    let entries = degraded(points).map(|(name, Degraded { cost, mend })| {
        let (name, cost, mend) = (quoted(name), quoted(cost), quoted(mend));
        format!("    {{\"name\": {name}, \"cost\": {cost}, \"mend\": {mend}}}")
    });
    let entries: Vec<_> = entries.collect();
    let list = |items: &[String]| {
        if items.is_empty() { String::new() } else { format!("\n{}\n  ", items.join(",\n")) }
    };
    format!("{{\n  \"points\": {{{}}},\n  \"degraded\": [{}]\n}}\n", list(&members), list(&entries))
}

/// A JSON string (RFC 8259, section 7).
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> [Point; 3] {
        [
            Point::word("mm_cid", "live", "0 and 1"),
            Point::number("nodes_online", 2u32, "0-1"),
            Point::bytes("address_space", 1536 << 20, "RLIMIT_AS").costs("half", "ulimit"),
        ]
    }

    #[test]
    fn text_is_aligned_and_ends_with_what_is_degraded() {
        let expected = "\
cidalloc: this host, as the allocator finds it
mm_cid          live: 0 and 1
nodes_online             2  0-1
address_space      1.5 GiB  RLIMIT_AS
[degraded]
address_space   half; to mend it: ulimit
";
        assert_eq!(text(&some()), expected);
        assert!(text(&some()[..2]).ends_with("\n[degraded]\nnothing\n"));
        assert!(text(&[Point::word("libc", "glibc", "")]).contains("\nlibc            glibc\n"));
    }

    #[test]
    fn json_can_be_read_back() {
        let read: serde_json::Value = serde_json::from_str(&json(&some())).unwrap();
        assert_eq!(read["points"]["mm_cid"]["value"], "live");
        assert_eq!(read["points"]["nodes_online"]["value"], 2);
        assert_eq!(read["points"]["address_space"]["value"], 1536 << 20);
        assert_eq!(read["degraded"][0]["mend"], "ulimit");
        assert_eq!(read["degraded"].as_array().unwrap().len(), 1);
        let none: serde_json::Value = serde_json::from_str(&json(&[])).unwrap();
        assert_eq!(none, serde_json::json!({"points": {}, "degraded": []}));
    }

    #[test]
    fn strings_survive_json() {
        let text = "a\"b\\c\nd\u{1}\u{7f}ä/";
        assert_eq!(serde_json::from_str::<String>(&quoted(text)).unwrap(), text);
    }

    #[test]
    fn bytes_are_cut_to_tenths() {
        assert_eq!(humane(1023), "1023 B");
        assert_eq!(humane((1 << 20) - 1), "1023.9 KiB");
        assert_eq!(humane(u64::MAX), "15.9 EiB");
    }
}

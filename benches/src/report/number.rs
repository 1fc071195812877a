//! Numbers as people read them, and names made safe for HTML and SVG.

use crate::stats::Spread;

/// Between a number and its unit.
const SPACE: char = '\u{202f}';

/// Three to four significant digits.
pub(crate) fn plain(value: f64) -> String {
    match value.abs() {
        v if v < 100.0 => format!("{value:.2}"),
        v if v < 1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A ratio without its sign: `1.05`, `17.1`, `103`.
pub(crate) fn ratio(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// Scaled to the unit in which it has one to three digits before the point.
fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut at = 0;
    while value.abs() >= step * 0.9995 && at + 1 < units.len() {
        value /= step;
        at += 1;
    }
    let digits = match value.abs() {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    // A narrow no-break space keeps the number and its unit on one line.
    format!("{value:.digits$}{SPACE}{}", units[at])
}

/// Without zeros that only tell how exact a number is, as on axes.
pub(crate) fn trimmed(number: &str) -> String {
    let (digits, unit) = number.split_once(SPACE).unwrap_or((number, ""));
    let digits = match digits.split_once('.') {
        Some((whole, rest)) if rest.bytes().all(|b| b == b'0') => whole,
        _ => digits,
    };
    if unit.is_empty() { digits.to_owned() } else { format!("{digits}{SPACE}{unit}") }
}

/// `9.43 ns`, `25.4 µs`.
pub(crate) fn nanoseconds(value: f64) -> String {
    scaled(value, 1000.0, &["ns", "µs", "ms", "s"])
}

/// `2.41 MiB`.
pub(crate) fn kib(value: f64) -> String {
    scaled(value, 1024.0, &["KiB", "MiB", "GiB"])
}

/// `12.4 M`.
pub(crate) fn count(value: f64) -> String {
    trimmed(&scaled(value, 1000.0, &["", "k", "M", "G"]))
}

/// Both ends of a spread, or nothing where they are the same.
pub(crate) fn range(spread: Spread, number: impl Fn(f64) -> String) -> String {
    let (min, max) = (number(spread.min), number(spread.max));
    if min == max {
        return String::new();
    }
    // One unit is enough for both where it is the same.
    match (min.split_once(SPACE), max.split_once(SPACE)) {
        (Some((min, a)), Some((_, b))) if a == b => format!("{min}–{max}"),
        _ => format!("{min}–{max}"),
    }
}

/// Text that may stand between tags and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // No document may hold them, however they are written.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_move_to_the_next_unit_before_they_have_four_digits() {
        assert_eq!(nanoseconds(9.434), "9.43\u{202f}ns");
        assert_eq!(nanoseconds(25_412.0), "25.4\u{202f}µs");
        assert_eq!(nanoseconds(999.7), "1.00\u{202f}µs");
        assert_eq!(trimmed(&nanoseconds(999.7)), "1\u{202f}µs");
        assert_eq!(kib(2464.0), "2.41\u{202f}MiB");
        assert_eq!(kib(100.0), "100\u{202f}KiB");
        assert_eq!(count(12_400_000.0), "12.4\u{202f}M");
        assert_eq!(count(7.0), "7");
    }

    #[test]
    fn a_ratio_keeps_three_digits() {
        assert_eq!([1.0, 9.996, 37.73, 250.4].map(ratio), ["1.00", "10.0", "37.7", "250"]);
    }

    #[test]
    fn markup_and_control_characters_cannot_leave_a_name() {
        assert_eq!(
            escape("<a href=\"x\">&'\u{1}"),
            "&lt;a href=&quot;x&quot;&gt;&amp;&#39;\u{fffd}"
        );
    }

    #[test]
    fn a_spread_without_width_has_no_range() {
        let s = |min, max| Spread { median: 1.0, min, max };
        assert_eq!(range(s(1.0, 1.004), ratio), "");
        assert_eq!(range(s(0.9, 1.25), ratio), "0.90–1.25");
        assert_eq!(range(s(20.0, 21.5), nanoseconds), "20.0–21.5\u{202f}ns");
        assert_eq!(range(s(900.0, 1500.0), nanoseconds), "900\u{202f}ns–1.50\u{202f}µs");
    }
}

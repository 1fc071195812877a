//! Geometric means as bars, the shortest first, with the spread of the rounds' means.

use core::fmt::Write;

use super::derive::{Mean, Table};
use super::number::ratio;
use super::svg::{Cast, Scale, line, marker, text, ticks};

pub(crate) const WIDTH: f64 = 400.0;
const LEFT: f64 = 124.0;
const RIGHT: f64 = 352.0;
const STEP: f64 = 23.0;
const TOP: f64 = 20.0;

/// Allocators and their means, the best first.
fn sorted(table: &Table, cast: &Cast) -> Vec<(usize, Mean)> {
    let mut bars: Vec<_> =
        cast.present.iter().filter_map(|&i| Some((i, table.means[i]?))).collect();
    bars.sort_by(|a, b| a.1.value.median.total_cmp(&b.1.value.median));
    bars
}

pub(crate) fn height(table: &Table, cast: &Cast) -> f64 {
    TOP + STEP * sorted(table, cast).len() as f64 + 8.0
}

/// As an element of a page.
pub(crate) fn svg(table: &Table, cast: &Cast, label: &str) -> String {
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{label}\">{}</svg>",
        height(table, cast),
        content(table, cast)
    )
}

/// What is drawn within the `svg` element: one bar for each allocator that has a mean.
pub(crate) fn content(table: &Table, cast: &Cast) -> String {
    let bars = sorted(table, cast);
    let most = bars.iter().fold(1.0, |most: f64, (_, m)| most.max(m.value.max));
    let bottom = TOP + STEP * bars.len() as f64;
    let x = Scale { log: false, from: (0.0, most), to: (LEFT, RIGHT) };
    let mut out = String::new();
    for tick in ticks(0.0, most, 4.0) {
        line(&mut out, (x.at(tick), TOP - 4.0), (x.at(tick), bottom), "grid");
        let name = if tick == 0.0 { "0".to_owned() } else { format!("{tick}×") };
        text(&mut out, x.at(tick), TOP - 9.0, "axis mid", &name);
    }
    line(&mut out, (x.at(1.0), TOP - 4.0), (x.at(1.0), bottom), "base");
    for (n, (i, mean)) in bars.iter().enumerate() {
        let y = TOP + STEP * n as f64;
        let middle = y + STEP / 2.0;
        out.push_str(&cast.open(*i));
        marker(&mut out, cast.slots[*i], 5.0, middle, 3.5);
        text(&mut out, 14.0, middle + 4.0, "name", &cast.names[*i]);
        let (value, end) = (mean.value, x.at(mean.value.median));
        let _ = write!(
            out,
            "<rect class=\"bar\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"1.5\">\
             <title>{:.3} ({:.3} to {:.3} over the rounds, {} rows)</title></rect>",
            y + 4.0,
            end - LEFT,
            STEP - 8.0,
            value.median,
            value.min,
            value.max,
            mean.rows
        );
        line(&mut out, (x.at(value.min), middle), (x.at(value.max), middle), "error");
        text(&mut out, x.at(value.max) + 6.0, middle + 4.0, "value", &ratio(value.median));
        out.push_str("</g>");
    }
    out
}

//! A chart of lines, one for each allocator, with their names at the right end.
//!
//! ```text
//!   ns (log)
//!   100 ┤┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈╭──── ▪ glibc       names keep apart and are
//!    10 ┤──────────────────╯╭─── ● cidalloc    joined to their lines
//!       └──┬─────┬─────┬─────┬
//! ```

use core::fmt::Write;

use super::number::escape;
use super::svg::{Cast, Scale, keep_apart, line, marker, seen, text, text_width};

/// One line.
pub(crate) struct Series {
    pub(crate) allocator: usize,
    pub(crate) points: Vec<(f64, f64)>,
    /// Smallest and largest value at an x.
    pub(crate) whiskers: Vec<(f64, f64, f64)>,
}

/// One direction.
pub(crate) struct Axis {
    pub(crate) log: bool,
    pub(crate) range: (f64, f64),
    /// Value and text.
    pub(crate) ticks: Vec<(f64, String)>,
    pub(crate) title: String,
}

pub(crate) struct Chart {
    /// What it shows, for those who do not see it.
    pub(crate) label: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
    /// Each value holds until the next x; else lines are straight.
    pub(crate) stepped: bool,
    /// Points have markers.
    pub(crate) marked: bool,
    /// Values of x with names, marked along the upper edge.
    pub(crate) guides: Vec<(f64, String)>,
    /// A level with its name, drawn across.
    pub(crate) level: Option<(f64, String)>,
}

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 268.0;
const LEFT: f64 = 42.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 232.0;
const LABEL_HEIGHT: f64 = 13.0;
/// Of the names at the right end.
const SIZE: f64 = 10.5;

impl Chart {
    /// As an element of a page.
    pub(crate) fn svg(&self, cast: &Cast) -> String {
        let mut out = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(&self.label)
        );
        let longest = self.series.iter().map(|s| seen(&cast.names[s.allocator])).max();
        let right = WIDTH - 25.0 - text_width(longest.unwrap_or(0), SIZE);
        let x = Scale { log: self.x.log, from: self.x.range, to: (LEFT, right) };
        let y = Scale { log: self.y.log, from: self.y.range, to: (BOTTOM, TOP) };
        self.axes(&mut out, &x, &y);
        self.lines(&mut out, cast, &x, &y);
        out.push_str("</svg>");
        out
    }

    fn axes(&self, out: &mut String, x: &Scale, y: &Scale) {
        let right = x.to.1;
        text(out, 0.0, 10.0, "axis", &escape(&self.y.title));
        text(out, (LEFT + right) / 2.0, HEIGHT - 5.0, "axis mid", &escape(&self.x.title));
        for (value, name) in &self.y.ticks {
            let at = y.at(*value);
            line(out, (LEFT, at), (right, at), "grid");
            text(out, LEFT - 6.0, at + 3.5, "axis end", &escape(name));
        }
        for (value, name) in &self.x.ticks {
            let at = x.at(*value);
            line(out, (at, BOTTOM), (at, BOTTOM + 4.0), "tick");
            text(out, at, BOTTOM + 16.0, "axis mid", &escape(name));
        }
        line(out, (LEFT, BOTTOM), (right, BOTTOM), "base");
        for (value, name) in &self.guides {
            let at = x.at(*value);
            line(out, (at, TOP), (at, BOTTOM), "level");
            text(out, at, TOP - 4.0, "axis mid", &escape(name));
        }
        if let Some((value, name)) = &self.level {
            let at = y.at(*value);
            line(out, (LEFT, at), (right, at), "level");
            text(out, right - 2.0, at - 4.0, "axis end", &escape(name));
        }
    }

    fn lines(&self, out: &mut String, cast: &Cast, x: &Scale, y: &Scale) {
        let right = x.to.1;
        let ends: Vec<f64> =
            self.series.iter().map(|s| s.points.last().map_or(BOTTOM, |p| y.at(p.1))).collect();
        // Many names stand closer than few.
        let height = LABEL_HEIGHT.min((BOTTOM - TOP) / ends.len().max(2) as f64);
        let labels = keep_apart(&ends, height, TOP, BOTTOM);
        // Ours comes last, above the others.
        let mut order: Vec<usize> = (0..self.series.len()).collect();
        order.sort_by_key(|i| cast.ours == Some(self.series[*i].allocator));
        for i in order {
            let series = &self.series[i];
            let slot = cast.slots[series.allocator];
            out.push_str(&cast.open(series.allocator));
            let _ = write!(out, "<path class=\"line\" d=\"{}\"/>", self.path(series, x, y));
            for (at, low, high) in &series.whiskers {
                let at = x.at(*at);
                line(out, (at, y.at(*low)), (at, y.at(*high)), "whisker");
            }
            if self.marked {
                for (px, py) in &series.points {
                    marker(out, slot, x.at(*px), y.at(*py), 3.0);
                }
            }
            let end = series.points.last().map_or(right, |p| x.at(p.0));
            let _ = write!(
                out,
                "<path class=\"lead\" d=\"M{:.1} {:.1}L{:.1} {:.1}L{:.1} {:.1}\"/>",
                end + 4.0,
                ends[i],
                right + 4.0,
                ends[i],
                right + 12.0,
                labels[i]
            );
            marker(out, slot, right + 16.0, labels[i], 3.0);
            text(out, right + 23.0, labels[i] + 3.5, "name", &cast.names[series.allocator]);
            out.push_str("</g>");
        }
    }

    fn path(&self, series: &Series, x: &Scale, y: &Scale) -> String {
        let mut path = String::new();
        for (i, point) in series.points.iter().enumerate() {
            let (px, py) = (x.at(point.0), y.at(point.1));
            let _ = match (i, self.stepped) {
                (0, _) => write!(path, "M{px:.1} {py:.1}"),
                (_, false) => write!(path, "L{px:.1} {py:.1}"),
                // A value belongs to all that lies between the last x and its own.
                (_, true) => write!(path, "V{py:.1}H{px:.1}"),
            };
        }
        path
    }
}

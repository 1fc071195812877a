//! What the charts are drawn with: scales, ticks, markers, and labels that keep apart.

use core::fmt::Write;

use super::number::escape;
use super::palette;
use crate::results::{Kind, Results};

/// The allocators as all charts show them.
pub(crate) struct Cast {
    /// Escaped, and no longer than [`NAME_MAX`] characters.
    pub(crate) names: Vec<String>,
    pub(crate) slots: Vec<usize>,
    pub(crate) ours: Option<usize>,
    /// Those that were there.
    pub(crate) present: Vec<usize>,
}

/// Characters of an allocator's name that have room beside a chart.
const NAME_MAX: usize = 17;

impl Cast {
    pub(crate) fn new(results: &Results) -> Self {
        let short = |name: &str| match name.char_indices().nth(NAME_MAX) {
            Some(_) => name.chars().take(NAME_MAX - 1).chain(['…']).collect(),
            None => name.to_owned(),
        };
        Self {
            names: results.allocators.iter().map(|a| escape(&short(&a.name))).collect(),
            slots: palette::slots(results),
            ours: results.allocators.iter().position(|a| a.kind == Kind::Ours),
            present: super::tables::present(results),
        }
    }

    /// Classes of whatever belongs to an allocator.
    pub(crate) fn class(&self, allocator: usize) -> String {
        let ours = if self.ours == Some(allocator) { " ours" } else { "" };
        format!("s{}{ours}", self.slots[allocator])
    }

    /// Opens the group of an allocator.
    pub(crate) fn open(&self, allocator: usize) -> String {
        format!("<g class=\"series {}\" data-a=\"{allocator}\">", self.class(allocator))
    }
}

/// From values to coordinates.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) log: bool,
    /// Values at the ends of `to`.
    pub(crate) from: (f64, f64),
    pub(crate) to: (f64, f64),
}

impl Scale {
    pub(crate) fn at(&self, value: f64) -> f64 {
        let map = |v: f64| if self.log { v.max(1e-9).log10() } else { v };
        let (low, high) = (map(self.from.0), map(self.from.1));
        let share = if high > low { (map(value) - low) / (high - low) } else { 0.5 };
        self.to.0 + share.clamp(0.0, 1.0) * (self.to.1 - self.to.0)
    }
}

/// Round numbers from `min` to `max`, some `about` of them.
pub(crate) fn ticks(min: f64, max: f64, about: f64) -> Vec<f64> {
    let width = max - min;
    if !(width > 0.0 && width.is_finite()) {
        return vec![min];
    }
    let exponent = (width / about).log10().floor() as i32;
    let scaled =
        |v: f64| if exponent < 0 { v / 10_f64.powi(-exponent) } else { v * 10_f64.powi(exponent) };
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    let step = steps.into_iter().find(|s| width / scaled(*s) <= about * 1.3).unwrap_or(10.0);
    let first = (min / scaled(step) - 1e-9).ceil() as i64;
    let last = (max / scaled(step) + 1e-9).floor() as i64;
    // Scaled last, so that three tenths are 0.3 and not 0.30000000000000004.
    (first..=last).map(|i| scaled(i as f64 * step)).collect()
}

/// Ticks of a logarithmic axis: powers of ten over many decades, 1-2-5 over few, and round
/// numbers within one.
pub(crate) fn log_ticks(min: f64, max: f64, about: f64) -> Vec<f64> {
    let (low, high) = (min.max(1e-9).log10(), max.max(1e-9).log10());
    let decades = high - low;
    if decades < 0.8 {
        return ticks(min, max, about);
    }
    let parts: &[f64] = if decades * 3.0 <= about { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let every = (decades / about).ceil().max(1.0) as i32;
    let powers = (low.floor() as i32..=high.ceil() as i32).filter(|p| p.rem_euclid(every) == 0);
    let all = powers.flat_map(|p| parts.iter().map(move |part| part * 10_f64.powi(p)));
    all.filter(|v| *v >= min * 0.999 && *v <= max * 1.001).collect()
}

/// Places labels of one height near where they want to be, none over another, all between
/// `low` and `high` where there is room.
pub(crate) fn keep_apart(wanted: &[f64], height: f64, low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let mut placed = wanted.to_vec();
    let mut floor = low;
    for &i in &order {
        placed[i] = placed[i].max(floor);
        floor = placed[i] + height;
    }
    let mut ceiling = high;
    for &i in order.iter().rev() {
        placed[i] = placed[i].min(ceiling);
        ceiling = placed[i] - height;
    }
    // Too many for the room: they leave it at the lower end rather than overlap.
    let mut floor = low;
    for &i in &order {
        placed[i] = placed[i].max(floor);
        floor = placed[i] + height;
    }
    placed
}

/// Text whose content is escaped already.
pub(crate) fn text(out: &mut String, x: f64, y: f64, class: &str, content: &str) {
    let _ = write!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{content}</text>");
}

/// The font of pictures that stand alone.
const FONT: &str = "svg{font-family:system-ui,-apple-system,\"Segoe UI\",Roboto,\"Helvetica Neue\",\
    Arial,sans-serif;background:none}";

/// Opens a picture that stands alone: its colours, its background, the title above and the
/// source of its figures below. The caller closes it.
pub(crate) fn picture(width: f64, height: f64, title: &str, source: &str) -> String {
    let (title, source) = (escape(title), escape(source));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"{title}\">\
         <style>{}{}{FONT}</style>\
         <rect class=\"paper\" x=\".5\" y=\".5\" width=\"{:.0}\" height=\"{:.0}\" rx=\"8\"/>",
        palette::css(),
        include_str!("chart.css"),
        width - 1.0,
        height - 1.0
    );
    text(&mut out, 20.0, 32.0, "title", &title);
    text(&mut out, 20.0, height - 14.0, "axis", &source);
    out
}

pub(crate) fn line(out: &mut String, from: (f64, f64), to: (f64, f64), class: &str) {
    let _ = write!(
        out,
        "<path class=\"{class}\" d=\"M{:.1} {:.1}L{:.1} {:.1}\"/>",
        from.0, from.1, to.0, to.1
    );
}

/// The shape that a slot has besides its colour.
pub(crate) fn marker(out: &mut String, slot: usize, x: f64, y: f64, r: f64) {
    let d = r * 1.25;
    let path = match slot % 6 {
        0 => {
            let _ =
                write!(out, "<circle class=\"mark\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r:.1}\"/>");
            return;
        }
        1 => vec![(-r, -r), (r, -r), (r, r), (-r, r)],
        2 => vec![(0.0, -d), (d, 0.0), (0.0, d), (-d, 0.0)],
        3 => vec![(0.0, -d), (d, r), (-d, r)],
        4 => vec![(0.0, d), (d, -r), (-d, -r)],
        _ => {
            let t = r * 0.4;
            vec![
                (-t, -d),
                (t, -d),
                (t, -t),
                (d, -t),
                (d, t),
                (t, t),
                (t, d),
                (-t, d),
                (-t, t),
                (-d, t),
                (-d, -t),
                (-t, -t),
            ]
        }
    };
    let points: Vec<_> =
        path.iter().map(|(dx, dy)| format!("{:.1} {:.1}", x + dx, y + dy)).collect();
    let _ = write!(out, "<path class=\"mark\" d=\"M{}Z\"/>", points.join("L"));
}

/// Width of a text of `chars` characters, rather too much than too little.
pub(crate) fn text_width(chars: usize, size: f64) -> f64 {
    chars as f64 * size * 0.64
}

/// Characters of an escaped text as a reader sees them.
pub(crate) fn seen(escaped: &str) -> usize {
    let mut within = false;
    let visible = |c: char| {
        let counts = !within;
        within = if within { c != ';' } else { c == '&' };
        counts
    };
    escaped.chars().map(visible).filter(|counts| *counts).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_range() {
        assert_eq!(ticks(0.0, 10.0, 5.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(1.0, 2.1, 5.0), [1.0, 1.2, 1.4, 1.6, 1.8, 2.0]);
        assert_eq!(ticks(3.0, 3.0, 5.0), [3.0]);
        assert_eq!(log_ticks(8.0, 2e6, 6.0), [1e1, 1e2, 1e3, 1e4, 1e5, 1e6]);
        assert_eq!(log_ticks(1.0, 12.0, 6.0), [1.0, 2.0, 5.0, 10.0]);
    }

    #[test]
    fn a_logarithmic_scale_puts_the_geometric_mean_in_the_middle() {
        let scale = Scale { log: true, from: (1.0, 100.0), to: (0.0, 10.0) };
        assert!((scale.at(10.0) - 5.0).abs() < 1e-9);
        assert_eq!((scale.at(0.0), scale.at(1e9)), (0.0, 10.0));
    }

    #[test]
    fn labels_keep_apart_and_in_order() {
        let wanted = [50.0, 51.0, 99.0, 98.0, 100.0, 2.0];
        let placed = keep_apart(&wanted, 10.0, 0.0, 100.0);
        for i in 0..wanted.len() {
            assert!((0.0..=100.0).contains(&placed[i]), "{placed:?}");
            for j in 0..i {
                assert!((placed[i] - placed[j]).abs() >= 10.0 - 1e-9, "{placed:?}");
                assert_eq!(wanted[i] < wanted[j], placed[i] < placed[j], "{placed:?}");
            }
        }
        assert_eq!(placed[5], 2.0);
    }

    #[test]
    fn labels_without_room_still_do_not_overlap() {
        assert_eq!(keep_apart(&[5.0; 3], 10.0, 0.0, 12.0), [0.0, 10.0, 20.0]);
    }

    #[test]
    fn an_entity_is_one_character() {
        assert_eq!(seen("a&lt;b&amp;"), 4);
    }
}

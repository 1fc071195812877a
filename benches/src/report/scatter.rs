//! Time against memory: one point for each allocator, its geometric means.
//!
//! ```text
//!   memory │        ▲ b           each name takes the first place about its point at which
//!          │   ● a ──────         it covers neither a point nor another name; farther ones
//!          └──────────── time     are joined to it
//! ```

use super::derive::Table;
use super::number::ratio;
use super::svg::{Cast, Scale, line, log_ticks, marker, seen, text, text_width};

pub(crate) const WIDTH: f64 = 400.0;
pub(crate) const HEIGHT: f64 = 330.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 392.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 288.0;
const SIZE: f64 = 10.5;

/// A rectangle: left, top, right, bottom.
type Box = (f64, f64, f64, f64);

fn overlap(a: Box, b: Box) -> f64 {
    let width = a.2.min(b.2) - a.0.max(b.0);
    let height = a.3.min(b.3) - a.1.max(b.1);
    if width > 0.0 && height > 0.0 { width * height } else { 0.0 }
}

/// Where the names of points go: the left end of each one's base line. They keep clear of
/// `taken` as well.
fn place(points: &[(f64, f64)], chars: &[usize], taken: &[Box], frame: Box) -> Vec<(f64, f64)> {
    let mut boxes: Vec<Box> =
        points.iter().map(|(x, y)| (x - 5.0, y - 5.0, x + 5.0, y + 5.0)).collect();
    boxes.extend(taken);
    let mut places = Vec::new();
    for (&(x, y), &chars) in points.iter().zip(chars) {
        let (width, height) = (text_width(chars, SIZE), SIZE + 2.0);
        let mut best: Option<(f64, Box)> = None;
        'search: for distance in [0.0, 8.0, 16.0, 26.0, 38.0, 52.0, 70.0, 90.0] {
            let gap = 8.0 + distance;
            for (dx, dy) in [
                (gap, -height / 2.0),
                (-gap - width, -height / 2.0),
                (gap * 0.7, -gap * 0.7 - height),
                (gap * 0.7, gap * 0.7),
                (-width / 2.0, gap),
                (-width / 2.0, -gap - height),
                (-gap * 0.7 - width, -gap * 0.7 - height),
                (-gap * 0.7 - width, gap * 0.7),
            ] {
                let here = (x + dx, y + dy, x + dx + width, y + dy + height);
                let outside = width * height - overlap(here, frame);
                let covered: f64 = boxes.iter().map(|b| overlap(here, *b)).sum();
                let cost = covered + outside * 4.0;
                if best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, here));
                }
                if cost <= 1e-6 {
                    break 'search;
                }
            }
        }
        let (_, here) = best.unwrap_or((0.0, (x, y, x, y)));
        boxes.push(here);
        places.push((here.0, here.3 - 3.5));
    }
    places
}

fn range(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(0.0, f64::max);
    let margin = ((high / low).ln() * 0.09).max(0.03).exp();
    (low / margin, high * margin)
}

/// What is drawn within the `svg` element; empty where nobody has both means.
pub(crate) fn content(time: &Table, memory: &Table, cast: &Cast) -> String {
    let both = |&i: &usize| Some((i, time.means[i]?.value, memory.means[i]?.value));
    let mut points: Vec<_> = cast.present.iter().filter_map(both).collect();
    if points.is_empty() {
        return String::new();
    }
    // Ours chooses its name's place first; it is drawn last.
    points.sort_by_key(|p| cast.ours != Some(p.0));
    let x = Scale {
        log: true,
        from: range(points.iter().flat_map(|p| [p.1.min, p.1.max])),
        to: (LEFT, RIGHT),
    };
    let y = Scale {
        log: true,
        from: range(points.iter().flat_map(|p| [p.2.min, p.2.max])),
        to: (BOTTOM, TOP),
    };
    let mut out = String::new();
    for tick in log_ticks(x.from.0, x.from.1, 5.0) {
        line(&mut out, (x.at(tick), TOP), (x.at(tick), BOTTOM), "grid");
        text(&mut out, x.at(tick), BOTTOM + 16.0, "axis mid", &format!("{}×", ratio(tick)));
    }
    for tick in log_ticks(y.from.0, y.from.1, 5.0) {
        line(&mut out, (LEFT, y.at(tick)), (RIGHT, y.at(tick)), "grid");
        text(&mut out, LEFT - 6.0, y.at(tick) + 3.5, "axis end", &format!("{}×", ratio(tick)));
    }
    line(&mut out, (LEFT, BOTTOM), (RIGHT, BOTTOM), "base");
    line(&mut out, (LEFT, TOP), (LEFT, BOTTOM), "base");
    text(&mut out, 0.0, 12.0, "axis", "↓ less memory");
    text(&mut out, LEFT, HEIGHT - 8.0, "axis", "← less time");
    text(&mut out, RIGHT, HEIGHT - 8.0, "axis end", "ratio to the best, geometric mean");

    let at: Vec<_> = points.iter().map(|p| (x.at(p.1.median), y.at(p.2.median))).collect();
    let chars: Vec<_> = points.iter().map(|p| seen(&cast.names[p.0])).collect();
    let whiskers: Vec<Box> = points
        .iter()
        .zip(&at)
        .flat_map(|((_, time, memory), (px, py))| {
            [
                (x.at(time.min), py - 1.0, x.at(time.max), py + 1.0),
                (px - 1.0, y.at(memory.max), px + 1.0, y.at(memory.min)),
            ]
        })
        .collect();
    let names = place(&at, &chars, &whiskers, (LEFT + 2.0, TOP, WIDTH, BOTTOM - 2.0));
    for n in (0..points.len()).rev() {
        let ((i, time, memory), (px, py), (nx, ny)) = (points[n], at[n], names[n]);
        out.push_str(&cast.open(i));
        line(&mut out, (x.at(time.min), py), (x.at(time.max), py), "whisker");
        line(&mut out, (px, y.at(memory.min)), (px, y.at(memory.max)), "whisker");
        let width = text_width(chars[n], SIZE);
        let near = (px.clamp(nx, nx + width), py.clamp(ny - 9.0, ny + 2.0));
        if (near.0 - px).hypot(near.1 - py) > 14.0 {
            line(&mut out, (px, py), near, "lead");
        }
        marker(&mut out, cast.slots[i], px, py, if cast.ours == Some(i) { 6.0 } else { 4.5 });
        text(&mut out, nx, ny, "name", &cast.names[i]);
        out.push_str("</g>");
    }
    out
}

/// As an element of a page.
pub(crate) fn svg(time: &Table, memory: &Table, cast: &Cast) -> String {
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Time against memory\">{}</svg>",
        content(time, memory, cast)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Box = (0.0, 0.0, 400.0, 300.0);

    #[test]
    fn names_of_a_cluster_cover_neither_points_nor_each_other() {
        let points: Vec<_> = (0..9)
            .map(|i| (200.0 + 9.0 * f64::from(i % 3), 150.0 + 7.0 * f64::from(i / 3)))
            .collect();
        let chars = [8, 5, 11, 11, 8, 8, 8, 8, 16];
        let places = place(&points, &chars, &[], FRAME);
        let boxes: Vec<Box> = places
            .iter()
            .zip(chars)
            .map(|((x, y), chars)| (*x, y - SIZE + 1.5, x + text_width(chars, SIZE), y + 3.5))
            .collect();
        for (i, a) in boxes.iter().enumerate() {
            assert!(a.0 >= 0.0 && a.1 >= 0.0 && a.2 <= 400.0 && a.3 <= 300.0, "{a:?}");
            assert!(boxes[..i].iter().all(|b| overlap(*a, *b) == 0.0), "{i}: {boxes:?}");
            assert!(
                points
                    .iter()
                    .all(|(x, y)| overlap(*a, (x - 4.0, y - 4.0, x + 4.0, y + 4.0)) == 0.0)
            );
        }
    }

    #[test]
    fn a_name_at_the_right_edge_goes_to_the_left() {
        let places = place(&[(396.0, 100.0)], &[8], &[], FRAME);
        assert!(places[0].0 + text_width(8, SIZE) < 392.0);
    }
    #[test]
    fn a_name_does_not_lie_on_the_spread_of_its_point() {
        let whisker = (150.0, 99.0, 250.0, 101.0);
        let (x, y) = place(&[(200.0, 100.0)], &[8], &[whisker], FRAME)[0];
        let name = (x, y - SIZE + 1.5, x + text_width(8, SIZE), y + 3.5);
        assert_eq!(overlap(name, whisker), 0.0);
    }
}

//! The plot of what sets of counters take: an SVG file that stands alone.

use core::fmt::Write;

use super::memory::{COUNTERS, CPUS, Footprint, Way};
use crate::report::lines::{Axis, Chart, Series};
use crate::report::number::{count, escape};
use crate::report::svg::{Cast, log_ticks, picture, text};

/// Colours of the report's palette by [`Way::ALL`].
const SLOTS: [usize; 4] = [4, 7, 2, 0];

const WIDTH: f64 = 560.0;
/// Of the chart within.
const CHART: (f64, f64) = (520.0, 348.0);
const TOP: f64 = 66.0;

/// Resident memory of the sets by threads.
#[must_use]
pub fn memory(footprints: &[Footprint], source: &str) -> String {
    let cast = Cast {
        names: Way::ALL.map(|way| escape(way.name())).to_vec(),
        slots: SLOTS.to_vec(),
        ours: Way::ALL.iter().position(|way| *way == Way::Cid),
        present: (0..Way::ALL.len()).collect(),
    };
    let line = |(allocator, way): (usize, &Way)| Series {
        allocator,
        points: (footprints.iter().filter(|f| f.way == *way))
            // A page is the least that a set can take, and a logarithm has no zero.
            .map(|f| (f.threads as f64, f.sets_kib().max(4) as f64))
            .collect(),
        whiskers: Vec::new(),
    };
    let series: Vec<Series> = Way::ALL.iter().enumerate().map(line).collect();
    let threads = footprints.iter().map(|f| f.threads as f64);
    let sets = series.iter().flat_map(|s| s.points.iter().map(|p| p.1));
    let (x, y) = (range(threads, 1.0), range(sets, 1.3));
    let chart = Chart {
        label: "Resident memory of sets of counters by threads".to_owned(),
        x: Axis {
            log: true,
            range: x,
            ticks: log_ticks(x.0, x.1, 6.0).into_iter().map(|v| (v, count(v))).collect(),
            title: "threads, all alive; both axes logarithmic".to_owned(),
        },
        y: Axis {
            log: true,
            range: y,
            ticks: kib_ticks(y),
            title: "bytes resident with the sets, less without".to_owned(),
        },
        series,
        stepped: false,
        marked: true,
        guides: Vec::new(),
        level: None,
    };
    let title = format!("A set of {COUNTERS} counters for every thread");
    let mut out = picture(WIDTH, TOP + CHART.1 + 40.0, &title, source);
    let note = format!("per CPU: an array for {CPUS} possible CPUs");
    text(&mut out, 20.0, 52.0, "axis", &escape(&note));
    let (width, height) = CHART;
    let chart = chart.svg(&cast);
    let _ = writeln!(
        out,
        "<svg x=\"20\" y=\"{TOP}\" width=\"{width}\" height=\"{height}\">{chart}</svg></svg>"
    );
    out
}

/// From the smallest to the largest of `values`, and so many times more on both sides.
fn range(values: impl Iterator<Item = f64> + Clone, margin: f64) -> (f64, f64) {
    let low = values.clone().fold(f64::MAX, f64::min).min(1e9);
    (low / margin, values.fold(1.0, f64::max) * margin)
}

/// Powers of 16, in KiB: what is there comes in pages.
fn kib_ticks((low, high): (f64, f64)) -> Vec<(f64, String)> {
    let powers = (0..6).map(|power| 16_f64.powi(power)).filter(|v| (low..high).contains(v));
    let name = |v: f64| if v < 1024.0 { format!("{v} K") } else { format!("{} M", v / 1024.0) };
    powers.map(|v| (v, name(v))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_has_a_line_and_nothing_is_no_number() {
        let at = |threads: usize| {
            Way::ALL.map(|way| Footprint {
                way,
                threads,
                before_kib: 9,
                after_kib: 9 + 5 * threads as u64,
            })
        };
        let footprints = [at(10), at(10_000)].concat();
        for footprints in [&footprints[..], &[]] {
            let svg = memory(footprints, "s");
            assert!(svg.starts_with("<svg xmlns") && svg.ends_with("</svg>\n"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
            assert!(Way::ALL.iter().all(|way| svg.contains(way.name())));
        }
    }
}

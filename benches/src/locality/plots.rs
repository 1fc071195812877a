//! The plots of the model: SVG files that stand alone, drawn with the report's axes and colours.

use core::fmt::Write;

use super::growth::{Growth, KINDS, Sharding, WIDTHS};
use super::intermittent::Index;
use super::published::TABLE;
use crate::report::lines::{Axis, Chart, Series};
use crate::report::number::{count, escape, nanoseconds, ratio, trimmed};
use crate::report::svg::{Cast, Scale, line, log_ticks, marker, picture, text};

/// Of one chart of lines.
const PANEL: (f64, f64) = (400.0, 268.0);
const MARGIN: f64 = 20.0;

/// Colours of the report's palette by [`Sharding::ALL`].
const SLOTS: [usize; KINDS] = [1, 2, 0, 7, 4, 9];

/// Charts in rows of two.
fn panels(title: &str, source: &str, cast: &Cast, charts: &[(String, Chart)]) -> String {
    let rows = charts.len().div_ceil(2) as f64;
    let step = (PANEL.0 + 24.0, PANEL.1 + 34.0);
    let width = 2.0 * MARGIN + step.0 + PANEL.0;
    let mut out = picture(width, 52.0 + rows * step.1 + 26.0, title, source);
    for (n, (name, chart)) in charts.iter().enumerate() {
        let (x, y) = (MARGIN + step.0 * (n % 2) as f64, 52.0 + step.1 * (n / 2) as f64);
        let _ = write!(out, "<g font-weight=\"700\">");
        text(&mut out, x, y + 10.0, "", &escape(name));
        let _ = write!(
            out,
            "</g><svg x=\"{x:.1}\" y=\"{:.1}\" width=\"{}\" height=\"{}\">{}</svg>",
            y + 20.0,
            PANEL.0,
            PANEL.1,
            chart.svg(cast)
        );
    }
    out.push_str("</svg>\n");
    out
}

fn cast(names: &[&str], slots: &[usize], ours: usize) -> Cast {
    Cast {
        names: names.iter().map(|name| escape(name)).collect(),
        slots: slots.to_vec(),
        ours: Some(ours),
        present: (0..names.len()).collect(),
    }
}

/// What the model says of one number of CPUs: by threads.
pub struct Sweep {
    /// CPUs.
    pub cpus: usize,
    /// Nodes.
    pub nodes: usize,
    /// Threads, and what came of them.
    pub points: Vec<(usize, Growth)>,
}

impl Sweep {
    fn name(&self) -> String {
        format!("{} CPUs, {} node{}", self.cpus, self.nodes, if self.nodes > 1 { "s" } else { "" })
    }

    fn chart(
        &self,
        lines: usize,
        title: &str,
        number: impl Fn(f64) -> String,
        value: impl Fn(usize, &Growth) -> f64,
    ) -> Chart {
        let points = |which| {
            let point =
                |(threads, growth): &(usize, Growth)| (*threads as f64, value(which, growth));
            self.points.iter().map(point).collect::<Vec<_>>()
        };
        let series: Vec<Series> = (0..lines)
            .map(|which| Series { allocator: which, points: points(which), whiskers: Vec::new() })
            .collect();
        let values = || series.iter().flat_map(|s| s.points.iter().map(|p| p.1));
        let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(1.0, f64::max));
        let threads = |at: Option<&(usize, Growth)>| at.map_or(1.0, |p| p.0 as f64);
        let axis = |range: (f64, f64), title: &str, number: &dyn Fn(f64) -> String| Axis {
            log: true,
            range,
            ticks: log_ticks(range.0, range.1, 6.0).into_iter().map(|v| (v, number(v))).collect(),
            title: title.to_owned(),
        };
        let ends = (threads(self.points.first()), threads(self.points.last()));
        Chart {
            label: format!("{title} by threads, {}", self.name()),
            x: axis(ends, "threads, both axes logarithmic", &count),
            y: axis((low * 0.85, high * 1.2), title, &number),
            series,
            stepped: false,
            marked: true,
            guides: Vec::new(),
            level: None,
        }
    }
}

fn shardings() -> Cast {
    cast(&Sharding::ALL.map(Sharding::name), &SLOTS, 2)
}

/// Shards by threads, a chart for each number of CPUs.
#[must_use]
pub fn shards(sweeps: &[Sweep], source: &str) -> String {
    let chart = |s: &Sweep| {
        (
            s.name(),
            s.chart(KINDS, "shards that were used", count, |which, g| g.shards[which] as f64),
        )
    };
    let charts: Vec<_> = sweeps.iter().map(chart).collect();
    panels("Shards by what they are indexed with", source, &shardings(), &charts)
}

/// Memory of the shards by threads, a chart for each number of CPUs.
#[must_use]
pub fn memory(sweeps: &[Sweep], shard_kib: f64, source: &str) -> String {
    let chart = |s: &Sweep| {
        let chart = s.chart(KINDS, "MiB of used shards and their arenas", count, |which, g| {
            g.shards[which] as f64 * shard_kib / 1024.0
        });
        (s.name(), chart)
    };
    let charts: Vec<_> = sweeps.iter().map(chart).collect();
    panels("Memory by what shards are indexed with", source, &shardings(), &charts)
}

/// Arenas by threads for each group width, a chart for each of two kinds of cid.
#[must_use]
pub fn arenas(sweep: &Sweep, source: &str) -> String {
    let names = WIDTHS.map(|width| match width {
        1 => "1 cid".to_owned(),
        width => format!("{width} cids"),
    });
    let cast = cast(&names.each_ref().map(String::as_str), &[0, 2, 4, 7], 0);
    let chart = |which: usize| {
        let name = format!("{}, {}", Sharding::ALL[which].name(), sweep.name());
        let number = |width: usize, g: &Growth| g.arenas[which][width] as f64;
        (name, sweep.chart(WIDTHS.len(), "arenas that were used", count, number))
    };
    panels("Arenas by how many cids share one", source, &cast, &[chart(2), chart(4)])
}

const ROW: f64 = 58.0;
const NAMES: f64 = 170.0;

/// Bursts of the table, published and simulated; `cells` by row of [`TABLE`] and
/// [`Index::ALL`].
#[must_use]
pub fn bursts(cells: &[[f64; 3]], source: &str) -> String {
    let slots = [2, 7, 0];
    let (width, top) = (720.0, 92.0);
    let bottom = top + ROW * TABLE.len() as f64;
    let title = "A burst over 16 KiB on two EPYC 9654, published and simulated";
    let mut out = picture(width, bottom + 64.0, title, source);
    let published = TABLE.map(|r| [r.per_cpu, r.plain, r.cache_local]);
    let all = || cells.iter().chain(&published).flatten().copied();
    let from = (all().fold(f64::MAX, f64::min) * 0.85, all().fold(0.0, f64::max) * 1.15);
    let x = Scale { log: true, from, to: (NAMES, width - 28.0) };
    for tick in log_ticks(from.0, from.1, 8.0) {
        line(&mut out, (x.at(tick), top), (x.at(tick), bottom), "grid");
        text(&mut out, x.at(tick), bottom + 16.0, "axis mid", &trimmed(&nanoseconds(tick)));
    }
    let mut left = NAMES;
    for (index, slot) in Index::ALL.iter().zip(slots) {
        let _ = write!(out, "<g class=\"series s{slot}\">");
        marker(&mut out, slot, left, 60.0, 4.0);
        text(&mut out, left + 9.0, 64.0, "name", index.name());
        left += 40.0 + 7.0 * index.name().len() as f64;
        out.push_str("</g>");
    }
    text(&mut out, NAMES, 82.0, "axis", "small: published; large: simulated");
    for (n, (row, simulated)) in TABLE.iter().zip(cells).enumerate() {
        let y = top + ROW * n as f64;
        line(&mut out, (MARGIN, y), (width - MARGIN, y), "grid");
        text(&mut out, MARGIN, y + 24.0, "", row.placement.name());
        text(&mut out, MARGIN, y + 40.0, "axis", &format!("{} ms apart", row.delay_ms));
        for (i, slot) in slots.into_iter().enumerate() {
            let at = y + 14.0 + 15.0 * i as f64;
            let (a, b) = (x.at(published[n][i]), x.at(simulated[i]));
            let _ = write!(out, "<g class=\"series s{slot}\">");
            line(&mut out, (a, at), (b, at), "whisker");
            marker(&mut out, slot, a, at, 2.6);
            marker(&mut out, slot, b, at, 4.6);
            out.push_str("</g>");
        }
    }
    out.push_str("</svg>\n");
    out
}

/// How much faster cache-local cids are than plain ones, published and simulated.
#[must_use]
pub fn gains(simulated: &[f64], source: &str) -> String {
    let (width, top, step) = (720.0, 84.0, 40.0);
    let bottom = top + step * TABLE.len() as f64;
    let title = "How much faster cache-local cids are than plain ones";
    let mut out = picture(width, bottom + 56.0, title, source);
    let most = TABLE.iter().map(|r| r.gain).chain(simulated.iter().copied()).fold(1.0, f64::max);
    let x = Scale { log: true, from: (0.9, most * 1.1), to: (NAMES, width - 60.0) };
    for tick in [1.0, 2.0, 5.0, 10.0, 20.0, 50.0].into_iter().filter(|t| *t <= most * 1.1) {
        line(&mut out, (x.at(tick), top), (x.at(tick), bottom), "grid");
        text(&mut out, x.at(tick), bottom + 16.0, "axis mid", &format!("{tick}×"));
    }
    for (slot, name, left) in [(1, "published", NAMES), (0, "simulated", NAMES + 110.0)] {
        let _ = write!(out, "<g class=\"series s{slot}\">");
        marker(&mut out, slot, left, 60.0, 4.0);
        text(&mut out, left + 9.0, 64.0, "name", name);
        out.push_str("</g>");
    }
    for (n, (row, gain)) in TABLE.iter().zip(simulated).enumerate() {
        let y = top + step * n as f64;
        text(&mut out, MARGIN, y + 15.0, "", row.placement.name());
        text(&mut out, MARGIN, y + 30.0, "axis", &format!("{} ms apart", row.delay_ms));
        for (slot, value, dy) in [(1, row.gain, 5.0), (0, *gain, 20.0)] {
            let _ = write!(
                out,
                "<g class=\"series s{slot}\"><rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" \
                 width=\"{:.1}\" height=\"12\" rx=\"1.5\"/>",
                x.at(0.9),
                y + dy,
                (x.at(value) - x.at(0.9)).max(0.0)
            );
            text(&mut out, x.at(value) + 6.0, y + dy + 10.0, "value", &ratio(value));
            out.push_str("</g>");
        }
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::super::growth::{Load, simulate};
    use super::super::machine::Machine;
    use super::*;

    fn sweep() -> Sweep {
        let machine = Machine { sockets: 2, l3s: 1, cores: 4, threads: 1 };
        let point = |threads| {
            let load = Load { watch_ms: 50.0, ..Load::server(threads) };
            (threads, simulate(machine, &load))
        };
        Sweep { cpus: 8, nodes: 2, points: [10, 100].map(point).to_vec() }
    }

    /// Every tag that is opened is closed, in order.
    fn balanced(svg: &str) -> bool {
        let mut open: Vec<&str> = Vec::new();
        for tag in svg.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
            let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or("");
            match (tag.starts_with('/'), tag.ends_with('/')) {
                (true, _) if open.pop() != Some(name) => return false,
                (false, false) => open.push(name),
                _ => {}
            }
        }
        open.is_empty()
    }

    #[test]
    fn plots_are_whole_and_free_of_what_is_no_number() {
        let (sweep, cells) = (sweep(), [[300.0, 5000.0, 310.0]; TABLE.len()]);
        let plots = [
            shards(&[sweep], "s"),
            memory(&[self::sweep()], 300.0, "s"),
            arenas(&self::sweep(), "s"),
            bursts(&cells, "s"),
            gains(&[16.0; TABLE.len()], "s"),
        ];
        for plot in &plots {
            assert!(plot.starts_with("<svg xmlns") && balanced(plot), "{plot}");
            assert!(!plot.contains("NaN") && !plot.contains("inf"));
        }
        assert!(Sharding::ALL.iter().all(|s| plots[0].contains(s.name())));
        assert!(TABLE.iter().all(|r| plots[3].contains(r.placement.name())));
    }
}

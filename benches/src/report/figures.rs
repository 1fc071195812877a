//! Pictures that stand alone, as for a README: SVG files with their own colours, light and
//! dark, on a background of their own, since nobody knows the page around them.

use core::fmt::Write;

use super::derive::{self, Table};
use super::number::{escape, ratio};
use super::palette::{STEPS, step, step_name};
use super::svg::{Cast, picture, text};
use super::{Measure, bars, facts, scatter};
use crate::results::Results;
use crate::stats::geometric_mean;

/// Opens a picture of these results.
fn open(width: f64, height: f64, title: &str, results: &Results) -> String {
    let run = &results.run;
    let source = format!(
        "{}, {} CPUs, Linux {}; {}; {}",
        run.cpu,
        run.cpus,
        run.kernel,
        facts::commit(results),
        run.date.split('T').next().unwrap_or_default()
    );
    picture(width, height, title, &source)
}

/// Geometric means of a table's ratios by family: its name, and one for each allocator.
fn by_family<'a>(results: &'a Results, table: &Table) -> Vec<(&'a str, Vec<Option<f64>>)> {
    let mut families: Vec<(&str, Vec<Vec<f64>>)> = Vec::new();
    for row in &table.rows {
        let family = results.workloads[row.workload].family.as_str();
        let at = families.iter().position(|(known, _)| *known == family).unwrap_or_else(|| {
            families.push((family, vec![Vec::new(); results.allocators.len()]));
            families.len() - 1
        });
        for (ratios, figure) in families[at].1.iter_mut().zip(&row.figures) {
            ratios.extend(figure.as_ref().and_then(|f| f.ratio).map(|r| r.median));
        }
    }
    let mean = |r: Vec<f64>| geometric_mean(r);
    families.into_iter().map(|(f, all)| (f, all.into_iter().map(mean).collect())).collect()
}

const ROW: f64 = 21.0;
const NAMES: f64 = 128.0;
const HEAD: f64 = 158.0;

/// The heat map by family of workloads, time and memory side by side.
#[must_use]
pub fn svg_overview(results: &Results) -> String {
    let cast = Cast::new(results);
    let [time, memory] = [Measure::Time, Measure::Memory].map(|m| derive::table(results, m));
    let maps = [by_family(results, &time), by_family(results, &memory)];
    let mut families: Vec<&str> = Vec::new();
    for (family, _) in maps.iter().flatten() {
        if !families.contains(family) {
            families.push(family);
        }
    }
    let columns = cast.present.len().max(1) as f64;
    let column = (342.0 / columns).clamp(34.0, 64.0);
    let block = column * columns;
    let width = (20.0 + NAMES + block + 26.0 + block + 20.0).max(560.0);
    let bottom = HEAD + ROW * (families.len() as f64 + 1.0) + 6.0;
    let mut out = open(width, bottom + 72.0, "Ratio to the best, by family of workloads", results);
    for (n, (title, table)) in [("Time", &time), ("Memory", &memory)].into_iter().enumerate() {
        let left = 20.0 + NAMES + n as f64 * (block + 26.0);
        let _ = write!(out, "<g font-weight=\"700\">");
        text(&mut out, left, 58.0, "", title);
        out.push_str("</g>");
        for (c, &i) in cast.present.iter().enumerate() {
            let x = left + column * (c as f64 + 0.5) + 4.0;
            let _ = write!(
                out,
                "<g class=\"{}\"><text class=\"name\" transform=\"translate({x:.1} {:.1}) rotate(-90)\">{}</text></g>",
                cast.class(i),
                HEAD - 8.0,
                cast.names[i]
            );
            let mean = table.means[i].map(|m| m.value.median);
            cell(&mut out, (left + column * c as f64, HEAD), column, mean, true);
            for (r, family) in families.iter().enumerate() {
                let y = HEAD + 6.0 + ROW * (r as f64 + 1.0);
                // Some families have memory alone.
                let Some((_, means)) = maps[n].iter().find(|(f, _)| f == family) else { continue };
                cell(&mut out, (left + column * c as f64, y), column, means[i], false);
            }
        }
    }
    text(&mut out, 20.0, HEAD + 15.0, "", "all workloads");
    for (r, family) in families.iter().enumerate() {
        let y = HEAD + 6.0 + ROW * (r as f64 + 1.0) + 14.5;
        text(&mut out, 20.0, y, "", &escape(family));
    }
    for s in 0..=STEPS.len() {
        let x = 20.0 + NAMES + 52.0 * s as f64;
        let _ = write!(
            out,
            "<g class=\"h{s}\"><rect x=\"{x:.1}\" y=\"{:.1}\" width=\"51\" height=\"18\"/>",
            bottom + 16.0
        );
        text(&mut out, x + 25.5, bottom + 29.0, "mid", &escape(&step_name(s)));
        out.push_str("</g>");
    }
    out.push_str("</svg>\n");
    out
}

fn cell(out: &mut String, at: (f64, f64), width: f64, mean: Option<f64>, bold: bool) {
    let (x, y) = at;
    let (class, content) = match mean {
        Some(mean) => (format!("h{}", step(mean)), ratio(mean)),
        None => ("absent".to_owned(), String::new()),
    };
    let weight = if bold { " font-weight=\"700\"" } else { "" };
    let shape = if mean.is_some() { "" } else { " class=\"none\"" };
    let _ = write!(
        out,
        "<g class=\"{class}\"{weight}><rect{shape} x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
        x + 0.5,
        y + 0.5,
        width - 1.0,
        ROW - 1.0
    );
    text(out, x + width / 2.0, y + 14.5, "mid", &content);
    out.push_str("</g>");
}

/// Time against memory, geometric means.
#[must_use]
pub fn svg_scatter(results: &Results) -> String {
    let [time, memory] = [Measure::Time, Measure::Memory].map(|m| derive::table(results, m));
    let (width, height) = (scatter::WIDTH + 40.0, scatter::HEIGHT + 96.0);
    let mut out = open(width, height, "Time against memory: lower left is best", results);
    let _ = writeln!(
        out,
        "<g transform=\"translate(20 48)\">{}</g></svg>",
        scatter::content(&time, &memory, &Cast::new(results))
    );
    out
}

/// Geometric means of time and of memory as bars, side by side.
#[must_use]
pub fn svg_means(results: &Results) -> String {
    let cast = Cast::new(results);
    let [time, memory] = [Measure::Time, Measure::Memory].map(|m| derive::table(results, m));
    let inner = bars::height(&time, &cast).max(bars::height(&memory, &cast));
    let title = "Geometric mean of the ratios to the best";
    let mut out = open(2.0 * bars::WIDTH + 70.0, inner + 112.0, title, results);
    for (n, (name, table)) in [("Time", &time), ("Memory", &memory)].into_iter().enumerate() {
        let left = 20.0 + n as f64 * (bars::WIDTH + 30.0);
        let more = format!("{name}, {} workloads", table.rows.len());
        let _ = write!(out, "<g transform=\"translate({left} 66)\">");
        text(&mut out, 0.0, -8.0, "", &more);
        let _ = write!(out, "{}</g>", bars::content(table, &cast));
    }
    out.push_str("</svg>\n");
    out
}

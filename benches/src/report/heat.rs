//! The heat map: a row for each workload, a column for each allocator, ratios to the best.

use core::fmt::Write;

use super::Measure;
use super::derive::{self, Figure, Table};
use super::number::{escape, kib, nanoseconds, range, ratio};
use super::palette::{STEPS, step, step_name};
use super::svg::Cast;
use crate::results::{Metric, Results};

/// A figure of this measure with its unit.
pub(crate) fn with_unit(measure: Measure, metric: Metric, value: f64) -> String {
    match (measure, metric) {
        (Measure::Memory | Measure::End, _) => kib(value),
        (_, Metric::Seconds) => nanoseconds(value * 1e9),
        _ => nanoseconds(value),
    }
}

fn tip(results: &Results, table: &Table, workload: usize, name: &str, figure: &Figure) -> String {
    let metric = results.workloads[workload].metric;
    let number = |v| with_unit(table.measure, metric, v);
    let mut tip =
        format!("{name}, {}: {}", results.workloads[workload].name, number(figure.value.median));
    let spread = range(figure.value, number);
    if !spread.is_empty() {
        let _ = write!(tip, " ({spread})");
    }
    if let Some(r) = figure.ratio {
        let _ = write!(tip, ", {}× the best", ratio(r.median));
        let spread = range(r, ratio);
        if !spread.is_empty() {
            let _ = write!(tip, " ({spread})");
        }
    }
    if figure.disturbed {
        tip.push_str("; disturbed by other load");
    }
    tip
}

fn cell(
    out: &mut String,
    results: &Results,
    table: &Table,
    workload: usize,
    i: usize,
    figure: Option<&Figure>,
) {
    let name = &results.allocators[i].name;
    let _ = match figure {
        Some(figure) => {
            let tip = escape(&tip(results, table, workload, name, figure));
            let mark = if figure.disturbed { "~" } else { "" };
            match figure.ratio {
                Some(r) => write!(
                    out,
                    "<td class=\"h{}\" data-v=\"{:.4}\" title=\"{tip}\">{mark}{}</td>",
                    step(r.median),
                    r.median,
                    ratio(r.median)
                ),
                None => write!(out, "<td title=\"{tip}\">·</td>"),
            }
        }
        None if derive::failure(results, workload, i).is_some() => {
            let tip = escape(&format!("{name} failed; see below"));
            write!(out, "<td class=\"failed\" title=\"{tip}\">fail</td>")
        }
        None => write!(out, "<td class=\"nothing\">–</td>"),
    };
}

/// As an HTML table; `title` stands above it.
pub(crate) fn html(results: &Results, table: &Table, cast: &Cast, title: &str) -> String {
    let mut out = format!(
        "<div class=\"heat\" style=\"--n:{}\"><h3>{title}</h3><table class=\"sortable\"><thead><tr>\
         <th scope=\"col\" class=\"corner\"><span class=\"sr\">workload</span></th>",
        cast.present.len()
    );
    for &i in &cast.present {
        let _ = write!(
            out,
            "<th scope=\"col\" class=\"{}\" data-a=\"{i}\"><span>{}</span></th>",
            cast.class(i),
            cast.names[i]
        );
    }
    out.push_str("</tr></thead><tbody class=\"fixed\"><tr class=\"mean\"><th scope=\"row\">geometric mean</th>");
    for &i in &cast.present {
        let _ = match table.means[i] {
            Some(mean) => write!(
                out,
                "<td class=\"h{}\" title=\"{} rows; {:.3} to {:.3} over the rounds\">{}</td>",
                step(mean.value.median),
                mean.rows,
                mean.value.min,
                mean.value.max,
                ratio(mean.value.median)
            ),
            None => write!(out, "<td class=\"nothing\">–</td>"),
        };
    }
    out.push_str("</tr></tbody><tbody>");
    let mut family = "";
    for row in &table.rows {
        let workload = &results.workloads[row.workload];
        let first = if workload.family == family { "" } else { " class=\"first\"" };
        family = &workload.family;
        let _ = write!(
            out,
            "<tr{first}><th scope=\"row\"><a href=\"#w{}\">{}</a></th>",
            row.workload,
            escape(&workload.name)
        );
        for &i in &cast.present {
            cell(&mut out, results, table, row.workload, i, row.figures[i].as_ref());
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
    out
}

/// What the colours stand for.
pub(crate) fn legend() -> String {
    let mut out = String::from("<p class=\"steps\"><span>ratio to the best</span>");
    for i in 0..=STEPS.len() {
        let _ = write!(out, "<span class=\"step h{i}\">{}</span>", step_name(i));
    }
    out.push_str("</p>");
    out
}

//! Every figure with its spread: a table for each workload, to be opened.

use core::fmt::Write;

use super::derive::{self, Figure, Row, Table};
use super::heat::with_unit;
use super::number::{count, escape, kib, nanoseconds, range, ratio};
use super::svg::Cast;
use crate::results::{Cell, LatencyCell, Metric, Op, Results, Sample};
use crate::stats::{Spread, spread};

/// Heading, figure of a sample, its text.
type Column = (&'static str, fn(&Sample) -> f64, fn(f64) -> String);

const OPERATIONS: Column = ("ops/s", |s| if s.value > 0.0 { 1e9 / s.value } else { 0.0 }, count);

const TIMED: [Column; 8] = [
    ("user", |s| s.user_ns, nanoseconds),
    ("system", |s| s.sys_ns, nanoseconds),
    ("peak RSS", |s| s.peak_kib as f64, kib),
    ("RSS at end", |s| s.end_kib as f64, kib),
    ("minor faults", |s| s.minflt as f64, count),
    ("major", |s| s.majflt as f64, count),
    ("waits", |s| s.vcsw as f64, count),
    ("preempted", |s| s.icsw as f64, count),
];

fn columns(metric: Metric) -> Vec<Column> {
    match metric {
        Metric::Nanoseconds => [OPERATIONS].into_iter().chain(TIMED).collect(),
        Metric::Seconds => TIMED.into_iter().filter(|c| c.0 != "RSS at end").collect(),
        Metric::Kib => TIMED[2..3].iter().chain(&TIMED[4..6]).copied().collect(),
    }
}

fn figure(out: &mut String, value: Spread, number: impl Fn(f64) -> String + Copy) {
    let _ = write!(out, "<td data-v=\"{:.4}\">{}", value.median, number(value.median));
    let spread = range(value, number);
    if !spread.is_empty() {
        let _ = write!(out, "<small>{spread}</small>");
    }
    out.push_str("</td>");
}

fn name(out: &mut String, cast: &Cast, i: usize) {
    let _ = write!(
        out,
        "<tr><th scope=\"row\" class=\"{}\" data-a=\"{i}\"><i class=\"dot\"></i>{}</th>",
        cast.class(i),
        cast.names[i]
    );
}

fn head(out: &mut String, headings: &[&str]) {
    out.push_str("<div class=\"scroll\"><table class=\"figures sortable\"><thead><tr><th scope=\"col\">allocator</th>");
    for heading in headings {
        let _ = write!(out, "<th scope=\"col\">{heading}</th>");
    }
    out.push_str("</tr></thead><tbody>");
}

fn table(out: &mut String, results: &Results, cast: &Cast, table: &Table, row: &Row) {
    let metric = results.workloads[row.workload].metric;
    let columns = columns(metric);
    let measured = if metric == Metric::Kib { "resident" } else { "wall" };
    let headings: Vec<_> =
        [measured, "to the best"].into_iter().chain(columns.iter().map(|c| c.0)).collect();
    head(out, &headings);
    for &i in &cast.present {
        let cell = |c: &&Cell| c.workload == row.workload && c.allocator == i;
        let (Some(own), Some(cell)) = (&row.figures[i], results.cells.iter().find(cell)) else {
            if let Some(f) = derive::failure(results, row.workload, i) {
                name(out, cast, i);
                let _ = write!(
                    out,
                    "<td class=\"why\" colspan=\"{}\">failed: {}</td></tr>",
                    headings.len(),
                    escape(&f.why)
                );
            }
            continue;
        };
        name(out, cast, i);
        figure(out, own.value, |v| with_unit(table.measure, metric, v));
        match own.ratio {
            Some(r) => figure(out, r, |v| ratio(v) + "×"),
            None => out.push_str("<td>·</td>"),
        }
        for (_, of, number) in &columns {
            figure(out, spread(cell.samples.iter().map(of)).unwrap_or_default(), number);
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
}

fn latency(out: &mut String, cast: &Cast, cells: &[&LatencyCell], op: Op) {
    let mut own = cells.iter().filter(|c| c.op == op).peekable();
    let Some(first) = own.peek() else { return };
    let _ = write!(
        out,
        "<h4>Latency of one {} <small>including the clock's {}</small></h4>",
        op.word(),
        nanoseconds(first.clock_ns)
    );
    head(out, &["p50", "p90", "p99", "p99.9", "max", "calls"]);
    for cell in own {
        name(out, cast, cell.allocator);
        for value in [cell.p50, cell.p90, cell.p99, cell.p999, cell.max] {
            figure(out, value, nanoseconds);
        }
        let _ = write!(out, "<td data-v=\"{}\">{}</td></tr>", cell.n, count(cell.n as f64));
    }
    out.push_str("</tbody></table></div>");
}

/// The line that is seen while the table is closed.
fn summary(out: &mut String, results: &Results, cast: &Cast, table: &Table, row: &Row) {
    let metric = results.workloads[row.workload].metric;
    let median = |f: &Figure| f.ratio.map_or(f64::INFINITY, |r| r.median);
    let best = (row.figures.iter().enumerate())
        .filter_map(|(i, f)| Some((i, f.as_ref()?)))
        .min_by(|a, b| median(a.1).total_cmp(&median(b.1)));
    if let Some((i, f)) = best {
        let value = with_unit(table.measure, metric, f.value.median);
        let _ = write!(out, "<span class=\"best\">best: {} {value}</span>", cast.names[i]);
    }
    let ours = cast.ours.and_then(|i| row.figures[i].as_ref()?.ratio);
    if let (Some(r), Some(i)) = (ours, cast.ours) {
        let step = super::palette::step(r.median);
        let _ = write!(
            out,
            "<span class=\"mine\">{} <b class=\"h{step}\">{}×</b></span>",
            cast.names[i],
            ratio(r.median)
        );
    }
}

/// All workloads, each closed.
pub(crate) fn html(results: &Results, cast: &Cast, time: &Table, memory: &Table) -> String {
    let mut out = String::new();
    for (index, workload) in results.workloads.iter().enumerate() {
        let source = if workload.metric == Metric::Kib { memory } else { time };
        let row = source.rows.iter().find(|row| row.workload == index);
        let cells: Vec<_> = results.latencies.iter().filter(|c| c.workload == index).collect();
        let _ =
            write!(out, "<details><summary><span class=\"what\">{}</span>", escape(&workload.name));
        if let Some(row) = row {
            summary(&mut out, results, cast, source, row);
        }
        // The anchor lies inside, so that browsers open what it belongs to.
        let _ = write!(
            out,
            "</summary><div class=\"inside\" id=\"w{index}\"><p>{} <span class=\"soft\">{}</span></p>",
            escape(&workload.about),
            facts(results, index)
        );
        if let Some(row) = row {
            table(&mut out, results, cast, source, row);
        }
        for op in [Op::Malloc, Op::Free] {
            latency(&mut out, cast, &cells, op);
        }
        if row.is_none() && cells.is_empty() {
            for f in results.failures.iter().filter(|f| f.workload == index) {
                let name = &cast.names[f.allocator];
                let _ = write!(out, "<p>{name} failed: {}</p>", escape(&f.why));
            }
        }
        out.push_str("</div></details>");
    }
    out
}

/// Threads, operations and what was asked for.
fn facts(results: &Results, index: usize) -> String {
    let workload = &results.workloads[index];
    let mut facts = vec![match workload.threads {
        1 => "1 thread".to_owned(),
        n => format!("{n} threads"),
    }];
    if workload.ops > 0 {
        facts.push(format!("{} operations", count(workload.ops as f64)));
    }
    let samples = results.cells.iter().filter(|c| c.workload == index).flat_map(|c| &c.samples);
    match samples.map(|s| s.asked_kib).max() {
        Some(asked) if asked > 0 => facts.push(format!("{} asked for", kib(asked as f64))),
        _ => {}
    }
    facts.join(", ") + "."
}

//! The model's results as tables, for the terminal and as Markdown.

use super::caches::Place;
use super::growth::{Growth, Sharding, WIDTHS};
use super::inputs;
use super::intermittent::Cell;
use super::plots::Sweep;
use super::published::{Row, TABLE};
use crate::report::grid::Grid;
use crate::report::number::{kib, ratio};

/// One form of a table.
pub enum Form {
    /// Aligned columns.
    Text,
    /// A section of Markdown.
    Markdown,
}

fn shown(grid: &Grid, form: &Form) -> String {
    match form {
        Form::Text => grid.text(),
        Form::Markdown => grid.markdown(),
    }
}

fn grid(title: &str, header: &[&str], rows: Vec<Vec<String>>, notes: &[&str]) -> Grid {
    Grid {
        title: title.to_owned(),
        header: header.iter().map(|&cell| cell.to_owned()).collect(),
        rows,
        notes: notes.iter().map(|&note| note.to_owned()).collect(),
    }
}

/// A number of nanoseconds, whole.
fn ns(value: f64) -> String {
    format!("{value:.0}")
}

/// What the model was given.
#[must_use]
pub fn inputs(form: &Form) -> String {
    let row = |i: &inputs::Input| {
        let value = format!("{} {}", i.value, i.unit);
        vec![i.name.to_owned(), value.trim_end().to_owned(), i.source.to_owned()]
    };
    let rows = inputs::ALL.iter().map(row).collect();
    shown(&grid("Inputs", &["input", "value", "source"], rows, &[]), form)
}

/// The simulated table beside the published one; `cells` by row of [`TABLE`] and column.
#[must_use]
pub fn cells(cells: &[[Cell; 3]], form: &Form) -> String {
    let header = ["threads", "delay", "per CPU", "", "mm_cid", "", "cache-local", "", "gain", ""];
    let mut rows = vec![
        ["", "", "published", "simulated", "published", "simulated", "published", "simulated"]
            .iter()
            .chain(&["published", "simulated"])
            .map(|&s| s.to_owned())
            .collect::<Vec<_>>(),
    ];
    for (row, [cpu, plain, local]) in TABLE.iter().zip(cells) {
        rows.push(vec![
            row.placement.name().to_owned(),
            format!("{} ms", row.delay_ms),
            ns(row.per_cpu),
            ns(cpu.ns),
            ns(row.plain),
            ns(plain.ns),
            ns(row.cache_local),
            ns(local.ns),
            format!("{}×", row.gain),
            format!("{}×", ratio(plain.ns / local.ns)),
        ]);
    }
    let title = "Bursts over 16 KiB on two EPYC 9654, in nanoseconds";
    shown(&grid(title, &header, rows, &[]), form)
}

/// Where the lines were found when areas were indexed by plain cids.
#[must_use]
pub fn places(cells: &[[Cell; 3]], form: &Form) -> String {
    let mut header = vec!["threads", "delay", "areas"];
    header.extend(Place::ALL.map(Place::name));
    let row = |(row, cells): (&Row, &[Cell; 3])| {
        let plain = &cells[1];
        let mut out = vec![
            row.placement.name().to_owned(),
            format!("{} ms", row.delay_ms),
            plain.areas.to_string(),
        ];
        out.extend(Place::ALL.map(|p| format!("{:.1} %", plain.share(p) * 100.0)));
        out
    };
    let rows = TABLE.iter().zip(cells).map(row).collect();
    shown(&grid("Where plain cids' lines were found", &header, rows, &[]), form)
}

/// Gains by how many lines are in flight.
#[must_use]
pub fn sensitivity(in_flight: &[f64], gains: &[Vec<f64>], form: &Form) -> String {
    let mut header = vec!["threads".to_owned(), "delay".to_owned(), "published".to_owned()];
    header.extend(in_flight.iter().map(|n| format!("{n} in flight")));
    let mut rows = Vec::new();
    for (n, row) in TABLE.iter().enumerate() {
        let mut out = vec![
            row.placement.name().to_owned(),
            format!("{} ms", row.delay_ms),
            format!("{}×", row.gain),
        ];
        out.extend(gains.iter().map(|gains| format!("{}×", ratio(gains[n]))));
        rows.push(out);
    }
    let title = "Gain by the number of lines in flight".to_owned();
    shown(&Grid { title, header, rows, notes: Vec::new() }, form)
}

/// Shards, and the memory of as many, for each number of CPUs and threads.
#[must_use]
pub fn growth(sweeps: &[Sweep], shard_kib: f64, form: &Form) -> String {
    let mut header = vec!["CPUs", "threads", "run at once"];
    header.extend(Sharding::ALL.map(Sharding::name));
    let mut rows = Vec::new();
    for sweep in sweeps {
        for (threads, Growth { peak, shards, .. }) in &sweep.points {
            let mut row = vec![sweep.cpus.to_string(), threads.to_string(), peak.to_string()];
            let cell = |n: usize| format!("{n} · {}", kib(n as f64 * shard_kib));
            row.extend(shards.map(cell));
            rows.push(row);
        }
    }
    let title = format!("Shards, and their memory at {} each", kib(shard_kib));
    shown(&grid(&title, &header, rows, &[]), form)
}

/// Arenas of one machine, by threads and by how many cids share one.
#[must_use]
pub fn arenas(sweep: &Sweep, form: &Form) -> String {
    let kinds = [2, 4, 5];
    let mut header = vec!["threads".to_owned()];
    for kind in kinds {
        let name = Sharding::ALL[kind].name();
        header.extend(WIDTHS.map(|width| format!("{name} /{width}")));
    }
    let row = |(threads, growth): &(usize, Growth)| {
        let counts = kinds.iter().flat_map(|kind| growth.arenas[*kind]);
        core::iter::once(*threads).chain(counts).map(|n| n.to_string()).collect()
    };
    let rows = sweep.points.iter().map(row).collect();
    let title = format!("Arenas on {} CPUs, by how many cids share one", sweep.cpus);
    shown(&Grid { title, header, rows, notes: Vec::new() }, form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cell_stands_beside_the_published_one() {
        let cell = |ns| Cell { ns, shares: [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], areas: 3 };
        let results: Vec<_> =
            TABLE.iter().map(|_| [cell(400.0), cell(999.0), cell(333.0)]).collect();
        let text = cells(&results, &Form::Markdown);
        for row in TABLE {
            let found = text.lines().any(|line| {
                let shown = format!("{:.0}", row.plain);
                line.contains(row.placement.name()) && line.contains(&shown) && line.contains("999")
            });
            assert!(found, "{row:?} in {text}");
        }
        assert_eq!(text.matches("3.00×").count(), TABLE.len());
        assert!(places(&results, &Form::Text).contains("100.0 %"));
    }
}

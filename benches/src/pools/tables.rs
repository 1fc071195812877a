//! The results as tables, for the terminal and as Markdown.

use super::memory::Footprint;
use super::samples::{Group, Results};
use super::summary::{Summary, Who};
use crate::report::grid::Grid;
use crate::report::number::{kib, plain, range, ratio};
use crate::stats::Spread;

/// One form of a table.
#[derive(Clone, Copy)]
pub enum Form {
    /// Aligned columns.
    Text,
    /// A section of Markdown.
    Markdown,
}

impl Form {
    fn of(self, grid: &Grid) -> String {
        match self {
            Self::Text => grid.text(),
            Self::Markdown => grid.markdown(),
        }
    }
}

/// What was published for restartable sequences, in one thread: nanoseconds with `getcpu` and an
/// atomic, and with a sequence.
const PUBLISHED: &str = "published with Linux 4.18's rseq(2), for one thread on an Intel E5-2630 v3: \
    15.3 ns by getcpu and an atomic, 2.0 ns by a sequence";

fn name(who: Who<'_>) -> String {
    match who.source {
        Some(source) => format!("**{}**, {source} cids", who.contender),
        None => who.contender.to_owned(),
    }
}

/// `6.03 (5.98–6.20)`.
fn shown(cell: Option<Spread>, number: impl Fn(f64) -> String) -> String {
    let Some(spread) = cell else { return "–".to_owned() };
    match range(spread, &number) {
        range if range.is_empty() => number(spread.median),
        range => format!("{} ({range})", number(spread.median)),
    }
}

fn grid(summary: Summary<'_>, title: String, cell: impl Fn(Who<'_>, usize) -> String) -> Grid {
    let threads = summary.threads();
    let mut header = vec![String::new()];
    header.extend(threads.iter().map(|threads| match threads {
        1 => "1 thread".to_owned(),
        threads => format!("{threads} threads"),
    }));
    let row = |who: &Who<'_>| {
        let cells = threads.iter().map(|threads| cell(*who, *threads));
        core::iter::once(name(*who)).chain(cells).collect()
    };
    Grid { title, header, rows: summary.rows().iter().map(row).collect(), notes: Vec::new() }
}

/// What an operation of `group` costs, and each row as a multiple of what ratios are of: the first
/// contender with cids that has some, on the best source.
#[must_use]
pub fn costs(results: &Results, group: Group, form: Form) -> String {
    let summary = Summary::new(group, results);
    let title = format!("{}: nanoseconds", group.title());
    let mut out = grid(summary, title, |who, threads| shown(summary.cost(who, threads), plain));
    if group == Group::Counter {
        out.notes.push(PUBLISHED.to_owned());
    }
    let mut text = form.of(&out);
    if let Some(base) = summary.rows().into_iter().find(|who| who.source.is_some()) {
        let title = format!("{}: multiples of {}", group.title(), name(base));
        let multiples =
            grid(summary, title, |who, threads| shown(summary.ratio(who, base, threads), ratio));
        text.push_str(&form.of(&multiples));
    }
    // Emphasis is Markdown's.
    match form {
        Form::Text => text.replace("**", ""),
        Form::Markdown => text,
    }
}

/// What sets of counters take.
#[must_use]
pub fn memory(footprints: &[Footprint], form: Form) -> String {
    let cells = ["sets kept", "threads", "resident before", "with the sets", "the sets"];
    let row = |f: &Footprint| {
        let kib = |value: u64| kib(value as f64);
        let (before, after, sets) = (kib(f.before_kib), kib(f.after_kib), kib(f.sets_kib()));
        vec![f.way.name().to_owned(), f.threads.to_string(), before, after, sets]
    };
    form.of(&Grid {
        title: "Sets of 512 counters: resident memory".to_owned(),
        header: cells.map(str::to_owned).to_vec(),
        rows: footprints.iter().map(row).collect(),
        notes: Vec::new(),
    })
}

/// Where it was measured, and how.
#[must_use]
pub fn heading(results: &Results) -> String {
    let mut text = format!(
        "{} CPUs ({}), Linux {}; {} rounds of {} ms for each contender; median (min–max) of the \
         rounds, {}\n",
        results.cpus,
        results.cpu,
        results.kernel,
        results.rounds,
        results.interval_ms,
        if results.by_cpu_time { "CPU time" } else { "wall time" }
    );
    text.extend(results.absent.iter().map(|why| format!("absent: {why}\n")));
    text
}

#[cfg(test)]
mod tests {
    use super::super::memory::Way;
    use super::super::samples::Sample;
    use super::*;

    #[test]
    fn a_table_has_a_row_for_each_source_and_a_dash_where_nothing_was_measured() {
        let sample = |contender: &str, source: Option<&str>, threads, wall_ns| Sample {
            group: Group::List,
            contender: contender.to_owned(),
            source: source.map(str::to_owned),
            threads,
            round: 0,
            wall_ns,
            cpu_ns: wall_ns,
        };
        let samples = vec![
            sample("mutex", None, 1, 20.0),
            sample("mutex", None, 2, 80.0),
            sample("list", Some("kernel"), 2, 10.0),
        ];
        let results = Results { samples, ..Results::default() };
        let text = costs(&results, Group::List, Form::Text);
        let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap();
        assert!(line("list, kernel cids").contains('–'), "{text}");
        assert!(line("mutex").contains("80.00") && text.contains("8.00"), "{text}");
        assert!(costs(&results, Group::List, Form::Markdown).contains("| **list**, kernel cids"));
    }

    #[test]
    fn sets_take_what_is_resident_more_than_before() {
        let (before_kib, after_kib) = (1024, 2048);
        let footprint = Footprint { way: Way::Cid, threads: 10_000, before_kib, after_kib };
        let text = memory(&[footprint], Form::Text);
        assert!(text.contains("per cid") && text.ends_with("1.00\u{202f}MiB\n"), "{text}");
    }
}

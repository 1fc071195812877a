//! The report as one HTML file that needs nothing else.
//!
//! ```text
//!   header    what, where, and the answer in four numbers
//!   overview  means as bars, time against memory
//!   heat      every workload and allocator: time │ memory
//!   lines     memory over time, latency, threads
//!   figures   each one with its spread, to be opened
//!   method    allocators, machine, noise, command
//! ```
//!
//! The page is complete without its script, which adds sorting and highlighting.

use core::fmt::Write;

use super::charts::{self, Captioned};
use super::derive::{self, Standing, Table};
use super::number::{count, escape, kib, ratio};
use super::svg::{Cast, line, marker};
use super::{Measure, bars, details, facts, heat, palette, scatter};
use crate::results::Results;

/// What all parts of the page are drawn from.
struct Page<'a> {
    results: &'a Results,
    cast: Cast,
    time: Table,
    memory: Table,
}

/// The whole report as one file.
#[must_use]
pub fn html(results: &Results) -> String {
    let page = Page {
        results,
        cast: Cast::new(results),
        time: derive::table(results, Measure::Time),
        memory: derive::table(results, Measure::Memory),
    };
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>cidalloc: {}</title>\n<style>\n{}{}{}</style>\n</head>\n<body>\n<main>\n",
        page.title(),
        palette::css(),
        include_str!("chart.css"),
        include_str!("page.css")
    );
    page.header(&mut out);
    page.overview(&mut out);
    page.heat(&mut out);
    page.lines(&mut out);
    page.figures(&mut out);
    page.method(&mut out);
    let _ =
        write!(out, "</main>\n<script>\n{}</script>\n</body>\n</html>\n", include_str!("page.js"));
    out
}

/// A number as it begins a sentence.
fn words(n: usize) -> String {
    const WORDS: [&str; 13] = [
        "No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten",
        "Eleven", "Twelve",
    ];
    WORDS.get(n).map_or_else(|| n.to_string(), |word| (*word).to_owned())
}

fn plural(n: usize, thing: &str) -> String {
    format!("{thing}{}", if n == 1 { "" } else { "s" })
}

impl Page<'_> {
    fn title(&self) -> String {
        let (allocators, workloads) = (self.cast.present.len(), self.results.workloads.len());
        format!(
            "{} {}, {workloads} {}",
            words(allocators),
            plural(allocators, "allocator"),
            plural(workloads, "workload")
        )
    }

    fn header(&self, out: &mut String) {
        let run = &self.results.run;
        let day = run.date.split('T').next().unwrap_or_default();
        let _ = write!(
            out,
            "<header><p class=\"kicker\">cidalloc · the comparison · {}</p><h1>{}</h1>",
            escape(day),
            self.title()
        );
        let standings = [&self.time, &self.memory].map(|t| derive::standing(self.results, t));
        self.lead(out, &standings);
        self.tiles(out, &standings);
        self.alerts(out);
        let facts = [
            ("Processor", format!("{}, {} CPUs", run.cpu, run.cpus)),
            ("Kernel, C library", format!("Linux {}, {}", run.kernel, run.libc)),
            ("Concurrency ids", run.cid_source.clone()),
            ("Measured", format!("{} at scale {}", facts::rounds(run.rounds), run.scale)),
            ("Version", facts::commit(self.results)),
        ];
        self.facts(out, &facts);
        let _ = write!(out, "<pre>{}</pre></header>", escape(&run.command));
    }

    fn facts(&self, out: &mut String, facts: &[(&str, String)]) {
        out.push_str("<dl class=\"facts\">");
        for (name, value) in facts {
            let _ = write!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(value));
        }
        out.push_str("</dl>");
    }

    fn lead(&self, out: &mut String, standings: &[Option<Standing>; 2]) {
        out.push_str("<p class=\"lead\">The same workloads, each in a process of its own, in turn with every allocator. ");
        if let Some(time) = &standings[0]
            && let Some((peer, mean)) = time.best_single
        {
            let _ = write!(
                out,
                "Over {} timed workloads <span class=\"accent\">{}</span> takes {}× the time of {}, \
                 the strongest single peer",
                time.rows,
                self.cast.names[time.ours],
                ratio(mean),
                self.cast.names[peer]
            );
            if let Some(memory) = &standings[1]
                && let Some((peer, mean)) = memory.best_single
            {
                let _ = write!(
                    out,
                    ", and over {} memory figures {}× the memory of {}",
                    memory.rows,
                    ratio(mean),
                    self.cast.names[peer]
                );
            }
            out.push_str(". ");
            if let Some((worst, factor)) = time.behind.first() {
                let _ = write!(
                    out,
                    "Some peer is faster in {} of them, in {} by a factor of {}.",
                    time.behind.len(),
                    escape(&self.results.workloads[*worst].name),
                    ratio(*factor)
                );
            }
        }
        out.push_str("</p>");
    }

    fn tiles(&self, out: &mut String, standings: &[Option<Standing>; 2]) {
        let mut tiles = Vec::new();
        for (standing, what) in standings.iter().zip(["time", "memory"]) {
            let Some(s) = standing else { continue };
            tiles.push((
                format!("{}×", ratio(s.to_best_of_each)),
                format!("the {what} of the best peer of each workload, geometric mean"),
            ));
            tiles.push((
                format!("{} of {}", s.level, s.rows),
                match what {
                    "time" => "timed workloads in which no peer is faster".to_owned(),
                    _ => "workloads in which no peer uses less memory".to_owned(),
                },
            ));
        }
        if tiles.is_empty() {
            return;
        }
        out.push_str("<dl class=\"tiles\">");
        for (value, name) in tiles {
            let _ = write!(out, "<div><dd>{value}</dd><dt>{name}</dt></div>");
        }
        out.push_str("</dl>");
    }

    /// What is not there, and what should not be overlooked.
    fn alerts(&self, out: &mut String) {
        let run = &self.results.run;
        let mut alerts = Vec::new();
        if run.interrupted {
            alerts
                .push("The run was ended before its time; rows or rounds are missing.".to_owned());
        }
        if run.rounds == 1 {
            alerts.push("One round only: figures have no spread.".to_owned());
        }
        for a in &self.results.allocators {
            if let Some(why) = &a.absent {
                alerts.push(format!("Absent: <b>{}</b>. {}", escape(&a.name), escape(why)));
            }
        }
        for f in &self.results.failures {
            alerts.push(format!(
                "Failed: <b>{}</b> in <a href=\"#w{}\">{}</a>. {}",
                escape(&self.results.allocators[f.allocator].name),
                f.workload,
                escape(&self.results.workloads[f.workload].name),
                escape(&f.why)
            ));
        }
        if !alerts.is_empty() {
            let _ = write!(
                out,
                "<div class=\"alert\"><ul><li>{}</li></ul></div>",
                alerts.join("</li><li>")
            );
        }
    }

    /// The key to colours and markers.
    fn key(&self, out: &mut String) {
        out.push_str("<ul class=\"cast\">");
        for &i in &self.cast.present {
            let class = self.cast.class(i);
            let _ = write!(
                out,
                "<li class=\"{class}\" data-a=\"{i}\"><svg viewBox=\"0 0 26 12\" aria-hidden=\"true\">"
            );
            line(out, (0.0, 6.0), (26.0, 6.0), "line");
            marker(out, self.cast.slots[i], 13.0, 6.0, 3.5);
            let _ = write!(out, "</svg>{}</li>", self.cast.names[i]);
        }
        out.push_str("</ul>");
    }

    fn overview(&self, out: &mut String) {
        if self.time.rows.is_empty() && self.memory.rows.is_empty() {
            return;
        }
        out.push_str(
            "<section><h2>On the whole</h2><p class=\"text\">For each workload, an allocator's \
             figure over the best one of the same round; the geometric mean of these ratios over \
             all workloads. An allocator that was best everywhere would stand at 1. Thin lines span \
             the means of single rounds.</p><div class=\"grid3\">",
        );
        for (table, name) in [(&self.time, "Time"), (&self.memory, "Memory")] {
            if !table.rows.is_empty() {
                let svg = bars::svg(table, &self.cast, &format!("{name}, geometric means"));
                self.figure(out, name, &format!("{} workloads", table.rows.len()), &svg);
            }
        }
        if !self.time.rows.is_empty() {
            let svg = scatter::svg(&self.time, &self.memory, &self.cast);
            self.figure(out, "Time against memory", "log scales; lower left is best", &svg);
        }
        out.push_str("</div></section>");
    }

    fn figure(&self, out: &mut String, title: &str, more: &str, svg: &str) {
        let _ = write!(
            out,
            "<figure><figcaption><b>{}</b><span>{}</span></figcaption>{svg}</figure>",
            escape(title),
            escape(more)
        );
    }

    fn heat(&self, out: &mut String) {
        if self.memory.rows.is_empty() {
            return;
        }
        out.push_str(
            "<section><h2>Workload by workload</h2><p class=\"text\">Each cell is the median over \
             the rounds of the ratio to the round’s best: 1.00 is the best, 2.00 takes twice as \
             much. Memory is the highest resident set, or the resident set at the moment in \
             question where memory is the workload’s subject. ~ marks runs that other load \
             disturbed. Names lead to the figures.</p>",
        );
        out.push_str(&heat::legend());
        // More columns than this need the whole width of the page.
        let many = if self.cast.present.len() > 10 { " many" } else { "" };
        let _ = write!(out, "<div class=\"pair{many}\">");
        for (table, name) in [(&self.time, "Time"), (&self.memory, "Memory")] {
            if !table.rows.is_empty() {
                out.push_str(&heat::html(self.results, table, &self.cast, name));
            }
        }
        out.push_str("</div></section>");
    }

    fn lines(&self, out: &mut String) {
        let parts: [(&str, &str, Captioned); 3] = [
            (
                "Memory over time",
                "Resident memory of the process, sampled from outside every few milliseconds, in \
                 the first undisturbed round. What falls at the right was given back.",
                charts::timelines(self.results),
            ),
            (
                "Latency of single calls",
                "How long a share of the calls takes at most. To the right lie the rare, slow \
                 calls: refills, flushes, page faults, and preemption by the kernel. Measured in \
                 runs of their own; each figure contains the cost of reading the clock.",
                charts::latencies(self.results),
            ),
            (
                "More threads",
                "Operations per second over all threads, up to many more than there are CPUs. \
                 Thin lines are the spread over the rounds.",
                charts::scaling(self.results, &self.time),
            ),
        ];
        for (title, text, charts) in parts {
            if charts.is_empty() {
                continue;
            }
            let _ = write!(out, "<section><h2>{title}</h2><p class=\"text\">{text}</p>");
            self.key(out);
            out.push_str("<div class=\"grid\">");
            for (name, more, chart) in charts {
                self.figure(out, &name, &more, &chart.svg(&self.cast));
            }
            out.push_str("</div></section>");
        }
    }

    fn figures(&self, out: &mut String) {
        if self.results.workloads.is_empty() {
            return;
        }
        out.push_str(
            "<section><h2>Every figure</h2><p class=\"text\">Medians, and below them the smallest \
             and the largest of the rounds where these differ. Times are per operation over all threads, for programs \
             in all. Waits and preemptions are context switches.</p>",
        );
        out.push_str(&details::html(self.results, &self.cast, &self.time, &self.memory));
        out.push_str("</section>");
    }

    fn method(&self, out: &mut String) {
        let run = &self.results.run;
        out.push_str(
            "<section><h2>How it was measured</h2><p class=\"text\">The workload is the same \
             program for all; the allocator is preloaded. Rounds go through the allocators in a \
             turn that shifts each time, so that drift hits all alike. A run during which others \
             took more of the machine than the limit is made again.</p>\
             <div class=\"scroll\"><table class=\"figures words\"><thead><tr><th scope=\"col\">allocator</th>\
             <th scope=\"col\">version</th><th scope=\"col\">from</th><th scope=\"col\">library</th>\
             <th scope=\"col\">note</th></tr></thead><tbody>",
        );
        for (i, a) in self.results.allocators.iter().enumerate() {
            let note = match &a.absent {
                Some(why) => format!("absent: {why}"),
                None => a.note.clone(),
            };
            let _ = write!(
                out,
                "<tr><th scope=\"row\" class=\"{}\"><i class=\"dot\"></i>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                self.cast.class(i),
                escape(&a.name),
                escape(&a.version),
                facts::origin(a.kind),
                escape(a.path.as_deref().unwrap_or("–")),
                escape(&note)
            );
        }
        out.push_str("</tbody></table></div><h3>The machine</h3>");
        let noise = &run.noise;
        let environment =
            if run.environment.is_empty() { "–".into() } else { run.environment.join(" ") };
        let facts = [
            ("Began", run.date.clone()),
            (
                "Took",
                format!("{:.0} min {:.0} s", (run.seconds / 60.0).floor(), run.seconds % 60.0),
            ),
            ("Memory", kib(run.memory_kib as f64)),
            ("Transparent huge pages", run.thp.clone()),
            ("Runs", format!("{}, {} of them repeated", noise.runs, noise.repeated)),
            (
                "Stayed disturbed",
                format!("{}, by more than {:.0} % of a core", noise.disturbed, noise.limit * 100.0),
            ),
            ("Taken by others", format!("{} ms of other processes", count(noise.foreign_ms))),
            ("Stolen by the hypervisor", format!("{} ms", count(noise.steal_ms))),
            ("Environment", environment),
        ];
        self.facts(out, &facts);
        out.push_str("</section>");
    }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;

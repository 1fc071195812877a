//! Every sample as one line of comma-separated values (RFC 4180).

use core::fmt::Write;

use crate::results::{Metric, Results};

const HEADER: &str = "workload,family,threads,ops,metric,allocator,version,round,value,wall_ns,\
    user_ns,sys_ns,asked_kib,peak_kib,end_kib,minflt,majflt,vcsw,icsw,disturbed";

/// A field, in quotes where it needs them.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

const fn word(metric: Metric) -> &'static str {
    match metric {
        Metric::Nanoseconds => "ns",
        Metric::Kib => "kib",
        Metric::Seconds => "s",
    }
}

/// Every sample, one line each, with a header.
#[must_use]
pub fn csv(results: &Results) -> String {
    let mut out = format!("{HEADER}\n");
    for cell in &results.cells {
        let workload = &results.workloads[cell.workload];
        let allocator = &results.allocators[cell.allocator];
        for s in &cell.samples {
            let _ = writeln!(
                out,
                "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
                field(&workload.name),
                field(&workload.family),
                workload.threads,
                workload.ops,
                word(workload.metric),
                field(&allocator.name),
                field(&allocator.version),
                s.round,
                s.value,
                s.wall_ns,
                s.user_ns,
                s.sys_ns,
                s.asked_kib,
                s.peak_kib,
                s.end_kib,
                s.minflt,
                s.majflt,
                s.vcsw,
                s.icsw,
                u8::from(s.disturbed)
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn each_sample_is_a_line_with_a_field_for_each_heading() {
        let results = fixture::results();
        let csv = csv(&results);
        let samples: usize = results.cells.iter().map(|c| c.samples.len()).sum();
        assert_eq!(csv.lines().count(), samples + 1);
        let columns = HEADER.split(',').count();
        assert!(csv.lines().all(|line| line.split(',').count() == columns));
    }

    #[test]
    fn a_name_with_a_comma_or_a_quote_stays_one_field() {
        assert_eq!(field("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(field("plain/1t"), "plain/1t");
    }
}

//! One measurement as one line of text, written by `workload` and read by `compare`.
//!
//! ```text
//! cidbench name=pair/16/1t metric=ns value=5.430 cpu=5.421 ops=20000000 asked_kib=0
//!          peak_kib=2184 end_kib=2180 minflt=131 user=5.400 sys=0.021 majflt=0 vcsw=0
//!          icsw=12 lib=/usr/lib/…/libjemalloc.so.2
//! ```
//!
//! `lib` comes last because a path may hold spaces. Fields borrow from the line, so
//! that the process under measurement formats a record without allocating. A latency
//! row sends two lines of another kind as well: [`Latency`].

mod latency;

use core::fmt;

pub use latency::{Latency, Op};

/// First word of every record; other output of a workload is ignored.
pub const MARK: &str = "cidbench ";

/// What `value` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Wall time in nanoseconds per operation, over all threads.
    Nanoseconds,
    /// Resident memory in KiB.
    Kib,
}

impl Metric {
    /// The word used in a record.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Kib => "kib",
        }
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record<'a> {
    /// Row name, unique in the catalogue (or below a row's name, as `burst/freed`).
    pub name: &'a str,
    /// Unit of `value`.
    pub metric: Metric,
    /// The measurement itself; smaller is better.
    pub value: f64,
    /// CPU time of all threads in nanoseconds per operation; 0 for memory rows.
    pub cpu: f64,
    /// Operations that were timed.
    pub ops: u64,
    /// KiB that the workload held from the allocator when a memory row was taken.
    pub asked_kib: u64,
    /// `VmHWM`: the process's highest resident set so far.
    pub peak_kib: u64,
    /// Resident set after the workload freed everything.
    pub end_kib: u64,
    /// Minor page faults of the process so far.
    pub minflt: u64,
    /// User time of the whole process in the timed part, in nanoseconds per operation.
    pub user: f64,
    /// System time of the whole process in the timed part, in nanoseconds per operation.
    pub sys: f64,
    /// Major page faults in the timed part.
    pub majflt: u64,
    /// Voluntary context switches in the timed part: a thread that waited.
    pub vcsw: u64,
    /// Involuntary context switches in the timed part: a thread that was preempted.
    pub icsw: u64,
    /// File that `malloc` was found in, or `mixed` where its siblings lie elsewhere.
    pub lib: &'a str,
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{MARK}name={} metric={} value={:.3} cpu={:.3} ops={} asked_kib={} peak_kib={} \
             end_kib={} minflt={} user={:.3} sys={:.3} majflt={} vcsw={} icsw={} lib={}",
            self.name,
            self.metric.word(),
            self.value,
            self.cpu,
            self.ops,
            self.asked_kib,
            self.peak_kib,
            self.end_kib,
            self.minflt,
            self.user,
            self.sys,
            self.majflt,
            self.vcsw,
            self.icsw,
            self.lib
        )
    }
}

impl<'a> Record<'a> {
    /// Reads a record; `None` where the line is none or a field is missing or bad.
    #[must_use]
    pub fn parse(line: &'a str) -> Option<Self> {
        let (fields, lib) = line.trim_end().strip_prefix(MARK)?.split_once(" lib=")?;
        let get = |key| field(fields, key);
        let number = |key| whole(fields, key);
        let real = |key| finite(fields, key);
        Some(Self {
            name: get("name")?,
            metric: match get("metric")? {
                "ns" => Metric::Nanoseconds,
                "kib" => Metric::Kib,
                _ => return None,
            },
            value: real("value")?,
            cpu: real("cpu")?,
            ops: number("ops")?,
            asked_kib: number("asked_kib")?,
            peak_kib: number("peak_kib")?,
            end_kib: number("end_kib")?,
            minflt: number("minflt")?,
            user: real("user")?,
            sys: real("sys")?,
            majflt: number("majflt")?,
            vcsw: number("vcsw")?,
            icsw: number("icsw")?,
            lib,
        })
    }
}

/// The value of `key` among `key=value` fields with one blank between.
fn field<'a>(fields: &'a str, key: &str) -> Option<&'a str> {
    fields.split(' ').find_map(|field| field.strip_prefix(key)?.strip_prefix('='))
}

fn whole(fields: &str, key: &str) -> Option<u64> {
    field(fields, key)?.parse().ok()
}

fn finite(fields: &str, key: &str) -> Option<f64> {
    field(fields, key)?.parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Record<'static> = Record {
        name: "pair/16/1t",
        metric: Metric::Nanoseconds,
        value: 5.125,
        cpu: 5.0,
        ops: 20_000_000,
        asked_kib: 1,
        peak_kib: 2184,
        end_kib: 2180,
        minflt: 131,
        user: 4.75,
        sys: 0.25,
        majflt: 2,
        vcsw: 3,
        icsw: 12,
        lib: "/opt/with space/liba.so",
    };

    #[test]
    fn a_record_survives_printing_and_parsing() {
        assert_eq!(Record::parse(&SAMPLE.to_string()), Some(SAMPLE));
    }

    #[test]
    fn a_record_with_a_missing_or_bad_field_is_refused() {
        let line = SAMPLE.to_string();
        assert!(Record::parse(&line.replace("minflt=131 ", "")).is_none());
        assert!(Record::parse(&line.replace("icsw=12 ", "")).is_none());
        assert!(Record::parse(&line.replace("value=5.125", "value=NaN")).is_none());
        assert!(Record::parse(&line.replace("metric=ns", "metric=s")).is_none());
        assert!(Record::parse("name=pair/16/1t").is_none());
    }
}

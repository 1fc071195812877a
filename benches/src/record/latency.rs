//! How long single calls took: one line for `malloc` and one for `free`.
//!
//! ```text
//! cidlatency name=latency/small/1t op=malloc clock_ns=8.2 n=1000000 p50=19.2 p90=22.4
//!            p99=96.0 p999=410.0 max=81234.0 hist=17.9:3021,18.4:90211,… lib=/…
//! ```
//!
//! All times include one reading of the clock; `clock_ns` says what that costs, and
//! nothing is subtracted.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::{field, finite, whole};

/// First word of a latency line.
const MARK: &str = "cidlatency ";

/// A call whose single latency is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// `malloc`
    Malloc,
    /// `free`
    Free,
}

impl Op {
    /// The function's name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Malloc => "malloc",
            Self::Free => "free",
        }
    }
}

/// The latencies of one kind of call, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency<'a> {
    /// Row name.
    pub name: &'a str,
    /// Which call.
    pub op: Op,
    /// Median time between two readings of the clock with nothing between them,
    /// measured in the same run; contained in every figure below.
    pub clock_ns: f64,
    /// Calls that were timed.
    pub n: u64,
    /// Half of the calls took at most this long.
    pub p50: f64,
    /// 90 % of the calls took at most this long.
    pub p90: f64,
    /// 99 % of the calls took at most this long.
    pub p99: f64,
    /// 99.9 % of the calls took at most this long.
    pub p999: f64,
    /// The longest call.
    pub max: f64,
    /// `lower bound in ns:count` of every bucket that is not empty, by commas; see
    /// [`Latency::buckets`].
    pub hist: &'a str,
    /// File that `malloc` was found in, or `mixed` where its siblings lie elsewhere.
    pub lib: &'a str,
}

impl fmt::Display for Latency<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{MARK}name={} op={} clock_ns={:.1} n={} p50={:.1} p90={:.1} p99={:.1} p999={:.1} \
             max={:.1} hist={} lib={}",
            self.name,
            self.op.word(),
            self.clock_ns,
            self.n,
            self.p50,
            self.p90,
            self.p99,
            self.p999,
            self.max,
            self.hist,
            self.lib
        )
    }
}

impl<'a> Latency<'a> {
    /// Reads a line; `None` where it is none or a field is missing or bad.
    #[must_use]
    pub fn parse(line: &'a str) -> Option<Self> {
        let (fields, lib) = line.trim_end().strip_prefix(MARK)?.split_once(" lib=")?;
        let hist = field(fields, "hist")?;
        let counted = hist.split(',').map(bucket).try_fold(0, |sum, b| Some(sum + b?.1))?;
        let n = whole(fields, "n")?;
        if counted != n {
            return None;
        }
        Some(Self {
            name: field(fields, "name")?,
            op: match field(fields, "op")? {
                "malloc" => Op::Malloc,
                "free" => Op::Free,
                _ => return None,
            },
            clock_ns: finite(fields, "clock_ns")?,
            n,
            p50: finite(fields, "p50")?,
            p90: finite(fields, "p90")?,
            p99: finite(fields, "p99")?,
            p999: finite(fields, "p999")?,
            max: finite(fields, "max")?,
            hist,
            lib,
        })
    }

    /// Lower bound in nanoseconds and count of every bucket that is not empty, upwards.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + use<'a> {
        self.hist.split(',').filter_map(bucket)
    }
}

fn bucket(text: &str) -> Option<(f64, u64)> {
    let (bound, count) = text.split_once(':')?;
    Some((bound.parse().ok().filter(|ns: &f64| ns.is_finite())?, count.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Latency<'static> = Latency {
        name: "latency/small/1t",
        op: Op::Free,
        clock_ns: 8.5,
        n: 30,
        p50: 19.0,
        p90: 20.5,
        p99: 96.0,
        p999: 96.0,
        max: 1234.5,
        hist: "18.5:10,19.0:19,1200.0:1",
        lib: "/opt/with space/liba.so",
    };

    #[test]
    fn a_latency_line_survives_printing_and_parsing() {
        let line = SAMPLE.to_string();
        let parsed = Latency::parse(&line).unwrap();
        assert_eq!(parsed, SAMPLE);
        let buckets: Vec<_> = parsed.buckets().collect();
        assert_eq!(buckets, [(18.5, 10), (19.0, 19), (1200.0, 1)]);
    }

    #[test]
    fn a_histogram_that_does_not_hold_every_call_is_refused() {
        let line = SAMPLE.to_string();
        assert!(Latency::parse(&line.replace("19.0:19", "19.0:18")).is_none());
        assert!(Latency::parse(&line.replace("19.0:19", "19.0-19")).is_none());
        assert!(Latency::parse(&line.replace("p999=96.0 ", "")).is_none());
        assert!(Latency::parse(&line.replace("op=free", "op=realloc")).is_none());
    }
}

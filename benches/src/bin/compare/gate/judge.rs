//! The gate's workloads, what was measured of one, and the verdict on it.
//!
//! ```text
//!  round     fastest run of ours and of glibc         Measured   of several rounds
//!  limit = twice the spread of the medians of several passes, but within floor .. ceiling
//!
//!  0 %        floor                  ceiling     33 %
//!  ├────────────┼───────────────────────┼─────────┼──  the ratio above the baseline's
//!   noise of a   limits lie here                   a fast path that grew by a third:
//!   calm machine                                   must fail in `pair`
//! ```

use core::fmt;

use cidalloc_benches::stats::spread;

use super::baseline::Figure;

/// A row of the catalogue as the gate runs it.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// Chosen so that a run takes a few milliseconds, of which some should fall into a moment at
    /// rest, however short.
    pub(crate) scale: &'static str,
    /// Runs of each side in a round.
    pub(crate) runs: usize,
    /// Rounds at rest.
    pub(crate) rounds: usize,
    /// How much slower than at rest glibc may be in a round that counts, as a share.
    pub(crate) slack: f64,
    /// No limit is tighter: a calm machine stays below half of it.
    pub(crate) floor: f64,
    /// No limit is wider: what the workload is there to catch is above it.
    pub(crate) ceiling: f64,
}

/// `pair` is nothing but the fast paths; in `batch` they are most of it, then the refills and
/// flushes are. The other two have threads, whose interplay scatters even at rest (medians of
/// the same library were up to 56 % off), so every round counts, and their limits are wide: they are
/// there for what happens when objects or threads begin to wait for each other.
pub(crate) const WORKLOADS: [Workload; 5] = [
    Workload::new("pair/64/1t", "0.02", 25, 0.08, [0.10, 0.15]),
    Workload::new("batch/1000/fifo", "0.05", 25, 0.08, [0.10, 0.20]),
    Workload::new("batch/100000/fifo", "0.2", 12, 0.15, [0.15, 0.30]),
    Workload::new("prodcons/1x1", "0.3", 6, f64::INFINITY, [1.0, 1.0]),
    Workload::new("larson/2t", "0.2", 6, f64::INFINITY, [0.75, 1.0]),
];

/// The fastest run of each side, in CPU nanoseconds per operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) ours: f64,
    pub(crate) glibc: f64,
}

/// The rounds of one workload, summed up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measured {
    /// Median over the rounds of ours over glibc.
    pub(crate) ratio: f64,
    /// Rounds at rest among those that were wanted, as a share.
    pub(crate) calm: f64,
    /// Median CPU nanoseconds per operation of ours, and of glibc.
    pub(crate) ns: (f64, f64),
}

impl Measured {
    /// Sums up the rounds at rest: those in which glibc was about as fast as `known`, or as in
    /// the fastest of them. Where they are less than a third, the calmest third counts.
    pub(crate) fn of(rounds: &[Round], workload: &Workload, known: Option<f64>) -> Self {
        let mut rounds = rounds.to_vec();
        rounds.sort_by(|a, b| a.glibc.total_cmp(&b.glibc));
        let rest = rounds.first().map_or(f64::NAN, |fastest| fastest.glibc);
        let rest = known.map_or(rest, |known| known.min(rest)) * (1.0 + workload.slack);
        let calm = rounds.iter().filter(|round| round.glibc <= rest).count();
        rounds.truncate(calm.max(workload.rounds.div_ceil(3)));
        let median = |of: fn(&Round) -> f64| {
            spread(rounds.iter().map(of)).map_or(f64::NAN, |spread| spread.median)
        };
        Self {
            ratio: median(|round| round.ours / round.glibc),
            calm: calm as f64 / workload.rounds as f64,
            ns: (median(|round| round.ours), median(|round| round.glibc)),
        }
    }

    /// Whether too little of it was taken at rest.
    fn is_disturbed(&self) -> bool {
        self.calm < 1.0 / 3.0
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ({:.0} % at rest)", self.ratio, self.calm * 100.0)
    }
}

impl Workload {
    const fn new(
        name: &'static str,
        scale: &'static str,
        runs: usize,
        slack: f64,
        [floor, ceiling]: [f64; 2],
    ) -> Self {
        Self { name, scale, runs, rounds: 5, slack, floor, ceiling }
    }

    /// The figure to store from several passes, or why they are no good.
    pub(crate) fn figure(&self, passes: &[Measured]) -> Result<Figure, String> {
        let ratios = spread(passes.iter().map(|m| m.ratio)).ok_or("no passes")?;
        let noise = (ratios.max - ratios.min) / ratios.median;
        if noise > self.ceiling * REFUSED {
            return Err(format!(
                "{}: {PASSES} passes differ by {:.1} %, too much for a limit of at most {:.0} %; \
                 write on a machine that does nothing else",
                self.name,
                noise * 100.0,
                self.ceiling * 100.0,
                PASSES = passes.len(),
            ));
        }
        Ok(Figure {
            name: self.name.to_owned(),
            ratio: rounded(ratios.median),
            noise: rounded(noise),
            limit: rounded((noise * 2.0).clamp(self.floor, self.ceiling)),
            ours_ns: rounded(spread(passes.iter().map(|m| m.ns.0)).map_or(0.0, |s| s.median)),
            glibc_ns: rounded(spread(passes.iter().map(|m| m.ns.1)).map_or(0.0, |s| s.min)),
        })
    }
}

/// Passes that differ by this share of the ceiling are no ground for a limit.
const REFUSED: f64 = 0.75;

/// To four digits behind the point, so that a stored file is readable.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Measurements of one workload after which it is given up.
const ATTEMPTS: usize = 4;

/// What the measurements of one workload come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Not over its limit.
    Within,
    /// Over it, twice at rest.
    Regressed,
    /// The machine was too busy to say.
    Busy,
}

/// The measurements of one workload beside its stored figure.
#[derive(Debug)]
pub(crate) struct Verdict<'a> {
    workload: &'a Workload,
    figure: &'a Figure,
    measured: Vec<Measured>,
}

impl<'a> Verdict<'a> {
    /// Nothing measured yet.
    pub(crate) fn new(workload: &'a Workload, figure: &'a Figure) -> Self {
        Self { workload, figure, measured: Vec::new() }
    }

    /// One more measurement.
    pub(crate) fn add(&mut self, measured: Measured) {
        self.measured.push(measured);
    }

    fn growth(&self, measured: &Measured) -> f64 {
        measured.ratio / self.figure.ratio - 1.0
    }

    /// Anything that is not surely within the limit is over it, so a ratio of NaN is.
    fn is_over(&self, measured: &Measured) -> bool {
        let growth = self.growth(measured);
        growth.is_nan() || growth > self.figure.limit
    }

    /// Measurements at rest that were (over the limit, within it).
    fn at_rest(&self) -> (usize, usize) {
        let calm = self.measured.iter().filter(|m| !m.is_disturbed());
        let over = calm.clone().filter(|m| self.is_over(m)).count();
        (over, calm.count() - over)
    }

    /// Whether no further measurement is needed, or would help.
    pub(crate) fn is_decided(&self) -> bool {
        let (over, within) = self.at_rest();
        (over == 0 && within > 0) || over >= 2 || within >= 2 || self.measured.len() >= ATTEMPTS
    }

    /// What the measurements say when they are decided.
    pub(crate) fn finding(&self) -> Finding {
        match self.at_rest() {
            (over, within) if over >= 2 && over > within => Finding::Regressed,
            (over, within) if within > 0 && within >= over => Finding::Within,
            _ => Finding::Busy,
        }
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let finding = self.finding();
        let word = match finding {
            Finding::Within => "ok",
            Finding::Regressed => "FAIL",
            Finding::Busy => "busy",
        };
        // The measurement that the verdict rests on.
        let shown = self.measured.iter().filter(|m| {
            finding == Finding::Busy || self.is_over(m) == (finding == Finding::Regressed)
        });
        let Some(shown) = shown.max_by(|a, b| a.calm.total_cmp(&b.calm)) else {
            return write!(f, "{word} {}: not measured", self.workload.name);
        };
        write!(
            f,
            "{word:4} {:18} {:.3} of glibc ({:.2} of {:.2} ns), baseline {:.3}, {:+.1} %, limit +{:.0} %",
            self.workload.name,
            shown.ratio,
            shown.ns.0,
            shown.ns.1,
            self.figure.ratio,
            self.growth(shown) * 100.0,
            self.figure.limit * 100.0,
        )?;
        if self.measured.len() > 1 {
            let all: Vec<_> = self.measured.iter().map(ToString::to_string).collect();
            write!(f, "; measured {} times: {}", all.len(), all.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cidalloc_benches::catalog::find;

    use super::*;

    #[test]
    fn every_workload_is_a_row_of_the_catalogue() {
        WORKLOADS.iter().for_each(|w| assert!(find(w.name).is_some(), "{}", w.name));
    }

    const WORKLOAD: Workload = Workload::new("w", "1", 1, 0.08, [0.10, 0.15]);

    fn figure() -> Figure {
        WORKLOAD.figure(&[measured(0.50, 1.0); 3]).unwrap()
    }

    fn measured(ratio: f64, calm: f64) -> Measured {
        Measured { ratio, calm, ns: (5.0, 10.0) }
    }

    /// `None` while it is not decided.
    fn finding(all: &[Measured]) -> Option<Finding> {
        let figure = figure();
        let mut verdict = Verdict::new(&WORKLOAD, &figure);
        all.iter().for_each(|m| verdict.add(*m));
        verdict.is_decided().then(|| verdict.finding())
    }

    const SLOW: Measured = Measured { ratio: 0.50 * 4.0 / 3.0, calm: 1.0, ns: (5.0, 10.0) };
    const FINE: Measured = Measured { ratio: 0.51, ..SLOW };
    const BUSY: Measured = Measured { calm: 0.1, ..FINE };

    #[test]
    fn one_calm_measurement_within_the_limit_passes() {
        assert_eq!(finding(&[FINE]), Some(Finding::Within));
        assert_eq!(finding(&[measured(0.30, 1.0)]), Some(Finding::Within));
        assert_eq!(finding(&[]), None);
    }

    #[test]
    fn a_third_more_fails_but_only_when_it_is_seen_twice() {
        assert_eq!(finding(&[SLOW]), None);
        assert_eq!(finding(&[SLOW, SLOW]), Some(Finding::Regressed));
        assert_eq!(finding(&[SLOW, FINE]), None);
        assert_eq!(finding(&[SLOW, FINE, FINE]), Some(Finding::Within));
        assert_eq!(finding(&[SLOW, FINE, SLOW]), Some(Finding::Regressed));
    }

    #[test]
    fn what_was_measured_on_a_busy_machine_says_nothing() {
        assert_eq!(finding(&[BUSY]), None);
        assert_eq!(finding(&[BUSY, FINE]), Some(Finding::Within));
        assert_eq!(finding(&[BUSY, SLOW, BUSY, BUSY]), Some(Finding::Busy));
        assert_eq!(finding(&[BUSY; ATTEMPTS]), Some(Finding::Busy));
    }

    #[test]
    fn a_ratio_that_is_no_number_is_over_the_limit() {
        let nan = measured(f64::NAN, 1.0);
        assert_eq!(finding(&[nan, nan]), Some(Finding::Regressed));
    }

    #[test]
    fn limits_follow_the_noise_between_floor_and_ceiling() {
        let limit = |low, high| {
            let passes = [measured(low, 1.0), measured(0.5, 1.0), measured(high, 1.0)];
            WORKLOAD.figure(&passes).map(|figure| figure.limit)
        };
        assert_eq!(limit(0.499, 0.501), Ok(0.10));
        assert_eq!(limit(0.485, 0.515), Ok(0.12));
        assert!(limit(0.4, 0.6).unwrap_err().contains("nothing else"));
    }

    const CALM: [Round; 5] = [Round { ours: 5.0, glibc: 10.0 }; 5];

    #[test]
    fn ratios_are_taken_within_the_round_and_at_rest() {
        let busy = Round { ours: 9.0, glibc: 18.1 };
        let slower = Round { ours: 5.3, glibc: 10.6 };
        let rounds = [CALM[0], busy, slower, slower, busy, CALM[1], busy, slower];
        let m = Measured::of(&rounds, &WORKLOAD, None);
        assert_eq!((m.ratio, m.calm), (0.5, 1.0));
        // Once glibc is known to take less at rest, all of it was busy.
        let m = Measured::of(&rounds, &WORKLOAD, Some(8.0));
        assert_eq!((m.ratio, m.calm), (0.5, 0.0));
        assert!(m.is_disturbed());
    }

    #[test]
    fn a_faster_machine_than_the_known_one_is_at_rest() {
        assert_eq!(Measured::of(&CALM, &WORKLOAD, Some(20.0)).calm, 1.0);
    }
}

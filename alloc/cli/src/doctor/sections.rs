//! Whether sections are aborted on preemption: by trying, and by the kernel's release.

use super::host::Host;
use super::point::Point;
use rseq_sys::registration::Registration;
use rseq_sys::soundness::{Verdict, release_aborts_sections, self_test};

/// What was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sections {
    /// Whether the release is one of those that abort them.
    pub(crate) by_release: bool,
    tried: Verdict,
}

impl Sections {
    /// Tries; takes some ten milliseconds.
    pub(crate) fn look(host: &Host, registration: &Registration) -> Self {
        let arm64 = cfg!(target_arch = "aarch64");
        Self {
            by_release: release_aborts_sections(host.release.as_bytes(), arm64),
            tried: self_test(registration),
        }
    }

    /// Its lines.
    pub(crate) fn points(&self) -> Vec<Point> {
        let remedy = "Linux 7.0.14 or 7.1 and later, or one before 6.19";
        let abort = match self.tried {
            Verdict::Aborted => {
                Point::word("section_abort", "aborted", "a section that was preempted, as tried")
            }
            Verdict::NotAborted => {
                let remark = "a section went on after it was preempted, as tried";
                let point = Point::word("section_abort", "not aborted", remark);
                if self.by_release {
                    // Here the release misleads the library, which goes by it.
                    let mend = format!("CIDALLOC_CID=emulated; {remedy}; report the release");
                    point.costs("two threads in one section at once: corruption", mend)
                } else {
                    point
                }
            }
            Verdict::Unknown(why) => Point::word("section_abort", "unknown", why.to_string()),
        };
        let release = if self.by_release {
            Point::word("section_release", "sound", "by its release this kernel aborts sections")
        } else {
            let seen = match self.tried {
                Verdict::Aborted => ", though this one does",
                _ => "",
            };
            let remark = format!("arm64 releases 6.19 to 7.0.13 do not abort sections{seen}");
            Point::word("section_release", "refused", remark)
                .costs(format!("rseq is not used: {}", super::rseq::EMULATED), remedy)
        };
        vec![abort, release]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rseq_sys::soundness::Obstacle;

    #[test]
    fn a_section_that_went_on_is_degraded_where_the_release_denies_it() {
        let degraded = |by_release, tried| {
            let points = Sections { by_release, tried }.points();
            points.iter().map(|point| point.degraded.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(degraded(true, Verdict::Aborted), [false, false]);
        assert_eq!(degraded(true, Verdict::NotAborted), [true, false]);
        assert_eq!(degraded(true, Verdict::Unknown(Obstacle::NoRseq)), [false, false]);
        assert_eq!(degraded(false, Verdict::Aborted), [false, true]);
        assert_eq!(degraded(false, Verdict::NotAborted), [false, true], "rseq is not used");
        let fixed = Sections { by_release: false, tried: Verdict::Aborted }.points();
        assert!(fixed[1].remark.ends_with("though this one does"));
    }
}

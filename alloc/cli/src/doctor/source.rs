//! Which source of cids a program gets: by what was found, and by asking the library.
//!
//! ```text
//!  facts ──► explain ─────────────────────────► cid_source
//!                                                   │ the same?
//!  this command under the library ─► statistics ─► library
//! ```
//!
//! The explanation says why, the library says what is so. Where they differ one of them is wrong,
//! and the report says that.

use super::nodes::Machine;
use super::point::Point;
use super::sections::Sections;
use crate::reports::Place;
use crate::{library, options};
use rseq_sys::registration::{Owner, Registration};
use std::path::Path;
use std::process::{Command, Stdio};

/// What the choice depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// `CIDALLOC_CID`, where it is set.
    wanted: Option<String>,
    registered: bool,
    has_mm_cid: bool,
    sound: bool,
    nodes_known: bool,
}

impl Facts {
    /// From what was found.
    pub(crate) fn new(registration: &Registration, sections: &Sections, machine: &Machine) -> Self {
        Self {
            wanted: std::env::var(options::variable("cid")).ok(),
            registered: registration.owner != Owner::Nobody,
            has_mm_cid: registration.has_mm_cid,
            sound: sections.by_release,
            nodes_known: machine.nodes_are_known(),
        }
    }

    /// The source to expect.
    pub(crate) fn source(&self) -> &'static str {
        explain(self).0
    }
}

/// Explains, and asks the library.
pub(crate) fn look(facts: &Facts, asked: Option<&Path>) -> Vec<Point> {
    let (source, why) = explain(facts);
    let said = ask(asked);
    vec![source_point(facts, source, why), library_point(source, said)]
}

/// The source, and why.
fn explain(facts: &Facts) -> (&'static str, &'static str) {
    let wanted = facts.wanted.as_deref().unwrap_or("auto");
    match wanted {
        "none" => return ("none", "no caches, as CIDALLOC_CID asks"),
        "emulated" => return ("emulated", "as CIDALLOC_CID asks"),
        _ if !facts.registered => return ("emulated", "since there is no rseq"),
        _ if !facts.sound => return ("emulated", "since this kernel does not abort sections"),
        "cpu" => return ("cpu", "CPU numbers, as CIDALLOC_CID asks"),
        _ => {}
    }
    match (facts.has_mm_cid, facts.nodes_known) {
        (true, true) => ("kernel", "concurrency ids (mm_cid)"),
        (true, false) => ("cpu", "CPU numbers, since nobody tells which nodes there are"),
        (false, _) => ("cpu", "CPU numbers, since there is no mm_cid"),
    }
}

/// The explanation's line; what a forced source costs. Other causes have their own points.
fn source_point(facts: &Facts, source: &'static str, why: &str) -> Point {
    let mut point = Point::word("cid_source", source, why);
    if let Some(wanted) = facts.wanted.as_deref()
        && options::to_environment(&[format!("cid={wanted}").into()]).is_err()
    {
        point.remark += &format!("; CIDALLOC_CID={wanted} is ignored: there is no such source");
    }
    let best = Facts { wanted: None, ..facts.clone() }.source();
    let cost = match source {
        _ if source == best => return point,
        "none" => "no caches: each operation goes to a span by atomics, several times the cost",
        "emulated" => super::rseq::EMULATED,
        "cpu" => "caches follow the CPUs that threads ever ran on, and no node",
        _ => return point,
    };
    point.costs(cost, format!("unset CIDALLOC_CID: {best} would be used"))
}

/// The source that the library says it uses, with the reason, or why it says nothing.
fn ask(asked: Option<&Path>) -> Result<String, String> {
    let library = library::find(asked).map_err(|failure| failure.line)?;
    let place = Place::new().map_err(|failure| failure.line)?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let existing = std::env::var_os("LD_PRELOAD");
    let status = Command::new(program)
        .arg("options")
        .env("LD_PRELOAD", library::preload(&library, existing.as_deref()))
        .env(options::variable("stats"), "1")
        .env(options::variable("stats_file"), place.file())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("no process to ask it: {error}"))?;
    if !status.success() {
        return Err(format!("a process under it ended by {status}"));
    }
    let text = place.text();
    let source = text.lines().find_map(|line| line.strip_prefix("cid_source "));
    let source = source.ok_or("a process under it left no statistics (a static build?)")?;
    Ok(source.trim().to_owned())
}

fn library_point(explained: &str, said: Result<String, String>) -> Point {
    let name = "library";
    let said = match said {
        Ok(said) => said,
        Err(why) => return Point::word(name, "not asked", why),
    };
    let (word, why) = said.split_once(": ").unwrap_or((&said, ""));
    let point = Point::word(name, word, format!("asked itself; {why}"));
    if word == explained {
        return point;
    }
    point.costs(
        format!("the library uses {word}, where {explained} was expected from the points above"),
        "report it with this output; the library's word holds",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(wanted: &str) -> Facts {
        let wanted = (!wanted.is_empty()).then(|| wanted.to_owned());
        Facts { wanted, registered: true, has_mm_cid: true, sound: true, nodes_known: true }
    }

    #[test]
    fn each_source_has_its_reason() {
        let of = |facts: Facts| explain(&facts).0;
        assert_eq!(of(facts("")), "kernel");
        assert_eq!(of(facts("auto")), "kernel");
        assert_eq!(of(facts("nonsense")), "kernel", "the library ignores it");
        assert_eq!(of(Facts { has_mm_cid: false, ..facts("") }), "cpu");
        assert_eq!(of(Facts { has_mm_cid: false, ..facts("kernel") }), "cpu");
        assert_eq!(of(Facts { nodes_known: false, ..facts("") }), "cpu");
        assert_eq!(of(Facts { registered: false, ..facts("") }), "emulated");
        assert_eq!(of(Facts { sound: false, ..facts("cpu") }), "emulated");
        assert_eq!(of(Facts { registered: false, ..facts("none") }), "none");
        assert_eq!(of(facts("emulated")), "emulated");
        assert_eq!(of(facts("cpu")), "cpu");
    }

    #[test]
    fn a_forced_source_is_degraded_where_a_better_one_is_there() {
        let degraded = |facts: Facts| {
            let (source, why) = explain(&facts);
            source_point(&facts, source, why).degraded.is_some()
        };
        assert!(!degraded(facts("")) && !degraded(facts("kernel")));
        assert!(degraded(facts("cpu")) && degraded(facts("none")) && degraded(facts("emulated")));
        let ignored = |wanted| source_point(&facts(wanted), "kernel", "").remark;
        assert!(ignored("nonsense").contains("CIDALLOC_CID=nonsense is ignored"));
        assert_eq!(ignored("auto") + &ignored("kernel") + &ignored(""), "");
        // The cause has a point of its own.
        assert!(!degraded(Facts { registered: false, ..facts("") }));
        assert!(!degraded(Facts { has_mm_cid: false, ..facts("cpu") }));
        assert!(!degraded(Facts { registered: false, ..facts("emulated") }));
    }

    #[test]
    fn a_library_that_says_otherwise_is_told() {
        let said = |text: &str| library_point("kernel", Ok(text.into()));
        let same = said("kernel: shards are indexed by concurrency ids (mm_cid)");
        assert!(same.degraded.is_none());
        assert_eq!(same.remark, "asked itself; shards are indexed by concurrency ids (mm_cid)");
        let other = said("cpu: CPU numbers").degraded.expect("they differ");
        assert!(other.cost.contains("uses cpu, where kernel"), "{}", other.cost);
        let silent = library_point("kernel", Err("not there".into()));
        assert!(silent.degraded.is_none());
    }
}

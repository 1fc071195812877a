//! `cidalloc doctor`: what this host gives the allocator, what it lacks, and what that costs.
//!
//! ```text
//!  probe               looks at                                  points
//!  host.rs             uname, libc, seccomp                      kernel, libc, seccomp
//!  rseq.rs             __rseq_size, auxv, rseq(2), tunables      rseq_owner … rseq_tunable
//!  live.rs             two threads' own areas                    cpu_id, node_id, mm_cid
//!  sections.rs         a preempted section, the release          section_abort, section_release
//!  fences.rs           membarrier(2)                             membarrier, fence
//!  nodes.rs            sysfs, /proc/self/status                  cpus_…, nodes_…
//!  placement.rs        mbind(2), move_pages(2) on one page       mbind, get_mempolicy, move_pages
//!  memory.rs           huge pages, limits of this process        huge_pages … max_map_count
//!  cgroup.rs           cgroup v2                                 memory_max, cpu_max
//!  source.rs           all of it, and the library itself         cid_source, library
//!       └──► point.rs  a name, a value, a remark; if degraded, the cost and the remedy
//!               └──► show.rs   text as the statistics have it, or JSON
//! ```
//!
//! A probe asks the host and hands what it said, as text or numbers, to a pure function that
//! makes points of it. Nothing is changed on the host, nor left behind.

mod cgroup;
mod fences;
mod host;
mod live;
mod memory;
mod nodes;
mod placement;
mod point;
mod rseq;
mod sections;
mod show;
mod source;

use crate::Failure;
use point::Point;
use std::io::Write as _;
use std::path::PathBuf;

/// What `cidalloc doctor` was asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Exit with status 1 if any point is degraded
    #[arg(long)]
    strict: bool,
    /// The library to ask, if not the one that was installed with this command
    #[arg(long, value_name = "PATH")]
    library: Option<PathBuf>,
}

/// Looks, prints, and gives the status to exit with.
pub(crate) fn doctor(arguments: &DoctorArguments) -> Result<u8, Failure> {
    let points = examine(arguments);
    let text = if arguments.json { show::json(&points) } else { show::text(&points) };
    // A reader that goes away early is no error.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    let degraded = points.iter().any(|point| point.degraded.is_some());
    Ok(u8::from(arguments.strict && degraded))
}

fn examine(arguments: &DoctorArguments) -> Vec<Point> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let host = host::Host::look(&status);
    let rseq = rseq::Rseq::look();
    let machine = nodes::Machine::look(&status);
    let sections = sections::Sections::look(&host, &rseq.registration);
    let placement = placement::Placement::look();
    let facts = source::Facts::new(&rseq.registration, &sections, &machine);

    let mut points = host.points();
    points.extend(rseq.points(&host));
    points.extend(live::look(&rseq.registration, &machine));
    points.extend(sections.points());
    points.extend(fences::look(facts.source()));
    points.extend(machine.points());
    points.extend(placement.points(machine.node_count()));
    points.extend(memory::look());
    points.extend(cgroup::look(machine.allowed_cpus()));
    points.extend(source::look(&facts, arguments.library.as_deref()));
    points
}

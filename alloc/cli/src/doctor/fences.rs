//! The commands of membarrier(2) that the kernel has, and whether the one that is needed works.
//!
//! ```text
//!  bit  3  PRIVATE_EXPEDITED         4.16   emulated: idle cids taken over
//!       7  PRIVATE_EXPEDITED_RSEQ    5.10   kernel, cpu: idle shards drained, spans adopted
//! ```
#![allow(unsafe_code)]

use super::point::Point;
use numa_sys::Errno;
use rseq_sys::membarrier;

const QUERY: usize = 0;
const PRIVATE_EXPEDITED: u32 = 1 << 3;
const PRIVATE_EXPEDITED_RSEQ: u32 = 1 << 7;

/// Asks, and tries what `source` needs.
pub(crate) fn look(source: &str) -> Vec<Point> {
    let works = match need(source) {
        None => true,
        Some(PRIVATE_EXPEDITED) => membarrier::register_barrier() && membarrier::barrier(),
        Some(_) => membarrier::register() && membarrier::fence(),
    };
    points(source, query(), works)
}

/// The command that a source of cids lives by.
fn need(source: &str) -> Option<u32> {
    match source {
        "kernel" | "cpu" => Some(PRIVATE_EXPEDITED_RSEQ),
        "emulated" => Some(PRIVATE_EXPEDITED),
        _ => None,
    }
}

fn query() -> Result<u32, Errno> {
    // SAFETY: the command takes no pointers.
    let ret = unsafe { libc::syscall(libc::SYS_membarrier, QUERY, 0usize, 0usize) };
    u32::try_from(ret).map_err(|_| {
        Errno::from_raw(std::io::Error::last_os_error().raw_os_error().unwrap_or_default())
    })
}

fn points(source: &str, commands: Result<u32, Errno>, works: bool) -> Vec<Point> {
    let has = |bit| commands.is_ok_and(|commands| commands & bit != 0);
    let names = [
        (PRIVATE_EXPEDITED, "private_expedited"),
        (PRIVATE_EXPEDITED_RSEQ, "private_expedited_rseq"),
    ];
    let there: Vec<_> = names.iter().filter(|(bit, _)| has(*bit)).map(|(_, name)| *name).collect();
    let list = match commands {
        Err(errno) => Point::word("membarrier", "absent", format!("membarrier(2) says {errno:?}")),
        Ok(all) if there.is_empty() => Point::word("membarrier", "none", format!("of {all:#x}")),
        Ok(all) => Point::word("membarrier", there.join(" "), format!("of {all:#x}")),
    };
    vec![list, fence(source, commands, works)]
}

fn fence(source: &str, commands: Result<u32, Errno>, works: bool) -> Point {
    let Some(needed) = need(source) else {
        return Point::word("fence", "not needed", format!("with the source {source}"));
    };
    let emulated = needed == PRIVATE_EXPEDITED;
    if works {
        let what =
            if emulated { "idle cids can be taken over" } else { "idle shards can be drained" };
        return Point::word("fence", "works", what);
    }
    let (what, cost, since) = if emulated {
        let cost = "each operation on an emulated cid makes a fence of its own";
        ("membarrier(2), private_expedited", cost, "Linux 4.16")
    } else {
        let cost = "shards that fell idle keep what they cached";
        ("membarrier(2), private_expedited_rseq", cost, "Linux 5.10")
    };
    let mend = match commands {
        Ok(all) if all & needed == 0 => format!("{since} or later"),
        _ => format!("allow membarrier(2) in the seccomp profile; {since} or later"),
    };
    Point::word("fence", "refused", what).costs(cost, mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_named_and_what_is_missing_has_a_remedy() {
        // As Linux 6.18, 4.19 and a filter answer.
        let [list, fence] = &points("kernel", Ok(0x3ff), true)[..] else { panic!() };
        let both = "private_expedited private_expedited_rseq";
        assert_eq!(*list, Point::word("membarrier", both, "of 0x3ff"));
        assert!(fence.degraded.is_none());
        let [list, fence] = &points("cpu", Ok(0x7f), false)[..] else { panic!() };
        assert_eq!(*list, Point::word("membarrier", "private_expedited", "of 0x7f"));
        assert_eq!(fence.degraded.as_ref().unwrap().mend, "Linux 5.10 or later");
        let [list, fence] = &points("kernel", Err(Errno::EPERM), false)[..] else { panic!() };
        assert!(list.remark.ends_with("EPERM"));
        assert!(fence.degraded.as_ref().unwrap().mend.contains("seccomp"));
    }

    #[test]
    fn each_source_needs_its_own() {
        let cost = |source| fence(source, Ok(0), false).degraded.map(|why| why.cost);
        assert!(cost("kernel").unwrap().contains("idle"));
        assert!(cost("emulated").unwrap().contains("each operation"));
        assert_eq!(cost("none"), None);
    }

    #[test]
    fn a_fence_that_works_is_among_the_commands() {
        if !(membarrier::register() && membarrier::fence()) {
            println!("skipped: the rseq command of membarrier(2) is refused here");
            return;
        }
        assert_ne!(query().unwrap() & PRIVATE_EXPEDITED_RSEQ, 0);
    }
}

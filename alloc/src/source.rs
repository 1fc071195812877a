//! Where shard indices come from: what is there, what is asked for, and why it is that.
//!
//! ```text
//!  rseq?    mm_cid?   sections aborted?     auto, kernel   cpu         emulated   none
//!  no       –         –                     emulated       emulated    emulated   none
//!  yes      –         no (arm64)            emulated       emulated    emulated   none
//!  yes      yes       yes                   kernel         cpu         emulated   none
//!  yes      no        yes                   cpu            cpu         emulated   none
//! ```

use crate::options::CidSource;
use rseq_sys::registration::{Owner, Registration};

/// Where shard indices come from, as found at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `mm_cid`.
    Kernel,
    /// `cpu_id`.
    Cpu,
    /// Cids of our own, under leases.
    Emulated,
    /// None: all threads use the orphan arena.
    None,
}

/// The source that is asked for, or else the best that is there, and why it is that one.
#[must_use]
pub fn choose(
    asked: CidSource,
    registration: &Registration,
    aborts_sections: bool,
) -> (Source, &'static str) {
    const AS_ASKED: &str = "the option asks for it";
    match asked {
        CidSource::None => (Source::None, AS_ASKED),
        CidSource::Emulated => (Source::Emulated, AS_ASKED),
        _ if registration.owner == Owner::Nobody => {
            (Source::Emulated, "the kernel refuses rseq(2)")
        }
        _ if !aborts_sections => {
            (Source::Emulated, "this kernel does not abort rseq sections on preemption (arm64)")
        }
        CidSource::Cpu => (Source::Cpu, AS_ASKED),
        _ if registration.has_mm_cid => (Source::Kernel, "the kernel has mm_cid"),
        _ => (Source::Cpu, "the kernel has no mm_cid (Linux 6.3)"),
    }
}

/// How many neighbouring cids share an arena on a machine with `cpus` CPUs, if not asked
/// otherwise: a power of two. As measured in `docs/cids.md`: 4 of them halve what many threads
/// keep resident, 8 save little more.
#[must_use]
pub fn cids_per_arena(cpus: usize) -> usize {
    if cpus < 8 { 1 } else { 4 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(asked: CidSource, owner: Owner, has_mm_cid: bool, aborts: bool) -> Source {
        choose(asked, &Registration { owner, offset: 0, has_mm_cid }, aborts).0
    }

    #[test]
    fn arenas_are_shared_where_cpus_are_many() {
        assert_eq!([1, 2, 7, 8, 384].map(cids_per_arena), [1, 1, 1, 4, 4]);
    }

    #[test]
    fn every_row_of_the_table_is_chosen() {
        let asked = [CidSource::Auto, CidSource::Kernel, CidSource::Cpu];
        let all = |owner, has_mm_cid, aborts| asked.map(|a| chosen(a, owner, has_mm_cid, aborts));
        for owner in [Owner::Libc, Owner::Own] {
            assert_eq!(all(owner, true, true), [Source::Kernel, Source::Kernel, Source::Cpu]);
            assert_eq!(all(owner, false, true), [Source::Cpu; 3]);
            assert_eq!(all(owner, true, false), [Source::Emulated; 3]);
            assert_eq!(chosen(CidSource::Emulated, owner, true, true), Source::Emulated);
            assert_eq!(chosen(CidSource::None, owner, true, true), Source::None);
        }
        assert_eq!(all(Owner::Nobody, false, true), [Source::Emulated; 3]);
        assert_eq!(chosen(CidSource::None, Owner::Nobody, false, true), Source::None);
    }
}

//! Who registered rseq areas, how long they are, and why if nobody did.
//!
//! ```text
//!  __rseq_size (libc)  AT_RSEQ_FEATURE_SIZE  rseq(2)          owner
//!  20 …                28 …                  EINVAL: there    libc
//!  0, tunable          28 …                  EINVAL: there    cidalloc: degraded by the tunable
//!  absent (musl)       28 …                  EINVAL: there    cidalloc
//!  0                   any                   ENOSYS, EPERM    nobody: degraded
//! ```
#![allow(unsafe_code)]

use super::host::Host;
use super::point::Point;
use cidalloc::os::auxv;
use numa_sys::Errno;
use rseq_sys::abi;
use rseq_sys::registration::{self, Owner, Registration};

/// What emulated cids cost.
pub(crate) const EMULATED: &str =
    "emulated cids, about 1.5 times the cost of a malloc and free pair";

/// The auxiliary vector's entry for the alignment of areas.
const AT_RSEQ_ALIGN: u64 = 28;

/// What was found.
#[derive(Debug)]
pub(crate) struct Rseq {
    /// As the library finds it.
    pub(crate) registration: Registration,
    libc_size: Option<u32>,
    feature_size: u64,
    align: u64,
    call: Result<(), Errno>,
    tunable: Option<String>,
}

impl Rseq {
    /// Asks the auxiliary vector, libc and the kernel; may register this thread.
    pub(crate) fn look() -> Self {
        let [feature_size, align] = [abi::AT_RSEQ_FEATURE_SIZE, AT_RSEQ_ALIGN].map(auxv);
        Self {
            registration: registration::detect(feature_size as u32),
            libc_size: libc_size(),
            feature_size,
            align,
            call: try_call(),
            tunable: std::env::var("GLIBC_TUNABLES").ok().and_then(|text| tunable(&text)),
        }
    }

    /// Its lines.
    pub(crate) fn points(&self, host: &Host) -> Vec<Point> {
        let sizes = [
            ("rseq_size", self.libc_size.map(u64::from), "bytes, as libc says (__rseq_size)"),
            ("rseq_features", nonzero(self.feature_size), "bytes that the kernel fills"),
            ("rseq_align", nonzero(self.align), "bytes, as the kernel asks"),
        ];
        let absent = |name| match name {
            "rseq_size" => "this libc has no __rseq_size",
            _ => "not in the auxiliary vector (before Linux 6.3)",
        };
        let sizes = sizes.map(|(name, size, what)| match size {
            Some(size) => Point::number(name, size, what),
            None => Point::word(name, "absent", absent(name)),
        });
        let owner = owner_point(self.registration.owner, self.call, host, self.tunable.as_deref());
        let mut points = vec![owner];
        points.extend(sizes);
        points.push(match &self.tunable {
            None => Point::word("rseq_tunable", "unset", "glibc.pthread.rseq in GLIBC_TUNABLES"),
            Some(value) => Point::word("rseq_tunable", value.as_str(), "by GLIBC_TUNABLES"),
        });
        points
    }
}

fn nonzero(value: u64) -> Option<u64> {
    (value != 0).then_some(value)
}

fn libc_size() -> Option<u32> {
    // SAFETY: looks a name up.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_size".as_ptr()) };
    // SAFETY: libc's constant of this name and type, or null.
    unsafe { address.cast::<u32>().as_ref() }.copied()
}

/// Whether rseq(2) is there, asked with arguments that it refuses.
fn try_call() -> Result<(), Errno> {
    // SAFETY: no area and no length: whatever is registered stays so.
    let ret = unsafe { libc::syscall(libc::SYS_rseq, 0usize, 0usize, 0usize, 0usize) };
    match std::io::Error::last_os_error().raw_os_error() {
        Some(number) if ret != 0 && number != libc::EINVAL => Err(Errno::from_raw(number)),
        _ => Ok(()),
    }
}

/// The value of `glibc.pthread.rseq` in `GLIBC_TUNABLES`; the last one counts.
fn tunable(text: &str) -> Option<String> {
    let mut values = text.split(':').filter_map(|entry| entry.strip_prefix("glibc.pthread.rseq="));
    values.next_back().map(String::from)
}

fn owner_point(owner: Owner, call: Result<(), Errno>, host: &Host, tunable: Option<&str>) -> Point {
    let name = "rseq_owner";
    match (owner, call) {
        (Owner::Libc, _) => Point::word(name, "libc", "it registers every thread"),
        (Owner::Own, _) => {
            let remark = "each thread is registered at its first slow operation";
            let point = Point::word(name, "cidalloc", remark);
            match (&host.glibc, tunable) {
                (Some(_), Some(value)) if value.trim() == "0" => point.costs(
                    "glibc registers no thread: a system call more for each",
                    "take glibc.pthread.rseq=0 out of GLIBC_TUNABLES",
                ),
                _ => point,
            }
        }
        (Owner::Nobody, Ok(())) => {
            let remark = "rseq(2) is there, but this thread's area is somebody else's";
            let mend = "find what registers an area of its own (a library in LD_PRELOAD?)";
            Point::word(name, "nobody", remark).costs(format!("no rseq: {EMULATED}"), mend)
        }
        (Owner::Nobody, Err(errno)) => {
            let mend = if host.is_filtered() || errno == Errno::EPERM {
                "allow rseq(2) in the seccomp profile"
            } else {
                "a kernel of Linux 4.18 or later with CONFIG_RSEQ, no sandbox without rseq(2)"
            };
            Point::word(name, "nobody", format!("rseq(2) says {errno:?}"))
                .costs(format!("no rseq: {EMULATED}"), mend)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tunable_counts() {
        assert_eq!(tunable("glibc.pthread.rseq=0"), Some("0".into()));
        let several = "glibc.malloc.check=3:glibc.pthread.rseq=0:glibc.pthread.rseq=1";
        assert_eq!(tunable(several), Some("1".into()));
        assert_eq!(tunable("glibc.malloc.check=3:glibc.pthread.rseqs=0"), None);
    }

    #[test]
    fn the_remedy_for_no_rseq_depends_on_who_refuses() {
        let plain = Host::look("Seccomp:\t0\n");
        let filtered = Host::look("Seccomp:\t2\nSeccomp_filters:\t1\n");
        let mend = |host, errno| {
            let point = owner_point(Owner::Nobody, Err(errno), host, None);
            assert!(point.remark.ends_with(&format!("{errno:?}")), "{}", point.remark);
            point.degraded.expect("a cost").mend
        };
        assert!(mend(&plain, Errno::ENOSYS).contains("4.18"));
        assert!(mend(&plain, Errno::EPERM).contains("seccomp"));
        assert!(mend(&filtered, Errno::ENOSYS).contains("seccomp"));
        assert!(owner_point(Owner::Nobody, Ok(()), &plain, None).degraded.is_some());
    }

    #[test]
    fn only_the_tunable_makes_own_areas_a_degraded_point() {
        let mut host = Host::look("");
        host.glibc = Some("2.36".into());
        let own = |host: &Host, tunable| owner_point(Owner::Own, Ok(()), host, tunable);
        assert!(own(&host, Some("0")).degraded.is_some());
        assert!(own(&host, Some("1")).degraded.is_none());
        assert!(own(&host, None).degraded.is_none(), "an old glibc");
        host.glibc = None;
        assert!(own(&host, Some("0")).degraded.is_none(), "musl has no tunables");
        assert!(owner_point(Owner::Libc, Ok(()), &host, None).degraded.is_none());
    }

    #[test]
    fn the_call_is_there_where_libc_registered() {
        let rseq = Rseq::look();
        match rseq.registration.owner {
            Owner::Nobody => assert!(rseq.call.is_err()),
            _ => assert_eq!(rseq.call, Ok(())),
        }
    }
}

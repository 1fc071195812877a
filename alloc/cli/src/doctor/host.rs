//! The kernel, the C library, and the filter that may stand between them.
#![allow(unsafe_code)]

use super::point::{Point, field};
use core::ffi::{CStr, c_char};

/// What the host says of itself.
#[derive(Debug)]
pub(crate) struct Host {
    /// The kernel's release.
    pub(crate) release: String,
    machine: String,
    /// glibc's version, where this command runs with glibc.
    pub(crate) glibc: Option<String>,
    seccomp: Seccomp,
}

/// System call filters of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seccomp {
    /// As in `/proc/self/status`: 0 off, 1 strict, 2 filters.
    mode: Option<u32>,
    /// How many; before Linux 5.9 it is not told.
    filters: Option<u32>,
}

impl Host {
    /// Asks; `status` is the text of `/proc/self/status`.
    pub(crate) fn look(status: &str) -> Self {
        // SAFETY: zero is a valid value of the structure.
        let mut name: libc::utsname = unsafe { core::mem::zeroed() };
        // SAFETY: the kernel fills a structure of that type.
        unsafe { libc::uname(&raw mut name) };
        Self {
            release: text(&name.release),
            machine: text(&name.machine),
            glibc: glibc_version(),
            seccomp: seccomp(status),
        }
    }

    /// Whether system calls are filtered.
    pub(crate) fn is_filtered(&self) -> bool {
        self.seccomp.mode.is_some_and(|mode| mode != 0)
    }

    /// Its lines.
    pub(crate) fn points(&self) -> Vec<Point> {
        let libc = match &self.glibc {
            Some(version) => Point::word("libc", format!("glibc {version}"), ""),
            None if cfg!(target_env = "musl") => {
                Point::word("libc", "musl", "of this command; other programs may have another")
            }
            None => Point::word("libc", "unknown", "not glibc"),
        };
        let kernel = Point::word("kernel", self.release.as_str(), format!("on {}", self.machine));
        vec![kernel, libc, filter_point(self.seccomp)]
    }
}

/// A field of `utsname`.
fn text(field: &[c_char]) -> String {
    // SAFETY: the kernel ends each by a NUL.
    unsafe { CStr::from_ptr(field.as_ptr()) }.to_string_lossy().into_owned()
}

/// By symbol at run time: this command may have been built for another C library.
fn glibc_version() -> Option<String> {
    // SAFETY: looks a name up.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"gnu_get_libc_version".as_ptr()) };
    if address.is_null() {
        return None;
    }
    // SAFETY: glibc's function of this name and type.
    let version = unsafe {
        let version: extern "C" fn() -> *const c_char = core::mem::transmute(address);
        CStr::from_ptr(version())
    };
    Some(version.to_string_lossy().into_owned())
}

fn seccomp(status: &str) -> Seccomp {
    let number = |key| field(status, key)?.parse().ok();
    Seccomp { mode: number("Seccomp"), filters: number("Seccomp_filters") }
}

fn filter_point(seccomp: Seccomp) -> Point {
    let (word, remark) = match seccomp {
        Seccomp { mode: None, .. } => ("unknown", "/proc/self/status does not tell".into()),
        Seccomp { mode: Some(0), .. } => ("off", "no system call is filtered".into()),
        Seccomp { mode: Some(1), .. } => ("strict", String::new()),
        Seccomp { filters: Some(1), .. } => ("filter", "1 filter".into()),
        Seccomp { filters: Some(n), .. } => ("filter", format!("{n} filters")),
        Seccomp { filters: None, .. } => ("filter", "system calls are filtered".into()),
    };
    Point::word("seccomp", word, remark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_from_the_status() {
        let new = "NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n";
        assert_eq!(seccomp(new), Seccomp { mode: Some(2), filters: Some(3) });
        let old = seccomp("NoNewPrivs:\t0\nSeccomp:\t2\nSpeculation_Store_Bypass:\tvulnerable\n");
        assert_eq!(old, Seccomp { mode: Some(2), filters: None });
        assert_eq!(filter_point(old).remark, "system calls are filtered");
        assert_eq!(filter_point(seccomp("Seccomp:\t0\n")), {
            Point::word("seccomp", "off", "no system call is filtered")
        });
        assert_eq!(filter_point(seccomp("")).value, Point::word("", "unknown", "").value);
    }

    #[test]
    fn this_host_has_a_release_and_a_libc() {
        let host = Host::look("");
        let known = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        assert_eq!(host.release, known.trim());
        assert_eq!(host.machine, std::env::consts::ARCH);
        if cfg!(target_env = "gnu") {
            assert!(host.glibc.unwrap().starts_with("2."));
        }
    }
}

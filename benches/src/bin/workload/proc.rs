//! What the process knows about itself, read without allocating: resident set, peak,
//! page faults, and which file serves `malloc`.

use core::ffi::CStr;
use core::fmt::{self, Write};

/// A line of text on the stack, with room for `N - 1` bytes and a newline.
pub(crate) struct Line<const N: usize = 1024> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Line<N> {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    pub(crate) fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("(not UTF-8)")
    }

    /// Writes the line and a newline to `fd`, in one call where a pipe takes it whole.
    pub(crate) fn send(mut self, fd: i32) {
        self.bytes[self.len] = b'\n';
        let mut left = &self.bytes[..=self.len];
        while !left.is_empty() {
            // SAFETY: the buffer is valid for its length.
            let sent = unsafe { libc::write(fd, left.as_ptr().cast(), left.len()) };
            match usize::try_from(sent) {
                Ok(sent) => left = &left[sent..],
                // Nobody reads any more: there is no one to tell.
                Err(_) => return,
            }
        }
    }
}

impl<const N: usize> Write for Line<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes[..N - 1]
            .get_mut(self.len..end)
            .ok_or(fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Ends the process with one line on stderr; never allocates, never unwinds.
#[cold]
#[inline(never)]
pub(crate) fn die(why: &str) -> ! {
    let mut line: Line = Line::new();
    let _ = write!(line, "workload: {why}");
    line.send(2);
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(3) }
}

/// The number after `key` in the proc file `path`.
fn field(path: &CStr, key: &str) -> u64 {
    let mut buffer = [0_u8; 4096];
    // SAFETY: plain file calls on a buffer of the length given.
    let len = unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        let len = libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len());
        libc::close(fd);
        usize::try_from(len).unwrap_or(0)
    };
    let text = core::str::from_utf8(&buffer[..len]).unwrap_or("");
    let number = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.split_ascii_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| die("a field of /proc/self is missing: is /proc mounted?"))
}

/// Resident set in KiB, counted page by page: the counters in `statm` lag behind by a
/// batch per CPU.
pub(crate) fn rss_kib() -> u64 {
    field(c"/proc/self/smaps_rollup", "Rss:")
}

/// Highest resident set so far in KiB.
pub(crate) fn peak_kib() -> u64 {
    field(c"/proc/self/status", "VmHWM:")
}

/// What the kernel has counted of a process, or between two moments of it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) user_ns: u64,
    pub(crate) sys_ns: u64,
    pub(crate) minflt: u64,
    pub(crate) majflt: u64,
    pub(crate) vcsw: u64,
    pub(crate) icsw: u64,
    /// Highest resident set of one process in KiB; not a sum.
    pub(crate) peak_kib: u64,
}

impl Usage {
    /// This process so far, with all its threads.
    pub(crate) fn of_self() -> Self {
        Self::of(libc::RUSAGE_SELF)
    }

    /// The children that were waited for so far.
    pub(crate) fn of_children() -> Self {
        Self::of(libc::RUSAGE_CHILDREN)
    }

    fn of(who: i32) -> Self {
        let mut usage = core::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: `getrusage` fills the struct, and all-zero is a valid one.
        let usage = unsafe {
            libc::getrusage(who, usage.as_mut_ptr());
            usage.assume_init()
        };
        let ns = |time: libc::timeval| {
            time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_usec.unsigned_abs() * 1000
        };
        Self {
            user_ns: ns(usage.ru_utime),
            sys_ns: ns(usage.ru_stime),
            minflt: usage.ru_minflt.unsigned_abs(),
            majflt: usage.ru_majflt.unsigned_abs(),
            vcsw: usage.ru_nvcsw.unsigned_abs(),
            icsw: usage.ru_nivcsw.unsigned_abs(),
            peak_kib: usage.ru_maxrss.unsigned_abs(),
        }
    }

    /// What was added since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            user_ns: self.user_ns - before.user_ns,
            sys_ns: self.sys_ns - before.sys_ns,
            minflt: self.minflt - before.minflt,
            majflt: self.majflt - before.majflt,
            vcsw: self.vcsw - before.vcsw,
            icsw: self.icsw - before.icsw,
            peak_kib: self.peak_kib,
        }
    }
}

fn file_of(function: *const libc::c_void) -> Option<&'static CStr> {
    let mut info = core::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: `dladdr` reads the address as a number; the name it gives lives as long as
    // the library, which is never unloaded.
    unsafe {
        if libc::dladdr(function, info.as_mut_ptr()) == 0 {
            return None;
        }
        let name = info.assume_init().dli_fname;
        (!name.is_null()).then(|| CStr::from_ptr(name))
    }
}

/// The file that serves the whole malloc family, or `mixed` where it is not one file.
pub(crate) fn malloc_library() -> &'static str {
    let family: [*const libc::c_void; 5] = [
        libc::malloc as *const libc::c_void,
        libc::free as *const libc::c_void,
        libc::calloc as *const libc::c_void,
        libc::realloc as *const libc::c_void,
        libc::posix_memalign as *const libc::c_void,
    ];
    let first = file_of(family[0]);
    if family.iter().any(|function| file_of(*function) != first) {
        return "mixed";
    }
    first.and_then(|name| name.to_str().ok()).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_not_below_the_resident_set() {
        assert!(rss_kib() > 100);
        assert!(peak_kib() + 512 > rss_kib());
        assert!(Usage::of_self().minflt > 0);
    }

    #[test]
    fn without_preload_the_c_library_serves_malloc() {
        assert!(malloc_library().contains("libc.so"), "{}", malloc_library());
    }

    #[test]
    fn a_line_too_long_is_an_error_and_stays_whole() {
        let mut line: Line = Line::new();
        assert!(line.write_str(&"x".repeat(1024)).is_err());
        assert!(line.write_str(&"x".repeat(1023)).is_ok());
        assert!(line.write_str("x").is_err());
        assert_eq!(line.as_str().len(), 1023);
    }
}

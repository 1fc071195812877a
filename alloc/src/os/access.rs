//! What the hardened mode alone asks of the system: pages without access, and a secret.
//!
//! ```text
//!  committed ──install_guard──► no access, reads as zero afterwards ──remove_guard──► committed
//!      ▲ └─────────forbid─────► no access ──────────┐
//!      └───────────────commit───────────────────────┘
//! ```

use super::{auxv, errno, protect};

// Linux 6.13; the C library's headers have no names for them everywhere.
const MADV_GUARD_INSTALL: i32 = 102;
const MADV_GUARD_REMOVE: i32 = 103;

/// Times that the system is asked while it says that it cannot just now.
const TRIES: u32 = 100;

fn advise(addr: *mut u8, len: usize, advice: i32) -> bool {
    for _ in 0..TRIES {
        // SAFETY: the callers' range, which nobody uses.
        if unsafe { libc::syscall(libc::SYS_madvise, addr, len, advice as usize) } == 0 {
            return true;
        }
        if errno() != libc::EINTR && errno() != libc::EAGAIN {
            break;
        }
    }
    false
}

/// Makes any access to a range end in a signal, and forgets what it holds, without a mapping of its
/// own. False where the kernel cannot.
///
/// # Safety
/// The range is committed memory of ours, and nobody uses it.
#[must_use]
pub unsafe fn install_guard(addr: *mut u8, len: usize) -> bool {
    advise(addr, len, MADV_GUARD_INSTALL)
}

/// The opposite of [`install_guard`]; the range then reads as zero.
///
/// # Safety
/// As there.
#[must_use]
pub unsafe fn remove_guard(addr: *mut u8, len: usize) -> bool {
    advise(addr, len, MADV_GUARD_REMOVE)
}

/// Takes the access to a range away, by a mapping of its own. False where the system refuses.
///
/// # Safety
/// As [`install_guard`].
#[must_use]
pub unsafe fn forbid(addr: *mut u8, len: usize) -> bool {
    // SAFETY: nobody uses the range.
    unsafe { protect(addr, len, libc::PROT_NONE) }.is_ok()
}

/// A number that nobody else knows: from the kernel's generator, or where a filter refuses that,
/// from what it gave the process at its start.
#[must_use]
pub fn random() -> u64 {
    let mut number = 0u64;
    // SAFETY: fills the one word, without waiting.
    let got = unsafe {
        libc::syscall(libc::SYS_getrandom, &raw mut number, size_of::<u64>(), libc::GRND_NONBLOCK)
    };
    if got == size_of::<u64>() as i64 {
        return number;
    }
    let given = core::ptr::with_exposed_provenance::<u64>(auxv(libc::AT_RANDOM) as usize);
    if given.is_null() {
        return (&raw const number).addr() as u64;
    }
    // SAFETY: sixteen bytes that the kernel placed for the process's life.
    unsafe { given.read_unaligned() ^ given.add(1).read_unaligned().rotate_left(17) }
}

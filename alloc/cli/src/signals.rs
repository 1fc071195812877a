//! While the program runs, signals are for it: this command outlives it to tell how it ended.
//!
//! ```text
//!  terminal ── ^C ──► whole group: the program has it already     nothing to do
//!  kill PID ────────► this command alone                          passed on
//! ```
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicI32, Ordering::SeqCst};

static CHILD: AtomicI32 = AtomicI32::new(0);
static PENDING: AtomicI32 = AtomicI32::new(0);

const CAUGHT: [libc::c_int; 6] =
    [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];

extern "C" fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel's structure, as SA_SIGINFO asks for; positive codes are the kernel's.
    if unsafe { (*info).si_code } > 0 {
        return;
    }
    match CHILD.load(SeqCst) {
        0 => PENDING.store(signal, SeqCst),
        // SAFETY: the child is not reaped yet, so the number is its own; errno is put back.
        child => unsafe {
            let errno = *libc::__errno_location();
            libc::kill(child, signal);
            *libc::__errno_location() = errno;
        },
    }
}

/// Catches them, but for those that are ignored: the program inherits that, and so do we.
pub(crate) fn catch() {
    for signal in CAUGHT {
        // SAFETY: zero is a valid value of the structure; the handler is async-signal-safe.
        unsafe {
            let mut action: libc::sigaction = core::mem::zeroed();
            libc::sigaction(signal, core::ptr::null(), &raw mut action);
            if action.sa_sigaction == libc::SIG_IGN {
                continue;
            }
            action = core::mem::zeroed();
            let handler: extern "C" fn(_, _, _) = pass_on;
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            libc::sigaction(signal, &raw const action, core::ptr::null_mut());
        }
    }
}

/// Names the child, and sends it what came before it was there.
pub(crate) fn child_is(pid: i32) {
    CHILD.store(pid, SeqCst);
    let pending = PENDING.swap(0, SeqCst);
    if pending != 0 {
        // SAFETY: the child is not reaped yet.
        unsafe { libc::kill(pid, pending) };
    }
}

/// Waits until the child has ended, without reaping it, and forgets its number, which is
/// somebody else's after it was reaped.
pub(crate) fn wait_for_end(pid: i32) {
    loop {
        // SAFETY: zero is a valid value of the structure, which waitid fills.
        let done = unsafe {
            let mut info: libc::siginfo_t = core::mem::zeroed();
            let options = libc::WEXITED | libc::WNOWAIT;
            libc::waitid(libc::P_PID, pid.cast_unsigned(), &raw mut info, options) == 0
        };
        let interrupted = std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted;
        if done || !interrupted {
            break;
        }
    }
    CHILD.store(0, SeqCst);
}

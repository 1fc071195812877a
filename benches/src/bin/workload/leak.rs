//! Short processes that allocate and exit without freeing anything.
//!
//! ```text
//!   workload leak-at-exit/8t ──posix_spawn, waitpid──▶ workload --leak 8   (50 times)
//!     child: 8 threads allocate 20,000 blocks in all, write them, wait;
//!            main calls exit: the allocator's exit handlers run, the kernel takes the rest
//! ```

use core::ffi::CStr;
use core::fmt::Write;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::heap::Chain;
use crate::meter::{Timed, timed};
use crate::proc::{Line, Usage, die};
use crate::rng::{Rng, Sizes};
use crate::threads::{Tally, start};

/// Blocks per process.
const BLOCKS: u64 = 20_000;

/// First argument of such a process; the second is its number of threads.
pub(crate) const FLAG: &str = "--leak";

fn allocate(index: usize, blocks: u64) {
    let sizes = Sizes::log_uniform(16, 1024);
    let mut rng = Rng::new(index);
    let mut chain = Chain::new();
    (0..blocks).for_each(|_| chain.grow(sizes.draw(&mut rng)));
    core::mem::forget(chain);
}

/// The child: allocates, and exits with everything still allocated.
pub(crate) fn child(threads: usize) -> ! {
    let (ready, never, next) = (Tally::new(0), Tally::new(0), AtomicUsize::new(0));
    let job = || {
        allocate(next.fetch_add(1, Relaxed), BLOCKS / threads as u64);
        ready.add(1);
        never.await_at_least(1);
    };
    if threads == 1 {
        allocate(0, BLOCKS);
    } else {
        for _ in 0..threads {
            // SAFETY: this function does not return, so `job` stays.
            unsafe { start(&raw const job, 0) }.detach();
        }
        ready.await_at_least(threads);
    }
    // SAFETY: ends the process as a return from `main` does, with its exit handlers.
    unsafe { libc::exit(0) }
}

/// Runs one child to its end.
fn launch(threads: &CStr) {
    let program = c"/proc/self/exe";
    let arguments = [c"workload".as_ptr(), c"--leak".as_ptr(), threads.as_ptr(), core::ptr::null()];
    let (mut child, mut status) = (0, 0);
    // SAFETY: all strings and arrays are terminated and outlive the call, and `environ`
    // is the C library's; the child is ours to wait for.
    unsafe {
        let error = libc::posix_spawn(
            &raw mut child,
            program.as_ptr(),
            core::ptr::null(),
            core::ptr::null(),
            arguments.as_ptr().cast(),
            environ.cast(),
        );
        if error != 0 {
            die("a child process cannot be started: is the limit on tasks (ulimit -u) too low?");
        }
        while libc::waitpid(child, &raw mut status, 0) != child {
            if *libc::__errno_location() != libc::EINTR {
                die("a child process cannot be waited for: is SIGCHLD ignored?");
            }
        }
    }
    if status != 0 {
        die("a process that leaked at its exit did not end well");
    }
}

unsafe extern "C" {
    static environ: *const *const core::ffi::c_char;
}

pub(crate) fn run(threads: usize, ops: u64) -> Timed {
    let mut number: Line = Line::new();
    let _ = write!(number, "{threads}\0");
    let Ok(number) = CStr::from_bytes_with_nul(number.as_str().as_bytes()) else {
        die("a number with a NUL in it");
    };
    launch(number);
    let processes = (ops / BLOCKS).max(1);
    let before = Usage::of_children();
    let time = timed(|| {
        (0..processes).for_each(|_| launch(number));
        processes * BLOCKS
    });
    let usage = Usage::of_children().since(before);
    Timed { cpu_ns: usage.user_ns + usage.sys_ns, usage, children: Some(usage), ..time }
}

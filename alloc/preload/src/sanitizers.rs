//! Programs built with a sanitizer that has to be their `malloc`: refused, before the first block.
//!
//! ```text
//!  runtime in a library of its own (gcc)        ours comes before it: the sanitizer sees no block,
//!    AddressSanitizer   says so itself, ends    ThreadSanitizer crashes in one of its own
//!    Thread-, LeakSanitizer   refused here      functions, LeakSanitizer finds no leak, ever
//!  runtime in the program (clang, rustc),       malloc is the sanitizer's: goes on, and this
//!    or preloaded before this library           library serves nobody
//!  UndefinedBehaviorSanitizer                   wants no malloc: goes on
//! ```
//!
//! Nothing but two system calls is made here: a runtime that is about to start may crash in any
//! function of libc that it takes over, and the first block may be asked for by that very runtime.

use crate::replaced::{is_malloc, resolved_if_any};
use cidalloc::check::say;

core::arch::global_asm!(
    // Weak, as where `cidalloc::start` asks for it: both may come to stand in one file.
    ".weak cidalloc_before_start",
    ".hidden cidalloc_before_start",
    ".type cidalloc_before_start, %function",
    ".set cidalloc_before_start, {refuse}",
    refuse = sym refuse,
);

/// The sanitizer whose runtime is in this process, if it has to be malloc.
fn found() -> Option<&'static str> {
    let runtimes = [
        // Each has parts of LeakSanitizer, whose name therefore comes last.
        (resolved_if_any!(__asan_init), "AddressSanitizer"),
        (resolved_if_any!(__hwasan_init), "HWAddressSanitizer"),
        (resolved_if_any!(__msan_init), "MemorySanitizer"),
        (resolved_if_any!(__tsan_init), "ThreadSanitizer"),
        (resolved_if_any!(__lsan_init), "LeakSanitizer"),
    ];
    runtimes.into_iter().find(|&(address, _)| address != 0).map(|(_, name)| name)
}

extern "C" fn refuse() {
    let Some(name) = found().filter(|_| is_malloc()) else { return };
    say(format_args!(
        "this program is built with {name}, which has to be its malloc: run it without \
         libcidmalloc.so (LD_PRELOAD, cidalloc run)"
    ));
    // SAFETY: ends the process; no handler of a runtime that has not started yet is run.
    unsafe { libc::syscall(libc::SYS_exit_group, 1) };
}

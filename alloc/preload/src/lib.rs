//! `libcidmalloc.so`: the allocator under the names that C and C++ programs call, for
//! `LD_PRELOAD` or for linking before libc.
//!
//! ```text
//!  family.rs      malloc free calloc realloc reallocarray cfree
//!  aligned.rs     posix_memalign aligned_alloc memalign valloc pvalloc
//!  sized.rs       free_sized free_aligned_sized malloc_usable_size
//!  control.rs     malloc_trim malloc_stats mallinfo mallinfo2 mallopt, cidalloc_placement
//!  info.rs        malloc_info
//!  cxx.rs         operator delete, operator delete[] (twelve forms; new is libstdc++'s)
//!  libc_names.rs  __libc_malloc and glibc's other second names
//!  replaced.rs    which of these the program has itself
//!  sanitizers.rs  programs that cannot have the library
//! ```
//!
//! These are all; no other symbol leaves the library. Each is thread-safe.
//!
//! # Sizes and errors
//!
//! - A size of 0 gives a block that no other live block shares. `realloc` of a block to 0 frees
//!   it and returns null, as glibc does.
//! - Null comes with `errno` `ENOMEM`: when memory has ended, for sizes above `PTRDIFF_MAX`, and
//!   for products that overflow. What was to be resized is then as it was. Odd alignments:
//!   see `aligned.rs`.
//! - Success leaves `errno` as it was, and so does every way of freeing, whatever the kernel
//!   said meanwhile (POSIX 2024 asks it of `free` alone).
//! - A pointer that is not a live block's ends the process with one line on standard error.
//!
//! # Processes and signals
//!
//! - `fork`: at any time, from any thread; parent and child both go on allocating. The handlers
//!   are registered when the heap starts, so they run outside of those of the program: last
//!   before the fork, first after it.
//! - `vfork`, and `clone` that shares memory without being a thread: the child must not allocate
//!   before `exec`, as POSIX says. It runs without a registration of its own in its parent's
//!   thread area. `posix_spawn` keeps to that.
//! - Signal handlers: `malloc` is not async-signal-safe, by POSIX and here. A handler that
//!   allocates all the same does not wait for a lock that the thread it interrupted holds; it
//!   may get null where there was memory.
//! - The heap starts at the first call, from whatever constructor it comes, or when the loader
//!   starts the library: before the program has threads. The library is never unloaded.
#![no_std]

pub mod aligned;
pub mod control;
pub mod cxx;
pub mod family;
pub mod info;
pub mod libc_names;
mod replaced;
mod sanitizers;
pub mod sized;

use cidalloc::check::die;
use cidalloc::os::ErrnoGuard;
use cidalloc::start;
use core::panic::PanicInfo;

/// What the loader calls before the constructors of what depends on this library.
#[used]
// SAFETY: the section is an array of pointers to functions that the loader calls with the
// program's arguments, which this one ignores.
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = at_start;

extern "C" fn at_start() {
    // Programs begin with errno 0.
    let _errno = ErrnoGuard::new();
    // Without memory now, the first call tries again, and tells its caller.
    let _ = start::heap();
    replaced::start();
}

/// A mistake of the library. Nothing may unwind into C.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => die(format_args!("mistake in the library, {at}: {}", info.message())),
        None => die(format_args!("mistake in the library: {}", info.message())),
    }
}

// The compiled `core` names the function that the unwinder asks about each of its frames.
// Unwinding happens through this library when a thread is cancelled while `malloc_info` writes:
// it goes on (8 is _URC_CONTINUE_UNWIND), since there is nothing of ours to clean up. Hidden, so
// that it is not taken for that of a Rust program.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl rust_eh_personality",
    ".hidden rust_eh_personality",
    ".type rust_eh_personality, @function",
    "rust_eh_personality: mov eax, 8",
    "ret",
    ".size rust_eh_personality, . - rust_eh_personality",
);
#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl rust_eh_personality",
    ".hidden rust_eh_personality",
    ".type rust_eh_personality, %function",
    "rust_eh_personality: mov w0, #8",
    "ret",
    ".size rust_eh_personality, . - rust_eh_personality",
);

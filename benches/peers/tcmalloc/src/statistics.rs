//! What tcmalloc says of itself at the end of a program that has `PEER_STATISTICS` in its
//! environment: whether its caches were really per CPU. They are only where it may
//! register rseq itself, so not where the C library did.
//!
//! ```text
//!   peer: per-CPU caches active
//!   peer: per-CPU caches NOT active: it uses caches per thread
//! ```

unsafe extern "C" {
    fn MallocExtension_Internal_GetPerCpuCachesActive() -> bool;
}

extern "C" fn at_exit() {
    // SAFETY: the environment is read at the end of the program.
    if unsafe { libc::getenv(c"PEER_STATISTICS".as_ptr()) }.is_null() {
        return;
    }
    // SAFETY: reads a flag of tcmalloc's.
    let text: &[u8] = if unsafe { MallocExtension_Internal_GetPerCpuCachesActive() } {
        b"peer: per-CPU caches active\n"
    } else {
        b"peer: per-CPU caches NOT active: it uses caches per thread\n"
    };
    // SAFETY: a valid slice. What cannot be written is not missed.
    unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
}

#[used]
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = at_exit;

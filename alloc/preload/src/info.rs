//! `malloc_info`: the heap in XML, in the words of glibc's, so that its readers read ours.
//!
//! ```text
//!  malloc ┬ heap ┬ sizes: a size per class with free objects
//!         │      ├ total fast, rest        cached in shards; free in spans and free pages
//!         │      └ system, aspace
//!         ├ total fast, rest, mmap         the same; large objects
//!         └ system, aspace                 bytes from the system
//! ```
//!
//! There is one heap: shards are caches of it.

use cidalloc::heap;
use cidalloc::os::ErrnoGuard;
use cidalloc::size_class::CLASS;
use cidalloc::stats::Snapshot;
use core::fmt::{self, Write};

/// Writes a description of the heap to `stream` and returns 0; `EINVAL` for `options` other
/// than 0, and -1 with `errno` when the stream does not take it.
///
/// # Safety
/// `stream` is an open stream of C's library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_info(options: i32, stream: *mut libc::FILE) -> i32 {
    if options != 0 {
        return libc::EINVAL;
    }
    // Writing may allocate; no lock of ours is held by now.
    let snapshot = {
        let _errno = ErrnoGuard::new();
        heap::started().map(Snapshot::take)
    };
    match document(&mut Stream(stream), snapshot.as_ref()) {
        Ok(()) => 0,
        Err(fmt::Error) => -1,
    }
}

fn document(out: &mut Stream, snapshot: Option<&Snapshot>) -> fmt::Result {
    out.write_str("<malloc version=\"1\">\n")?;
    if let Some(now) = snapshot {
        out.write_str("<heap nr=\"0\">\n")?;
        sizes(out, now)?;
        free(out, now)?;
        system(out, now)?;
        out.write_str("</heap>\n")?;
        free(out, now)?;
        total(out, "mmap", now.large_objects, now.large_bytes)?;
        system(out, now)?;
    }
    out.write_str("</malloc>\n")
}

fn sizes(out: &mut Stream, now: &Snapshot) -> fmt::Result {
    out.write_str("<sizes>\n")?;
    for (pair, totals) in CLASS.windows(2).zip(&now.classes[1..]) {
        let count = totals.free + totals.cached;
        if count > 0 {
            let (from, to) = (pair[0].size + 1, pair[1].size);
            let total = count * to as usize;
            writeln!(
                out,
                "  <size from=\"{from}\" to=\"{to}\" total=\"{total}\" count=\"{count}\"/>"
            )?;
        }
    }
    out.write_str("</sizes>\n")
}

fn free(out: &mut Stream, now: &Snapshot) -> fmt::Result {
    let cached = now.classes.iter().map(|class| class.cached).sum();
    let in_spans = now.classes.iter().map(|class| class.free).sum();
    total(out, "fast", cached, now.cached_bytes)?;
    total(out, "rest", in_spans, now.free_in_spans_bytes + now.dirty_bytes)
}

fn total(out: &mut Stream, kind: &str, count: usize, size: usize) -> fmt::Result {
    writeln!(out, "<total type=\"{kind}\" count=\"{count}\" size=\"{size}\"/>")
}

fn system(out: &mut Stream, now: &Snapshot) -> fmt::Result {
    let bytes = now.committed_bytes;
    // The region does not shrink: what it is, is the most that it was.
    for (name, kind) in
        [("system", "current"), ("system", "max"), ("aspace", "total"), ("aspace", "mprotect")]
    {
        writeln!(out, "<{name} type=\"{kind}\" size=\"{bytes}\"/>")?;
    }
    Ok(())
}

/// A stream of C's library.
struct Stream(*mut libc::FILE);

impl Write for Stream {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        // SAFETY: the stream is open by the promise of malloc_info's caller.
        let written = unsafe { libc::fwrite(s.as_ptr().cast(), 1, s.len(), self.0) };
        if written == s.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

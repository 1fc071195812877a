//! The fuzz target: libFuzzer's bytes are a sequence of calls, which is played on this process's
//! cidalloc and compared with a map of the live blocks. The fuzzer itself lives on libc's malloc.
//!
//! ```text
//!  libFuzzer ── bytes ──► decode ──► script ──► run ──► coverage of cidalloc ──► libFuzzer
//!                                      └── printed as lines of C when a promise is broken
//! ```
#![no_main]

use cidalloc_operations::{input, run};
use libfuzzer_sys::fuzz_target;
use std::cell::Cell;

thread_local! {
    static BYTES: Cell<&'static [u8]> = const { Cell::new(&[]) };
    /// Whether each sequence is printed before it is played: what a signal ends says nothing after.
    static SAYS: bool = std::env::var_os("FUZZ_SAY").is_some();
}

/// Says which sequence it was, before libFuzzer writes the bytes to a file.
fn say_sequence() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        hook(info);
        eprintln!("The sequence:\n{}", input(BYTES.get()).1);
    }));
}

fuzz_target!(
    init: say_sequence(),
    |bytes: &[u8]| {
        if SAYS.with(|says| *says) {
            eprintln!("The sequence:\n{}", input(bytes).1);
        }
        // SAFETY: taken back before the bytes end.
        BYTES.set(unsafe { core::slice::from_raw_parts(bytes.as_ptr(), bytes.len()) });
        let (face, script) = input(bytes);
        run(face, &script);
        BYTES.set(&[]);
    }
);

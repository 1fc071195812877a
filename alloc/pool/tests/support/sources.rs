//! Tests under each source of cids, and threads that signals interrupt.
#![allow(dead_code, reason = "each test uses some of it")]

use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};
use core::time::Duration;
use std::sync::Mutex;
use std::thread;

/// What chooses the source of cids, and the areas: at start, so each is another process.
pub(crate) const SETTINGS: [(&str, &str); 5] = [
    ("CIDALLOC_CID", "kernel"),
    ("CIDALLOC_CID", "cpu"),
    ("CIDALLOC_CID", "emulated"),
    ("CIDALLOC_CID", "none"),
    ("GLIBC_TUNABLES", "glibc.pthread.rseq=0"),
];

/// For each ignored test of that name, one that runs it under each source.
#[macro_export]
macro_rules! under_each_source {
    ($($name:ident),+ $(,)?) => {
        mod under_each_source {
            $(
                #[test]
                fn $name() {
                    for setting in $crate::sources::SETTINGS {
                        $crate::support::rerun_well(stringify!($name), &[setting]);
                    }
                }
            )+
        }
    };
}

/// The source of this process.
pub(crate) fn source() -> cidpool::Source {
    cidalloc::percid::get().expect("there is memory").source
}

/// More threads than run at once.
pub(crate) fn many_threads() -> usize {
    4 * thread::available_parallelism().map_or(2, usize::from).min(16)
}

/// What the handler of signals does.
static HANDLER: Mutex<Option<fn()>> = Mutex::new(None);
static HANDLER_NOW: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_signal(_: libc::c_int) {
    // SAFETY: 0, or a function that was stored by `interrupted`.
    let handler: Option<fn()> = unsafe { core::mem::transmute(HANDLER_NOW.load(Acquire)) };
    if let Some(handler) = handler {
        handler();
    }
}

/// Counts a thread that is done, and one that panics: nobody waits for it for ever.
struct CountAtEnd<'a>(&'a AtomicUsize);

impl Drop for CountAtEnd<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Runs `work` in so many threads, which get a number each, and `handler` in signal handlers that
/// interrupt them all the while.
pub(crate) fn interrupted(threads: usize, handler: fn(), work: impl Fn(usize) + Sync) {
    let mut handlers = HANDLER.lock().expect("no test panics in here");
    *handlers = Some(handler);
    HANDLER_NOW.store(handler as usize, Release);
    let action = on_signal as extern "C" fn(libc::c_int);
    // SAFETY: a handler that does what tests may do in handlers.
    unsafe { libc::signal(libc::SIGUSR1, action as usize) };
    let (finished, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    // Work may be done before the first signal is sent, if it does not wait for it.
    let signalled = AtomicBool::new(false);
    let ids: Vec<_> = (0..threads).map(|_| AtomicI32::new(0)).collect();
    thread::scope(|scope| {
        let (work, finished, stop, ids) = (&work, &finished, &stop, &ids);
        let signalled = &signalled;
        for (number, id) in ids.iter().enumerate() {
            scope.spawn(move || {
                // SAFETY: takes nothing.
                id.store(unsafe { libc::gettid() }, Release);
                while !signalled.load(Acquire) {
                    thread::yield_now();
                }
                let count = CountAtEnd(finished);
                work(number);
                drop(count);
                // Alive as long as it may be signalled.
                while !stop.load(Acquire) {
                    thread::sleep(Duration::from_millis(1));
                }
            });
        }
        while finished.load(SeqCst) < threads {
            for id in ids.iter().map(|id| id.load(Acquire)).filter(|&id| id != 0) {
                // SAFETY: a thread that waits for `stop` before its end.
                unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), id, libc::SIGUSR1) };
                signalled.store(true, Release);
            }
            thread::sleep(Duration::from_micros(50));
        }
        stop.store(true, Release);
    });
    HANDLER_NOW.store(0, Release);
    assert_eq!(finished.load(Relaxed), threads, "a thread panicked");
}

//! A program that keeps the last events of each cid, and tells them in time order when it crashes.
//!
//! ```text
//!  cargo run --release -p cidalloc-pool --example tracer -- --demo
//!
//!  threads ── append ──► Ring, one per cid ──┐ the oldest are overwritten
//!  SIGSEGV ──► handler ── snapshot ◄─────────┘ ──► the last 20 events on standard error
//! ```
//!
//! What the handler needs was allocated before: the snapshot, and a line on its stack. With `--demo`
//! it exits with status 0 then; without, the process ends by the signal, as it would have.
#![allow(unsafe_code)]

use cidpool::ring::monotonic_ns;
use cidpool::{Pool, Ring, Snapshot, WhenFull};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::thread;

/// An event: which thread, what, and with which number.
type Event = [u64; 3];
const NAMES: [&str; 3] = ["accepts", "reads", "answers"];
const THREADS: u64 = 4;
const TOLD: usize = 20;

static RING: OnceLock<Ring> = OnceLock::new();
static SNAPSHOT: Mutex<Option<Snapshot>> = Mutex::new(None);
static IS_DEMO: AtomicBool = AtomicBool::new(false);

fn trace(event: Event) {
    if let Some(ring) = RING.get() {
        // Refused it is counted, which is all that a tracer can do.
        let _ = ring.append(bytemuck::bytes_of(&event));
    }
}

/// Text of one line, on the stack.
struct Line {
    bytes: [u8; 128],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let length = text.len().min(self.bytes.len() - self.length);
        self.bytes[self.length..][..length].copy_from_slice(&text.as_bytes()[..length]);
        self.length += length;
        Ok(())
    }
}

fn tell(line: fmt::Arguments<'_>) {
    let mut text = Line { bytes: [0; 128], length: 0 };
    let _ = writeln!(text, "{line}");
    // SAFETY: so many bytes of the line.
    unsafe { libc::write(libc::STDERR_FILENO, text.bytes.as_ptr().cast(), text.length) };
}

/// Tells the last events, the newest one last.
fn dump(ring: &Ring, snapshot: &mut Snapshot) {
    ring.snapshot(snapshot);
    let now = monotonic_ns();
    let all = snapshot.records().count();
    tell(format_args!("{all} events are left, {} were refused; the last ones:", ring.dropped()));
    for record in snapshot.records().skip(all.saturating_sub(TOLD)) {
        let event: Event = bytemuck::pod_read_unaligned(record.payload);
        let [thread, what, number] = event;
        let (ago, name) = (now.saturating_sub(record.stamp), NAMES[what as usize % NAMES.len()]);
        tell(format_args!("-{ago:9} ns  {}  thread {thread} {name} {number}", record.place));
    }
}

extern "C" fn on_crash(signal: libc::c_int) {
    tell(format_args!("signal {signal}"));
    // A second thread that crashes meanwhile finds it taken, and waits for the end.
    if let (Some(ring), Ok(mut snapshot)) = (RING.get(), SNAPSHOT.try_lock())
        && let Some(snapshot) = snapshot.as_mut()
    {
        dump(ring, snapshot);
        // SAFETY: ends the process, at once; or has the signal end it when the handler returns.
        unsafe {
            if IS_DEMO.load(Relaxed) {
                libc::_exit(0);
            }
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

fn work(thread: u64) {
    for number in 0.. {
        for what in 0..NAMES.len() as u64 {
            trace([thread, what, number]);
        }
        if thread == 1 && number == 20_000 {
            let nowhere = core::ptr::without_provenance_mut::<u64>(8);
            // SAFETY: not at all: this is the crash.
            unsafe { nowhere.write_volatile(1) };
        }
        thread::yield_now();
    }
}

fn main() -> Result<(), Box<dyn core::error::Error>> {
    IS_DEMO.store(std::env::args().any(|argument| argument == "--demo"), Relaxed);
    let pool = Pool::builder(Ring::item_len(16 << 10)).name("tracer").build()?;
    let ring = Ring::new(&pool, WhenFull::Overwrite)?;
    *SNAPSHOT.lock().expect("nobody has it") = Some(Snapshot::new(&ring));
    let _ = RING.set(ring);
    let handler = on_crash as extern "C" fn(libc::c_int);
    // SAFETY: a handler that allocates nothing, and waits for nobody.
    unsafe { libc::signal(libc::SIGSEGV, handler as libc::sighandler_t) };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || work(thread));
        }
    });
    Ok(())
}

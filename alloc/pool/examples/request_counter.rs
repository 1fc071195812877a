//! A server that counts what it does, and somebody who looks at the rates while it runs.
//!
//! ```text
//!  cargo run --release -p cidalloc-pool --example request_counter
//!
//!  workers ── add ──► Counters, a copy per cid ──── sums() every 100 ms ──► a line of rates
//! ```
//!
//! Ends by itself after a second, with an exact sum beside what the workers say they did.

use cidpool::Counters;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;
use std::thread;
use std::time::Instant;

const REQUESTS: usize = 0;
const ERRORS: usize = 1;
const BYTES: usize = 2;
static SERVED: Counters<3> = Counters::new();

const WORKERS: u64 = 4;
const LOOKS: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(100);

/// Serves until it is told to stop; says how many requests that were.
fn serve(mut random: u64, stop: &AtomicBool) -> u64 {
    let mut served = 0;
    while !stop.load(Relaxed) {
        // What a request costs: some arithmetic on a page that is not there.
        for _ in 0..200 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
        }
        SERVED.add(REQUESTS, 1);
        SERVED.add(BYTES, 200 + random % 4096);
        if random.is_multiple_of(100) {
            SERVED.add(ERRORS, 1);
        }
        served += 1;
    }
    served
}

fn main() {
    let stop = AtomicBool::new(false);
    let served: u64 = thread::scope(|scope| {
        let stop = &stop;
        let workers: Vec<_> =
            (1..=WORKERS).map(|seed| scope.spawn(move || serve(seed, stop))).collect();
        println!("{:>12} {:>12} {:>12}", "requests/s", "errors/s", "MiB/s");
        let (mut before, mut then) = ([0; 3], Instant::now());
        for _ in 0..LOOKS {
            thread::sleep(BETWEEN);
            let (now, sums) = (Instant::now(), SERVED.sums());
            let seconds = (now - then).as_secs_f64();
            let rate = |i: usize| sums[i].wrapping_sub(before[i]) as f64 / seconds;
            let mib = rate(BYTES) / f64::from(1 << 20);
            println!("{:12.0} {:12.0} {mib:12.1}", rate(REQUESTS), rate(ERRORS));
            (before, then) = (sums, now);
        }
        stop.store(true, Relaxed);
        workers.into_iter().map(|worker| worker.join().expect("it ends")).sum()
    });
    match SERVED.sums_exact() {
        Ok([requests, errors, _]) => {
            println!("{requests} requests, {errors} errors; the workers say {served}");
            assert_eq!(requests, served);
        }
        Err(why) => println!("no exact sum: {why}"),
    }
}

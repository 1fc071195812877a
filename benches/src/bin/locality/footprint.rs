//! What a shard keeps resident once it was used: the difference between processes in which one
//! and two threads worked at the same time, each on a shard of its own.
//!
//! ```text
//!   child 1   the main thread works, another waits   ─┐
//!   child 2   both work                                ├─▶ difference of resident memory
//!             all is freed at the end                 ─┘
//! ```
//!
//! On two CPUs there are two cids, hence the main thread is one of the two.

use core::hint::black_box;
use std::process::Command;
use std::sync::Barrier;

use cidalloc::config::{ARENA_BYTES, SHARD_BYTES};
use cidalloc::snapshot::Snapshot;
use cidalloc_benches::locality::random::Rng;
use cidalloc_benches::stats::spread;

use crate::cli;
use crate::pinned::{pin, several_cpus};

/// Allocations of a thread at work.
const OPS: usize = 200_000;
/// Blocks that it has at a time.
const LIVE: usize = 256;

/// Which blocks a thread allocates.
#[derive(Clone, Copy)]
enum Mix {
    /// 16 to 4096 bytes, evenly over the logarithm.
    Wide,
    /// 64 bytes.
    Narrow,
}

/// Each new block takes the place of one of those that live.
fn work(mix: Mix, seed: u64) {
    let mut rng = Rng::new(seed);
    let mut live: [Vec<u8>; LIVE] = [const { Vec::new() }; LIVE];
    for op in 0..OPS {
        let size = match mix {
            Mix::Wide => (16.0 * 256_f64.powf(rng.share())) as usize,
            Mix::Narrow => 64,
        };
        let mut block = Vec::with_capacity(size);
        block.resize(size, op as u8);
        live[rng.below(LIVE)] = black_box(block);
    }
}

/// A process in which `workers` of two threads work.
fn child(workers: usize, mix: Mix) -> Result<(), String> {
    let cpus = several_cpus()?;
    let barrier = Barrier::new(2);
    let now = std::thread::scope(|scope| {
        scope.spawn(|| {
            let pinned = pin(cpus[1]);
            barrier.wait();
            if workers > 1 && pinned.is_ok() {
                work(mix, 2);
            }
            barrier.wait();
            barrier.wait();
        });
        let pinned = pin(cpus[0]);
        barrier.wait();
        work(mix, 1);
        barrier.wait();
        let heap = cidalloc::heap::get().map_err(|_| "the heap did not start".to_owned());
        let now = heap.map(Snapshot::take);
        barrier.wait();
        pinned.and(now)
    })?;
    println!("{} {} {}", now.shards_in_use, now.resident_bytes, now.cached_bytes);
    Ok(())
}

/// Shards, resident and cached bytes that a child reports.
fn ask(workers: usize, mix: Mix) -> Result<[f64; 3], String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let child = workers.to_string();
    let mut command = Command::new(exe);
    command.args(["footprint", "--child", &child]);
    if matches!(mix, Mix::Narrow) {
        command.arg("--narrow");
    }
    let output = command.output();
    let output = output.map_err(|error| format!("a child did not start: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut fields = text.split_ascii_whitespace().filter_map(|field| field.parse().ok());
    match (fields.next(), fields.next(), fields.next()) {
        (Some(shards), Some(resident), Some(cached)) if output.status.success() => {
            Ok([shards, resident, cached])
        }
        _ => Err(format!("a child failed: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// `locality footprint`
pub(crate) fn run(options: &cli::Footprint) -> Result<(), String> {
    if let Some(workers) = options.child {
        return child(workers, if options.narrow { Mix::Narrow } else { Mix::Wide });
    }
    println!(
        "address space of a shard: {} KiB, {} KiB of it its arena",
        SHARD_BYTES >> 10,
        ARENA_BYTES >> 10
    );
    measure("16 to 4096 bytes", Mix::Wide, options.repeats)?;
    measure("64 bytes alone", Mix::Narrow, options.repeats)
}

/// Says what one more shard costs after this work.
fn measure(name: &str, mix: Mix, repeats: u32) -> Result<(), String> {
    let (mut resident, mut cached) = (Vec::new(), Vec::new());
    for _ in 0..repeats {
        let [one, two] = [ask(1, mix)?, ask(2, mix)?];
        if two[0] < 2.0 {
            println!("left out: both threads were on one shard");
            continue;
        }
        resident.push((two[1] - one[1]) / 1024.0);
        cached.push((two[2] - one[2]) / 1024.0);
    }
    let all = spread(resident).zip(spread(cached));
    let (resident, cached) = all.ok_or("no process had a shard for each of its threads")?;
    println!(
        "blocks of {name}, {LIVE} at a time: {:.0} KiB resident with its spans ({:.0}–{:.0}); \
         {:.0} KiB of free blocks in it",
        resident.median, resident.min, resident.max, cached.median
    );
    Ok(())
}

//! Results as a real comparison gives them, for the tests of the report: figures of a run
//! on two CPUs, with peers, rounds, latencies and timelines made up around them.

use crate::results::{
    Allocator, Cell, Failure, Kind, LatencyCell, Metric, NoiseSummary, Op, Results, Run, Sample,
    Timeline, Workload,
};
use crate::stats::{Spread, spread};

const ABOUT: &str = "Threads allocate and free blocks of random sizes and pass some on to \
    others, after the well-known benchmark of that name: a server whose requests outlive the \
    thread that began them. Stresses frees by other threads and the reuse of what they gave back.";

/// Name, nanoseconds and peak KiB of ours, glibc, jemalloc, mimalloc and tcmalloc.
type Timed = (&'static str, [f64; 5], [f64; 5]);

#[rustfmt::skip]
const TIMED: &[Timed] = &[
    ("pair/16/1t", [10.61, 19.56, 9.17, 8.96, 9.43], [2464.0, 2288.0, 4008.0, 2444.0, 7236.0]),
    ("pair/64/1t", [10.51, 19.66, 10.88, 18.66, 9.16], [2464.0, 2156.0, 4012.0, 2492.0, 7248.0]),
    ("pair/512/1t", [9.12, 10.83, 11.8, 14.39, 9.16], [2480.0, 2208.0, 4016.0, 2496.0, 7092.0]),
    ("pair/16/2t", [5.95, 9.75, 5.28, 9.03, 4.97], [2560.0, 2428.0, 4360.0, 2764.0, 7224.0]),
    ("pair/64/2t", [4.16, 6.2, 3.75, 5.73, 3.73], [2660.0, 2180.0, 4372.0, 2712.0, 7392.0]),
    ("pair/512/2t", [4.37, 6.36, 3.82, 7.4, 3.19], [2600.0, 2432.0, 4312.0, 2784.0, 7392.0]),
    ("batch/1000/fifo", [15.88, 25.65, 22.89, 13.21, 14.59], [2556.0, 2292.0, 4176.0, 2568.0, 7120.0]),
    ("batch/1000/lifo", [15.88, 28.81, 30.73, 8.86, 13.3], [2476.0, 2224.0, 4172.0, 2476.0, 7308.0]),
    ("batch/1000/shuffled", [14.38, 28.78, 25.99, 11.24, 14.57], [2500.0, 2340.0, 4132.0, 2452.0, 7240.0]),
    ("batch/1000/fifo-untouched", [15.18, 28.07, 38.8, 13.13, 14.9], [2440.0, 2224.0, 4024.0, 2468.0, 7188.0]),
    ("batch/1000000/fifo", [23.88, 34.98, 28.14, 19.93, 28.84], [76844.0, 91892.0, 80276.0, 79224.0, 82744.0]),
    ("batch/1000000/shuffled", [86.08, 384.8, 89.98, 59.23, 119.9], [76932.0, 91916.0, 80280.0, 76932.0, 81616.0]),
    ("random/small/1t", [46.74, 116.6, 82.25, 60.96, 45.16], [16072.0, 10496.0, 13628.0, 12912.0, 17444.0]),
    ("random/small/2t", [18.87, 52.37, 27.63, 26.7, 24.97], [21276.0, 11124.0, 14616.0, 14216.0, 18360.0]),
    ("random/small/8t", [21.52, 40.8, 17.29, 20.45, 17.95], [19212.0, 13028.0, 18008.0, 17832.0, 21608.0]),
    ("random/small/64t", [13.38, 46.9, 20.91, 21.57, 25.68], [14092.0, 19468.0, 31236.0, 37076.0, 37700.0]),
    ("random/wide/1t", [136.6, 174.2, 171.2, 107.6, 115.8], [34036.0, 31224.0, 50136.0, 29428.0, 33024.0]),
    ("random/wide/2t", [64.78, 110.3, 83.08, 38.53, 47.95], [41252.0, 37852.0, 57660.0, 34760.0, 35052.0]),
    ("random/wide/8t", [37.84, 78.92, 74.83, 48.52, 44.29], [38836.0, 44840.0, 70380.0, 64884.0, 42372.0]),
    ("random/wide/64t", [32.48, 89.07, 99.34, 76.27, 71.35], [29976.0, 47076.0, 91508.0, 108296.0, 77796.0]),
    ("prodcons/1x1", [28.57, 206.7, 124.3, 38.68, 67.47], [9044.0, 3756.0, 6028.0, 4328.0, 8700.0]),
    ("prodcons/1x3", [83.39, 202.4, 118.3, 68.95, 81.45], [9036.0, 4228.0, 6232.0, 4192.0, 9564.0]),
    ("prodcons/4x4", [34.98, 136.9, 210.6, 113.3, 201.9], [11708.0, 7004.0, 10584.0, 8864.0, 9232.0]),
    ("larson/2t", [54.52, 39.48, 34.49, 44.21, 52.81], [7112.0, 10184.0, 10264.0, 14588.0, 12896.0]),
    ("larson/8t", [37.24, 81.45, 75.72, 119.8, 95.62], [15212.0, 25584.0, 23112.0, 56368.0, 19696.0]),
    ("larson/64t", [69.44, 185.0, 92.3, 150.2, 95.04], [79676.0, 101460.0, 94928.0, 158424.0, 88956.0]),
    ("mstress/2t", [133.6, 240.5, 245.5, 181.4, 182.2], [21448.0, 28584.0, 22036.0, 31344.0, 24024.0]),
    ("mstress/8t", [148.1, 242.1, 301.6, 172.5, 130.4], [15724.0, 26320.0, 18572.0, 26304.0, 19072.0]),
    ("mstress/64t", [212.6, 350.5, 528.4, 342.0, 267.6], [8860.0, 18996.0, 9580.0, 27524.0, 11364.0]),
    ("rptest/64t", [253.2, 501.7, 416.1, 469.2, 560.8], [130508.0, 151020.0, 182848.0, 264968.0, 138748.0]),
    ("sh6/4t", [43.88, 202.4, 112.3, 34.42, 50.41], [63072.0, 60000.0, 225220.0, 66420.0, 57912.0]),
    ("sh6/64t", [22.97, 75.58, 43.23, 45.34, 42.38], [27000.0, 40268.0, 51260.0, 106396.0, 71880.0]),
    ("sh8/4t", [73.91, 263.1, 112.3, 82.72, 108.5], [56748.0, 59748.0, 69400.0, 69560.0, 55524.0]),
    ("sh8/64t", [54.97, 166.8, 104.1, 118.2, 82.03], [25708.0, 47580.0, 49740.0, 90180.0, 42884.0]),
    ("cache-scratch/2t", [589.0, 140.8, 135.7, 134.8, 1188.0], [2688.0, 2408.0, 4392.0, 2748.0, 7316.0]),
    ("cache-thrash/2t", [148.3, 148.2, 137.5, 137.6, 925.1], [2760.0, 2388.0, 4348.0, 2768.0, 7336.0]),
    ("large/touched", [20867.0, 87324.0, 75235.0, 33008.0, 27702.0], [128108.0, 122552.0, 132692.0, 136892.0, 138476.0]),
    ("large/untouched", [165.9, 2843.0, 740.4, 567.2, 274.7], [2904.0, 64012.0, 4692.0, 13340.0, 12308.0]),
    ("grow/doubling", [178699.0, 172811.0, 881530.0, 240556.0, 230232.0], [33312.0, 18488.0, 27744.0, 36052.0, 40124.0]),
    ("grow/by-one", [38.91, 16.3, 105.2, 38.23, 19.7], [26900.0, 11500.0, 55880.0, 33252.0, 26400.0]),
    ("calloc/100", [19.84, 43.29, 21.73, 22.44, 32.12], [2572.0, 2072.0, 4084.0, 2460.0, 7140.0]),
    ("calloc/10K", [230.5, 220.8, 245.4, 207.1, 216.3], [3232.0, 2828.0, 4704.0, 3136.0, 7840.0]),
    ("calloc/1M", [25412.0, 29654.0, 958814.0, 25685.0, 25642.0], [6644.0, 6172.0, 8208.0, 6436.0, 11480.0]),
    ("aligned/64", [29.47, 173.0, 39.13, 44.45, 14.89], [4016.0, 3476.0, 5516.0, 4200.0, 8780.0]),
    ("aligned/4096", [23.95, 321.8, 26.14, 109.7, 21.73], [6552.0, 7368.0, 8284.0, 8684.0, 11212.0]),
    ("churn/20000-threads", [35744.0, 39815.0, 254050.0, 41725.0, 36053.0], [3608.0, 2676.0, 5064.0, 3568.0, 7588.0]),
];

/// Name, KiB that were asked for, and resident KiB of the same five.
#[rustfmt::skip]
const MEMORY: &[(&str, u64, [f64; 5])] = &[
    ("once", 0, [1356.0, 1064.0, 3528.0, 1712.0, 6612.0]),
    ("threads1000", 0, [10848.0, 10620.0, 12408.0, 10748.0, 15552.0]),
    ("idle1000", 7274, [20416.0, 80152.0, 388256.0, 459524.0, 126520.0]),
    ("live1000", 245866, [265956.0, 262236.0, 388408.0, 459404.0, 340224.0]),
    ("burst/peak", 524288, [552956.0, 559660.0, 587128.0, 584000.0, 579800.0]),
    ("burst/freed", 0, [118120.0, 559724.0, 323444.0, 581376.0, 579996.0]),
    ("burst/trickle", 0, [118120.0, 559788.0, 323444.0, 581384.0, 579996.0]),
    ("burst/idle", 0, [118120.0, 559788.0, 323444.0, 581384.0, 579996.0]),
];

/// Seconds and peak KiB of whole programs, of the same five.
#[rustfmt::skip]
const PROGRAMS: &[Timed] = &[
    ("program/redis", [2.31, 2.52, 2.38, 2.35, 2.33], [48800.0, 52400.0, 51020.0, 60100.0, 56300.0]),
    ("program/sqlite", [1.804, 1.912, 1.85, 1.79, 1.81], [21400.0, 20800.0, 24600.0, 25000.0, 28100.0]),
    ("program/python", [3.02, 3.41, 3.2, 2.98, 3.05], [88300.0, 84200.0, 92800.0, 96000.0, 97400.0]),
];

/// One column: which of the five it resembles, by which factors of time and memory.
const COLUMNS: &[(&str, Kind, usize, f64, f64)] = &[
    ("cidalloc", Kind::Ours, 0, 1.0, 1.0),
    ("glibc", Kind::System, 1, 1.0, 1.0),
    ("mimalloc-v3", Kind::Crate, 3, 0.93, 0.97),
    ("mimalloc-v2", Kind::Crate, 3, 1.0, 1.0),
    ("jemalloc", Kind::Crate, 2, 1.0, 1.0),
    ("snmalloc", Kind::Crate, 4, 1.04, 0.9),
    ("rpmalloc", Kind::Crate, 3, 1.12, 1.21),
    ("tcmalloc", Kind::Crate, 4, 0.92, 1.3),
    ("tcmalloc-minimal", Kind::Debian, 4, 1.0, 1.0),
];

/// Numbers between -1 and 1 that look random and are the same each time.
struct Wobble(u64);

impl Wobble {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 40) as f64 / f64::from(1_u32 << 23) - 1.0
    }
}

fn threads(name: &str) -> usize {
    match name.rsplit('/').next().and_then(|t| t.strip_suffix('t')?.parse().ok()) {
        Some(threads) => threads,
        None if name.contains("1000") && !name.contains('/') => 1000,
        None => 1,
    }
}

fn workload(name: &str, metric: Metric) -> Workload {
    Workload {
        name: name.into(),
        family: name.split('/').next().unwrap_or(name).into(),
        threads: threads(name),
        metric,
        about: ABOUT.into(),
        ops: 1_000_000,
    }
}

/// A column for every known allocator, most families, three rounds, an absent peer and a failure.
pub(crate) fn results() -> Results {
    let mut results = Results::new(run(), allocators());
    let mut wobble = Wobble(7);
    for (rows, metric) in [(TIMED, Metric::Nanoseconds), (PROGRAMS, Metric::Seconds)] {
        for (name, times, peaks) in rows {
            results.workloads.push(workload(name, metric));
            for (i, &(_, _, like, time, memory)) in COLUMNS.iter().enumerate() {
                let (value, peak) = (times[like] * time, peaks[like] * memory);
                let samples = (0..3).map(|r| timed(r, value, peak, metric, &mut wobble)).collect();
                push(&mut results, i, samples);
            }
        }
    }
    for (name, asked_kib, kib) in MEMORY {
        results.workloads.push(workload(name, Metric::Kib));
        for (i, &(_, _, like, _, memory)) in COLUMNS.iter().enumerate() {
            let sample = |round| {
                let value = (kib[like] * memory * (1.0 + 0.01 * wobble.next())).round();
                let peak_kib = value as u64;
                Sample { round, value, asked_kib: *asked_kib, peak_kib, ..Sample::default() }
            };
            let samples = (0..3).map(sample).collect();
            push(&mut results, i, samples);
        }
    }
    let broken = results.workloads.iter().position(|w| w.name == "sh8/64t").unwrap_or(0);
    results.cells.retain(|cell| (cell.workload, cell.allocator) != (broken, 6));
    let why = "signal 11 after 0.3 s: <no output>".into();
    results.failures.push(Failure { workload: broken, allocator: 6, why });
    latencies(&mut results, &mut wobble);
    timelines(&mut results, &mut wobble);
    results
}

fn push(results: &mut Results, allocator: usize, samples: Vec<Sample>) {
    let workload = results.workloads.len() - 1;
    results.cells.push(Cell { workload, allocator, samples });
}

fn timed(round: u32, value: f64, peak: f64, metric: Metric, wobble: &mut Wobble) -> Sample {
    let value = value * (1.0 + 0.04 * wobble.next());
    let wall_ns = if metric == Metric::Seconds { value * 1e9 } else { value };
    Sample {
        round,
        value,
        wall_ns,
        user_ns: wall_ns * 1.7,
        sys_ns: wall_ns * 0.2,
        asked_kib: 0,
        peak_kib: (peak * (1.0 + 0.01 * wobble.next())) as u64,
        end_kib: (peak * 0.6) as u64,
        minflt: (peak / 4.0) as u64,
        majflt: 0,
        vcsw: 40 + (wobble.next().abs() * 9.0) as u64,
        icsw: 12,
        disturbed: wobble.next() > 0.97,
    }
}

fn latencies(results: &mut Results, wobble: &mut Wobble) {
    for name in ["latency/small/1t", "latency/small/8t", "latency/wide/2t"] {
        let index = results.workloads.len();
        results.workloads.push(workload(name, Metric::Nanoseconds));
        for (op, allocator) in
            [Op::Malloc, Op::Free].iter().flat_map(|op| (0..COLUMNS.len()).map(move |i| (*op, i)))
        {
            let (_, _, like, factor, _) = COLUMNS[allocator];
            let base = 24.0 + 5.0 * factor + like as f64 + 2.0 * wobble.next();
            let tail = 2.0 + 0.16 * like as f64 + 0.1 * wobble.next();
            let histogram: Vec<(f64, u64)> = (0..140)
                .map(|i| {
                    let over = f64::from(i) / 16.0;
                    let count =
                        4e5 * (-tail * over).exp2() + 60.0 * (-((over - 6.0).powi(2))).exp();
                    ((base * over.exp2()).round(), count as u64)
                })
                .filter(|(_, count)| *count > 0)
                .collect();
            let n = histogram.iter().map(|b| b.1).sum();
            let at = |q: f64| -> Spread {
                let mut seen = 0;
                let found = histogram.iter().find(|(_, count)| {
                    seen += count;
                    seen as f64 >= q * n as f64
                });
                let value = found.map_or(0.0, |b| b.0);
                spread([value, value * 0.97, value * 1.06]).unwrap_or_default()
            };
            let [p50, p90, p99, p999, max] = [0.5, 0.9, 0.99, 0.999, 1.0].map(at);
            results.latencies.push(LatencyCell {
                workload: index,
                allocator,
                op,
                clock_ns: 21.0,
                n,
                p50,
                p90,
                p99,
                p999,
                max,
                histogram,
            });
        }
    }
}

fn timelines(results: &mut Results, wobble: &mut Wobble) {
    for (name, peak) in
        [("burst/peak", 580_000.0), ("larson/8t", 20_000.0), ("mstress/8t", 16_000.0)]
    {
        let Some(index) = results.workloads.iter().position(|w| w.name == name) else { continue };
        for (allocator, &(_, _, like, _, memory)) in COLUMNS.iter().enumerate() {
            let kept = [0.2, 1.0, 0.55, 1.01, 0.99][like];
            let point = |i: u32| {
                let t = f64::from(i) / 200.0;
                let up = (t * 6.0).min(1.0);
                let share =
                    if t > 0.45 { kept + (1.0 - kept) * (-(t - 0.45) * 30.0).exp() } else { up };
                let kib = 2000.0 + peak * memory * share * (1.0 + 0.01 * wobble.next());
                (f64::from(i) * 20.0, kib as u64)
            };
            let points = (0..200).map(point).collect();
            results.timelines.push(Timeline { workload: index, allocator, points });
        }
    }
}

fn allocators() -> Vec<Allocator> {
    let absent = Allocator {
        name: "hoard".into(),
        kind: Kind::File,
        version: String::new(),
        path: None,
        note: String::new(),
        absent: Some("cmake is missing: apt-get install cmake".into()),
    };
    let present = COLUMNS.iter().map(|(name, kind, ..)| Allocator {
        name: (*name).into(),
        kind: *kind,
        version: if *kind == Kind::System { "2.36".into() } else { "3.1.5".into() },
        path: (*kind != Kind::System).then(|| format!("/opt/peers/lib{name}.so")),
        note: match *name {
            "tcmalloc" => "per-CPU mode: on, with GLIBC_TUNABLES=glibc.pthread.rseq=0".into(),
            _ => String::new(),
        },
        absent: None,
    });
    present.chain([absent]).collect()
}

fn run() -> Run {
    Run {
        commit: Some("5c2157d90b3e4f0a".into()),
        dirty: false,
        date: "2025-11-21T14:30:00Z".into(),
        command: "compare --rounds 3 --out target/compare".into(),
        cpu: "AMD EPYC 9R14".into(),
        cpus: 2,
        memory_kib: 16 << 20,
        kernel: "6.18.0".into(),
        libc: "glibc 2.36".into(),
        thp: "madvise".into(),
        cid_source: "kernel (mm_cid)".into(),
        rounds: 3,
        scale: 1.0,
        noise: NoiseSummary {
            runs: 1404,
            repeated: 61,
            disturbed: 9,
            limit: 0.2,
            steal_ms: 310.0,
            foreign_ms: 2140.0,
        },
        interrupted: false,
        environment: vec!["MALLOC_ARENA_MAX=4".into()],
        seconds: 1921.4,
    }
}

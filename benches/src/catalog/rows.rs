//! The rows, in the order of the report.

use super::Row;
use super::work::{Keep, Mix, Order, Work};

const M: u64 = 1_000_000;
const K: u64 = 1_000;

const fn row(name: &'static str, threads: usize, ops: u64, work: Work) -> Row {
    Row { name, threads, ops, work }
}

const fn pair(name: &'static str, threads: usize, size: usize) -> Row {
    row(name, threads, if threads == 1 { 16 * M } else { 32 * M }, Work::Pair { size })
}

const fn batch(name: &'static str, ops: u64, count: usize, order: Order) -> Row {
    row(name, 1, ops, Work::Batch { count, order, touch: true })
}

const fn untouched(name: &'static str, ops: u64, count: usize) -> Row {
    row(name, 1, ops, Work::Batch { count, order: Order::Fifo, touch: false })
}

const fn handover(name: &'static str, producers: usize, consumers: usize) -> Row {
    row(name, producers + consumers, 3 * M, Work::Handover { producers, consumers })
}

const fn random(name: &'static str, threads: usize, ops: u64, mix: Mix) -> Row {
    row(name, threads, ops, Work::Random { mix })
}

const fn simple(name: &'static str, ops: u64, count: usize, company: bool) -> Row {
    row(name, 1, ops, Work::Simple { count, company })
}

const fn idle(name: &'static str, keep: Keep) -> Row {
    row(name, 1000, 0, Work::Idle { keep })
}

const fn program(name: &'static str, program: &'static str) -> Row {
    row(name, 1, 0, Work::Program(program))
}

/// All rows, in the order of the report.
pub const ROWS: &[Row] = &[
    pair("pair/16/1t", 1, 16),
    pair("pair/64/1t", 1, 64),
    pair("pair/256/1t", 1, 256),
    pair("pair/1024/1t", 1, 1024),
    pair("pair/16/2t", 2, 16),
    pair("pair/64/2t", 2, 64),
    pair("pair/256/2t", 2, 256),
    pair("pair/1024/2t", 2, 1024),
    pair("pair/64/8t", 8, 64),
    pair("pair/64/64t", 64, 64),
    simple("simple/25", 12 * M, 25, false),
    simple("simple/100", 12 * M, 100, false),
    simple("simple/1600", 6 * M, 1600, false),
    simple("simple/25-in-company", 12 * M, 25, true),
    batch("batch/100/fifo", 12 * M, 100, Order::Fifo),
    batch("batch/1000/fifo", 12 * M, 1000, Order::Fifo),
    batch("batch/1000/lifo", 12 * M, 1000, Order::Lifo),
    batch("batch/1000/shuffled", 12 * M, 1000, Order::Shuffled),
    untouched("batch/1000/fifo-untouched", 12 * M, 1000),
    batch("batch/10000/fifo", 8 * M, 10_000, Order::Fifo),
    batch("batch/100000/fifo", 6 * M, 100_000, Order::Fifo),
    batch("batch/1000000/fifo", 4 * M, 1_000_000, Order::Fifo),
    batch("batch/1000000/lifo", 4 * M, 1_000_000, Order::Lifo),
    batch("batch/1000000/shuffled", M, 1_000_000, Order::Shuffled),
    untouched("batch/1000000/fifo-untouched", 4 * M, 1_000_000),
    random("random/small/1t", 1, 2 * M, Mix::Small),
    random("random/small/2t", 2, 3 * M, Mix::Small),
    random("random/small/8t", 8, 4 * M, Mix::Small),
    random("random/small/64t", 64, 4 * M, Mix::Small),
    random("random/wide/1t", 1, M, Mix::Wide),
    random("random/wide/2t", 2, 2 * M, Mix::Wide),
    random("random/wide/8t", 8, 2 * M, Mix::Wide),
    random("random/wide/64t", 64, 3 * M, Mix::Wide),
    row("alloc-test/1t", 1, 2 * M, Work::AllocTest),
    row("alloc-test/2t", 2, 4 * M, Work::AllocTest),
    row("alloc-test/8t", 8, 4 * M, Work::AllocTest),
    row("alloc-test/64t", 64, 4 * M, Work::AllocTest),
    handover("prodcons/1x1", 1, 1),
    handover("prodcons/1x3", 1, 3),
    handover("prodcons/4x4", 4, 4),
    handover("prodcons/32x32", 32, 32),
    row("larson/2t", 2, 3 * M, Work::Larson),
    row("larson/8t", 8, 3 * M, Work::Larson),
    row("larson/64t", 64, 3 * M, Work::Larson),
    row("mstress/2t", 2, 700 * K, Work::Mstress),
    row("mstress/8t", 8, 700 * K, Work::Mstress),
    row("mstress/64t", 64, 700 * K, Work::Mstress),
    row("rptest/2t", 2, 2 * M, Work::Rptest),
    row("rptest/8t", 8, 2 * M, Work::Rptest),
    row("rptest/64t", 64, M, Work::Rptest),
    row("sh6/2t", 2, 3 * M, Work::Sh6),
    row("sh6/8t", 8, 3 * M, Work::Sh6),
    row("sh6/64t", 64, 4 * M, Work::Sh6),
    row("sh8/2t", 2, 1_500 * K, Work::Sh8),
    row("sh8/8t", 8, 1_500 * K, Work::Sh8),
    row("sh8/64t", 64, 2_500 * K, Work::Sh8),
    row("cache-scratch/2t", 2, 600 * K, Work::CacheScratch),
    row("cache-scratch/8t", 8, 600 * K, Work::CacheScratch),
    row("cache-scratch/64t", 64, 600 * K, Work::CacheScratch),
    row("cache-thrash/2t", 2, 600 * K, Work::CacheThrash),
    row("cache-thrash/8t", 8, 600 * K, Work::CacheThrash),
    row("cache-thrash/64t", 64, 600 * K, Work::CacheThrash),
    row("large/touched", 1, 4_000, Work::Large { touch: true }),
    row("large/untouched", 1, 300 * K, Work::Large { touch: false }),
    row("grow/doubling", 1, 500, Work::GrowDoubling),
    row("grow/by-one", 1, 4 * M, Work::GrowByOne),
    row("calloc/100", 1, 5 * M, Work::Calloc { size: 100 }),
    row("calloc/10K", 1, 400 * K, Work::Calloc { size: 10 << 10 }),
    row("calloc/1M", 1, 1_500, Work::Calloc { size: 1 << 20 }),
    row("aligned/64", 1, 3 * M, Work::Aligned { align: 64 }),
    row("aligned/4096", 1, 2 * M, Work::Aligned { align: 4096 }),
    row("churn/100000-threads", 4, 100_000, Work::Churn),
    row("mleak/5000-threads", 10, 5_000, Work::Mleak),
    row("leak-at-exit/1t", 1, 600 * K, Work::Leak),
    row("leak-at-exit/8t", 8, 600 * K, Work::Leak),
    row("latency/small/1t", 1, M, Work::Latency { large: false }),
    row("latency/small/8t", 8, M, Work::Latency { large: false }),
    row("latency/large/1t", 1, 40 * K, Work::Latency { large: true }),
    program("program/redis", "redis"),
    program("program/sqlite", "sqlite"),
    program("program/python", "python"),
    program("program/cc", "cc"),
    program("program/lua", "lua"),
    program("program/rust", "rust"),
    row("once", 1, 0, Work::Once),
    idle("threads1000", Keep::Nothing),
    idle("idle1000", Keep::Survivors),
    idle("live1000", Keep::Everything),
    row("burst", 1, 0, Work::Burst),
    row("drift/1t", 1, 0, Work::Drift),
    row("drift/8t", 8, 0, Work::Drift),
];

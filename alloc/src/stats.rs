//! Statistics for a person: what the heap runs on, where its memory is, what its paths do.
//!
//! ```text
//!  cidalloc: statistics of process 4711 (sort)
//!  cid_source      kernel: …                        facts
//!  live              12.3 MiB  …                    numbers
//!  [nodes]    a line for each page heap             table
//!  [shards]   a line for each that ever was         table
//!  [classes]  a line for each with anything in it   table
//! ```
//!
//! `docs/stats.md` explains every key; a test holds the two together. The report is written to
//! a descriptor, or when the process ends, if the option `stats` says so.

mod leases;

use crate::check;
use crate::hardened::{self, guard};
use crate::heap::{self, Heap, Source};
use crate::ids::ShardId;
use crate::maintenance;
use crate::nodes;
use crate::options::{CidSource, Numa, Options};
use crate::os::{self, FileIdentity};
use crate::report::{Bytes, Out, Rate, with_out};
use crate::shard::{self, Shard};
use crate::slots;
pub use crate::snapshot::Snapshot;
use crate::snapshot::{Events, NodeTotals, ShardTotals, arenas, classes};
use core::cell::UnsafeCell;
use core::fmt::{self, Display};
use numa_sys::Errno;
use numa_sys::policy::BindMode;
use rseq_sys::abi;
use rseq_sys::registration::Owner;
use rseq_sys::sync::{AtomicBool, Ordering};

/// Writes the report to `fd`. Thread-safe, allocates nothing, keeps `errno`; stops nobody, so
/// that while other threads allocate the numbers are approximate.
pub fn write_report(fd: i32) {
    let _errno = os::ErrnoGuard::new();
    with_out(fd, |out| match heap::started() {
        Some(heap) => report(out, heap),
        None => {
            headline(out);
            out.line(format_args!("not started: nothing was allocated yet"));
        }
    });
}

fn report(out: &mut Out<'_>, heap: &Heap) {
    let now = Snapshot::take(heap);
    headline(out);
    source_facts(out, heap);
    node_facts(out, heap, &now);
    memory(out, &now);
    paths(out, heap, &now);
    if heap.source == Source::Emulated {
        leases::write(out);
    }
    node_table(out, heap);
    shard_table(out, heap);
    class_table(out, heap, &now);
}

fn headline(out: &mut Out<'_>) {
    let mut buffer = [0; 32];
    let comm = os::read_file(c"/proc/self/comm", &mut buffer);
    // Whatever a program calls itself, the headline is one line of text.
    let printable = |b: &u8| b.is_ascii_graphic() || *b == b' ';
    let len = comm.iter().position(|b| !printable(b)).unwrap_or(comm.len());
    let comm = core::str::from_utf8(&comm[..len]).unwrap_or("");
    out.line(format_args!("cidalloc: statistics of process {} ({comm})", os::process_id()));
}

fn source_facts(out: &mut Out<'_>, heap: &Heap) {
    let registration = &heap.registration;
    let wanted = heap.options.cid;
    let what = match heap.source {
        Source::Kernel => "kernel: concurrency ids (mm_cid)",
        Source::Cpu => "cpu: CPU numbers",
        Source::Emulated => "emulated: concurrency ids of our own",
        Source::None => "none: no caches",
    };
    out.fact("cid_source", format_args!("{what}, since {}", heap.why));
    out.fact("cid_option", format_args!("{}", cid_word(wanted)));
    out.number("arena_cids", heap.arena_cids, format_args!("neighbouring cids share an arena"));
    let owner = match registration.owner {
        Owner::Libc => "libc: it registers every thread",
        Owner::Own => "cidalloc: each thread is registered at its first slow operation",
        Owner::Nobody => "nobody: the kernel refuses rseq(2)",
    };
    out.fact("rseq_owner", format_args!("{owner}"));
    let fields = match (registration.owner, registration.has_mm_cid) {
        (Owner::Nobody, _) => "none",
        (_, true) => "cpu_id, node_id, mm_cid",
        (_, false) => "cpu_id",
    };
    let size = os::auxv(abi::AT_RSEQ_FEATURE_SIZE);
    out.fact("rseq_fields", format_args!("{fields} (kernel's feature size {size})"));
    let fence = match heap.source {
        Source::None => "not needed",
        Source::Emulated if slots::is_asymmetric() => {
            "works: idle cids are taken over, at no cost to their holders"
        }
        Source::Emulated => {
            "refused (before Linux 4.16, or a filter): each operation makes its own"
        }
        _ if shard::fence() => "works: idle shards are drained",
        _ => "refused (before Linux 5.10, or a filter): idle shards keep what they have",
    };
    out.fact("fence", format_args!("{fence}"));
    let environment =
        if heap.environment_seen { "read" } else { "not there yet at start: defaults" };
    out.fact("environment", format_args!("{environment}"));
    out.fact("hardened", format_args!("{}", hardened::parts()));
}

fn cid_word(source: CidSource) -> &'static str {
    match source {
        CidSource::Auto => "auto",
        CidSource::Kernel => "kernel: forced",
        CidSource::Cpu => "cpu: forced",
        CidSource::Emulated => "emulated: forced",
        CidSource::None => "none: forced",
    }
}

fn node_facts(out: &mut Out<'_>, heap: &Heap, now: &Snapshot) {
    out.number("nodes", heap.nodes, format_args!("that shards may be on"));
    let all_refused = now.bind_refusals > 0 && now.binds == 0;
    let binding = match (heap.bind(), heap.options.numa) {
        (Some(_), _) if all_refused => "refused: the kernel binds nothing, first touch decides",
        (Some(BindMode::Preferred), _) => "preferred: on its node, elsewhere when that is full",
        (Some(_), _) => "bind: on its node or not at all",
        (None, _) if heap.nodes == 1 && heap.source == Source::None => {
            "none: without shards there are no nodes"
        }
        (None, _) if heap.nodes == 1 => "none: there is one node",
        (None, Numa::None) => "none: as the option asks",
        (None, _) => "none: more nodes than page heaps",
    };
    out.fact("node_binding", format_args!("{binding}"));
    let heaps = (0..heap.page_heaps()).map(|i| heap.page_heap(i).0);
    let error = heaps.map(|h| h.counters.bind_error.load(Ordering::Relaxed)).find(|&e| e != 0);
    let n = now.bind_refusals;
    match error {
        None => out.number("bind_refusals", n, format_args!("ranges not bound by the kernel")),
        Some(e) => {
            let error = Errno::from_raw(e);
            out.number("bind_refusals", n, format_args!("ranges refused by the kernel: {error:?}"));
        }
    }
    out.number("node_drifts", nodes::drifts(), format_args!("cids found on another node"));
    out.number("foreign_frees", now.foreign_frees, format_args!("of objects of another node"));
    let n = now.foreign_batches;
    out.number("foreign_batches", n, format_args!("in which those were sent home"));
    let n = now.foreign_waiting;
    out.number("foreign_waiting", n, format_args!("objects that will be"));
}

fn node_table(out: &mut Out<'_>, heap: &Heap) {
    out.line(format_args!("[nodes]"));
    out.line(format_args!(
        "{:>4} {:>6} {:>10} {:>10} {:>8} {:>8} {:>13} {:>8} {:>10} {:>8}",
        "node",
        "shards",
        "in_use",
        "dirty",
        "bound",
        "refused",
        "foreign_frees",
        "batches",
        "sent_home",
        "waiting"
    ));
    for index in 0..heap.page_heaps() {
        let totals = NodeTotals::take(heap, index);
        let NodeTotals { shards, binds, bind_refusals, .. } = totals;
        let NodeTotals { foreign_frees, batches, sent, waiting, .. } = totals;
        let (busy, dirty) = (Bytes(totals.busy_bytes), Bytes(totals.dirty_bytes));
        out.line(format_args!(
            "{index:>4} {shards:>6} {busy:>10} {dirty:>10} {binds:>8} {bind_refusals:>8} \
             {foreign_frees:>13} {batches:>8} {sent:>10} {waiting:>8}"
        ));
    }
}

fn memory(out: &mut Out<'_>, now: &Snapshot) {
    let n = now.live_objects;
    out.number("live", Bytes(now.live_bytes), format_args!("{n} objects in use"));
    let n = now.large_objects;
    out.number("live_large", Bytes(now.large_bytes), format_args!("{n} large objects in use"));
    out.number("cached", Bytes(now.cached_bytes), format_args!("free, in shards"));
    out.number("free_in_spans", Bytes(now.free_in_spans_bytes), format_args!("free, in spans"));
    out.number("free_dirty", Bytes(now.dirty_bytes), format_args!("free pages, backed"));
    out.number("free_clean", Bytes(now.clean_bytes), format_args!("free pages, not backed"));
    out.number("committed", Bytes(now.committed_bytes), format_args!("from the system"));
    out.number("metadata", Bytes(now.metadata_bytes), format_args!("resident, about"));
    out.number("resident", Bytes(now.resident_bytes), format_args!("of the whole process"));
    out.number("purged", Bytes(now.purged_bytes as usize), format_args!("given back so far"));
    out.number("purges", now.purges, format_args!("times"));
}

fn paths(out: &mut Out<'_>, heap: &Heap, now: &Snapshot) {
    let all = &now.events;
    out.number("fast_ops", all.fast_ops, format_args!("pops and pushes that hit"));
    out.number("refills", all.refills, format_args!("from spans"));
    out.number("flushes", all.flushes, format_args!("to spans"));
    out.number("moved", all.moved, format_args!("objects, by both"));
    out.number("hit_rate", rate(all), format_args!("of mallocs and frees with a class"));
    let budget = Bytes(heap.options.cache_bytes_max);
    out.number("shards_in_use", now.shards_in_use, format_args!("of at most {budget} each"));
    out.number("shards_drained", now.shards_drained, format_args!("idle, emptied"));
    let (n, bytes) = (now.quarantined, Bytes(now.quarantined_bytes));
    out.number("quarantined", n, format_args!("objects that wait, {bytes}"));
    let (guards, refusals) = guard::counts();
    out.number("guards", guards, format_args!("ranges without access"));
    out.number("guard_refusals", refusals, format_args!("of the system: done without"));
    let drains = maintenance::drains();
    out.number("drains", drains, format_args!("times that one was"));
    if now.ids_used == 0 {
        out.number("cids_used", 0, format_args!("of {}", heap.cids));
    } else {
        let (max, cids) = (now.id_max, heap.cids);
        out.number("cids_used", now.ids_used, format_args!("the highest is {max}, of {cids}"));
    }
}

fn rate(events: &Events) -> Rate {
    Rate { hits: events.fast_ops, misses: events.refills + events.flushes }
}

/// The columns that both tables have.
struct Cells<'a>(&'a Events);

impl Display for Cells<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Events { fast_ops, refills, flushes, moved } = self.0;
        write!(f, "{fast_ops:>12} {refills:>9} {flushes:>9} {moved:>10} {:>8}", rate(self.0))
    }
}

fn shard_table(out: &mut Out<'_>, heap: &Heap) {
    out.line(format_args!("[shards]"));
    out.line(format_args!(
        "{:>4} {:>5} {:<8} {:>8} {:>12} {:>10} {:>12} {:>9} {:>9} {:>10} {:>8}",
        "node",
        "cid",
        "state",
        "cached",
        "cached_bytes",
        "capacity",
        "fast_ops",
        "refills",
        "flushes",
        "moved",
        "hit_rate"
    ));
    for arena in arenas(heap) {
        let id = arena.id();
        let totals = ShardTotals::take(heap, arena);
        let (cached, bytes) = (totals.cached, Bytes(totals.cached_bytes));
        let capacity = Bytes(arena.capacity_bytes.load(Ordering::Relaxed));
        let cells = Cells(&totals.events);
        if id == ShardId::ORPHAN {
            if !totals.events.is_none() {
                out.line(format_args!(
                    "{:>4} {:>5} {:<8} {:>8} {:>12} {:>10} {cells}",
                    "-", "-", "no cid", "-", "-", "-"
                ));
            }
            continue;
        }
        let state = if Shard::ready(heap, id).is_some() { "in use" } else { "drained" };
        let (node, cid) = (heap.node_of(id), id.column());
        out.line(format_args!(
            "{node:>4} {cid:>5} {state:<8} {cached:>8} {bytes:>12} {capacity:>10} {cells}"
        ));
    }
}

fn class_table(out: &mut Out<'_>, heap: &Heap, now: &Snapshot) {
    out.line(format_args!("[classes]"));
    out.line(format_args!(
        "{:>6} {:>10} {:>11} {:>8} {:>12} {:>6} {:>12} {:>9} {:>9} {:>10} {:>8}",
        "size",
        "live",
        "live_bytes",
        "cached",
        "cached_bytes",
        "spans",
        "fast_ops",
        "refills",
        "flushes",
        "moved",
        "hit_rate"
    ));
    for class in classes() {
        let totals = &now.classes[class.index()];
        let mut events = Events::default();
        arenas(heap).for_each(|arena| events.add(arena, class));
        if totals.spans == 0 && events.is_none() {
            continue;
        }
        let size = class.info().size;
        let (live, cached, spans) = (totals.live, totals.cached, totals.spans);
        let live_bytes = Bytes(live * size as usize);
        let bytes = Bytes(cached * size as usize);
        let cells = Cells(&events);
        out.line(format_args!(
            "{size:>6} {live:>10} {live_bytes:>11} {cached:>8} {bytes:>12} {spans:>6} {cells}"
        ));
    }
}

/// Where the report at the end of the process goes: opened at the start, since programs close
/// standard error, change directory and give up rights before they end.
struct Sink {
    known: AtomicBool,
    open: UnsafeCell<(i32, Option<FileIdentity>)>,
}
// SAFETY: written once before `known` is released, read after it was acquired.
#[allow(unsafe_code)]
unsafe impl Sync for Sink {}

static SINK: Sink = Sink { known: AtomicBool::new(false), open: UnsafeCell::new((-1, None)) };

/// Arranges for the report at the end of the process. To be called once.
///
/// A program that runs with more rights than its caller reports nothing: the environment, by
/// which statistics are asked for, is the caller's.
pub fn report_at_exit(options: &Options) {
    if os::is_privileged() {
        return;
    }
    let fd = match options.stats_file {
        None => os::duplicate_high(2),
        Some(path) => {
            let low = os::open_append(path);
            if low < 0 {
                let (name, error) = (path.to_str().unwrap_or("(not text)"), os::errno());
                check::say(format_args!("no statistics: cannot open {name}: error {error}"));
                return;
            }
            let high = os::duplicate_high(low);
            if high >= 0 {
                os::close(low);
            }
            high.max(low)
        }
    };
    // SAFETY: the one writer, before `known`.
    #[allow(unsafe_code)]
    unsafe {
        *SINK.open.get() = (fd, os::file_identity(fd));
    }
    SINK.known.store(true, Ordering::Release);
    os::at_exit(at_exit);
}

/// Writes the report where [`report_at_exit`] arranged it. Nothing is written when the program
/// has closed that file: its number may be another file's by now.
pub extern "C" fn at_exit() {
    if !SINK.known.load(Ordering::Acquire) {
        return;
    }
    // SAFETY: written before `known`, and never again.
    #[allow(unsafe_code)]
    let (fd, identity) = unsafe { *SINK.open.get() };
    if identity.is_some() && os::file_identity(fd) == identity {
        write_report(fd);
        return;
    }
    let Some(path) = heap::started().and_then(|heap| heap.options.stats_file) else { return };
    let fd = os::open_append(path);
    if fd >= 0 {
        write_report(fd);
        os::close(fd);
    }
}

#[cfg(test)]
#[path = "stats_tests.rs"]
mod tests;

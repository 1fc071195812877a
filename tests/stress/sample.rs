//! What a process has at one moment: what a soak looks at when a phase has given all back.

use cidalloc::config::EXTENT_PAGES;
use cidalloc::heap::Heap;
use cidalloc::records;
use cidalloc::slots::CIDS;
use cidalloc::stats::Snapshot;
use cidalloc::validate::Census;

/// The columns, and the numbers of a sample in that order.
pub(crate) const COLUMNS: [&str; 14] = [
    "resident_kib",
    "committed_kib",
    "metadata_kib",
    "live_bytes",
    "spans",
    "dirty_pages",
    "lost_pages",
    "lease_records",
    "lease_users",
    "shards_in_use",
    "arenas",
    "maps",
    "descriptors",
    "threads",
];

/// The numbers of [`COLUMNS`].
pub(crate) type Sample = [f64; COLUMNS.len()];

/// Takes one. `census` is of an instant before, at which nobody else allocated either; `at_rest` is
/// how many threads there are when nothing is done.
pub(crate) fn take(heap: &Heap, census: &Census, at_rest: usize) -> Sample {
    give_back_what_libc_keeps();
    // Threads are joined before they are gone: what is on its way out is waited for.
    for _ in 0..5000 {
        if threads() <= at_rest {
            break;
        }
        std::thread::sleep(core::time::Duration::from_millis(2));
    }
    let now = Snapshot::take(heap);
    let kib = |bytes: usize| (bytes / 1024) as f64;
    let lines = |path: &str| std::fs::read_to_string(path).map_or(0, |text| text.lines().count());
    [
        kib(now.resident_bytes),
        kib(now.committed_bytes),
        kib(now.metadata_bytes),
        (now.live_bytes + now.large_bytes) as f64,
        census.spans as f64,
        census.dirty_pages as f64,
        lost_pages(heap, census),
        f64::from(records::most()),
        f64::from(CIDS.users()),
        now.shards_in_use as f64,
        (now.shards_in_use + now.shards_drained) as f64,
        lines("/proc/self/maps") as f64,
        entries("/proc/self/fd") as f64,
        threads() as f64,
    ]
}

/// Pages that were handed out, and are neither in use nor free.
fn lost_pages(heap: &Heap, census: &Census) -> f64 {
    let handed_out = f64::from(heap.region.end().0 - EXTENT_PAGES);
    let in_use = census.spans + census.large_pages + census.closed_pages;
    handed_out - (in_use + census.dirty_pages + census.clean_pages) as f64
}

/// Threads of this process.
pub(crate) fn threads() -> usize {
    entries("/proc/self/task")
}

fn entries(folder: &str) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// The harness's own blocks are libc's: what it keeps of them is not ours to judge.
fn give_back_what_libc_keeps() {
    #[cfg(target_env = "gnu")]
    // SAFETY: gives free memory back, and touches nothing else.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Resident memory now, in KiB.
pub(crate) fn resident_kib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    // SAFETY: reads a number of the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    (pages * page.cast_unsigned() / 1024) as f64
}

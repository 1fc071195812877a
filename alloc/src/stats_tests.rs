//! The report and its documentation hold together, and its numbers are those of the heap.
extern crate std;
use super::*;
use crate::{free, malloc, start};
use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::string::{String, ToString};
use std::vec::Vec;

const DOCS: &str = include_str!("../../docs/stats.md");

/// The report of the tests' own heap, in which something happened.
fn text() -> String {
    let blocks: Vec<_> = (0..1000).map(|i| malloc::alloc(16 + i)).collect();
    let large = malloc::alloc(1 << 20);
    let (mut from, to) = std::io::pipe().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    });
    write_report(to.as_raw_fd());
    drop(to);
    for block in blocks.into_iter().chain([large]) {
        // SAFETY: allocated above, freed once.
        #[allow(unsafe_code)]
        unsafe {
            free::free(block);
        }
    }
    reader.join().unwrap()
}

/// Keys of the table below `heading` in the documentation: the first cells, in backticks.
fn documented(heading: &str) -> BTreeSet<&'static str> {
    let part = DOCS.split("\n## ").find(|part| part.starts_with(heading)).unwrap();
    let keys = part.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let keys: BTreeSet<_> = keys.collect();
    assert!(keys.len() > 3, "no keys below {heading}");
    keys
}

fn words(line: &str) -> BTreeSet<&str> {
    line.split_whitespace().collect()
}

#[test]
fn every_documented_key_is_printed_and_every_printed_key_documented() {
    let text = text();
    let mut lines = text.lines();
    let head = lines.next().unwrap();
    assert!(head.starts_with("cidalloc: statistics of process "), "{head}");
    assert!(head.contains(&std::format!(" {} (", std::process::id())), "{head}");
    let keys = lines.by_ref().take_while(|line| *line != "[nodes]");
    let keys: BTreeSet<_> = keys.filter_map(|line| line.split_whitespace().next()).collect();
    let mut all: BTreeSet<_> = documented("Facts").union(&documented("Numbers")).copied().collect();
    if heap::started().is_some_and(|heap| heap.source == Source::Emulated) {
        all.extend(documented("Leases"));
    }
    assert_eq!(keys, all);
    assert_eq!(words(lines.next().unwrap()), documented("Nodes"));
    let mut lines = lines.skip_while(|line| *line != "[shards]").skip(1);
    assert_eq!(words(lines.next().unwrap()), documented("Shards"));
    let mut lines = lines.skip_while(|line| *line != "[classes]").skip(1);
    assert_eq!(words(lines.next().unwrap()), documented("Classes"));
    assert!(lines.count() > 30, "a line for each class of 16 to 1016 bytes:\n{text}");
}

#[test]
fn every_line_of_a_table_has_its_columns() {
    let text = text();
    let table = text.split("[classes]\n").nth(1).unwrap();
    let width = table.lines().next().unwrap().len();
    for line in table.lines() {
        assert_eq!(line.len(), width, "{line}");
    }
}

#[test]
fn blocks_in_hand_are_live_and_come_back() {
    // A size that no other test asks for in numbers.
    // With the marks of the hardened mode, too, it is of the class of 9344 bytes.
    const SIZE: usize = 9336;
    const BLOCKS: usize = 3000;
    let heap = start::heap().unwrap();
    let class = crate::size_class::of_size(SIZE).index();
    let before = Snapshot::take(heap).classes[class];
    let blocks: Vec<_> = (0..BLOCKS).map(|_| malloc::alloc(SIZE)).collect();
    let held = Snapshot::take(heap).classes[class];
    for block in blocks {
        // SAFETY: allocated above, freed once.
        #[allow(unsafe_code)]
        unsafe {
            free::free(block);
        }
    }
    let after = Snapshot::take(heap);
    assert_eq!(held.live, before.live + BLOCKS);
    assert!(held.spans >= BLOCKS.div_ceil(7), "{held:?}");
    assert_eq!(after.classes[class].live, before.live);
    assert!(after.committed_bytes >= BLOCKS * SIZE);
    assert!(after.resident_bytes > 1 << 20 && after.metadata_bytes > 0);
    assert!(after.events.refills > 0, "{:?}", after.events);
}

#[test]
fn a_shards_line_says_what_its_thread_did() {
    let heap = start::heap().unwrap();
    if heap.source == Source::None {
        std::eprintln!("skipped: without cids there are no shards");
        return;
    }
    let mut before = Snapshot::take(heap);
    let mut after = before;
    // Of emulated cids there are as many as CPUs: while their holders are held up inside of
    // operations, this thread has none.
    for _ in 0..20 {
        before = after;
        for _ in 0..10_000 {
            // SAFETY: allocated and freed once.
            #[allow(unsafe_code)]
            unsafe {
                free::free(malloc::alloc(64));
            }
        }
        after = Snapshot::take(heap);
        if after.events.fast_ops - before.events.fast_ops >= 19_000 {
            break;
        }
    }
    let (before, all) = (before.events, after.events);
    assert!(all.fast_ops - before.fast_ops >= 19_000, "{before:?} {all:?}");
    assert!(after.shards_in_use >= 1 && after.ids_used >= 1);
    let of_shards: u64 =
        arenas(heap).map(|arena| ShardTotals::take(heap, arena).events.fast_ops).sum();
    assert!(of_shards >= after.events.fast_ops);
}

#[test]
fn the_cid_word_of_an_option_is_one_that_the_option_takes() {
    for (source, value) in
        [(CidSource::Auto, c"auto"), (CidSource::Cpu, c"cpu"), (CidSource::Emulated, c"emulated")]
    {
        let mut options = Options::DEFAULT;
        options.set(b"cid", value).unwrap();
        assert_eq!(options.cid, source);
        assert!(cid_word(source).starts_with(&*value.to_string_lossy().to_string()));
    }
}

//! A thread that goes on with other sizes: what it cached of the old ones goes home, without
//! anybody asking for it.
#![allow(unsafe_code)]

use cidalloc::heap::{self, Source};
use cidalloc::{free, hardened, malloc, size_class, stats::Snapshot};
use core::time::Duration;
use std::time::Instant;

const OLD: usize = 512;
const NEW: usize = 96;

/// Allocates `count` objects of `size` and frees them: the last ones stay cached.
fn use_class(size: usize, count: usize) {
    let blocks: Vec<_> = (0..count).map(|_| malloc::alloc(size)).collect();
    for block in blocks {
        // SAFETY: live, and given up once.
        unsafe { free::free(block) };
    }
}

fn totals(size: usize) -> (usize, usize) {
    let now = Snapshot::take(heap::started().expect("it was used"));
    let class = &now.classes[size_class::of_size(size).index()];
    (class.cached, class.spans)
}

#[test]
fn classes_that_nobody_uses_any_more_leave_the_shard_and_its_spans() {
    use_class(OLD, 10_000);
    let heap = heap::started().expect("it was used");
    if heap.source == Source::None {
        println!("skipped: without cids there are no shards that could cache");
        return;
    }
    if hardened::is_on() {
        println!("skipped: in the hardened mode some of them wait on");
        return;
    }
    let (cached, spans) = totals(OLD);
    assert!(cached > 0 && spans > 0, "{cached} cached in {spans} spans");
    // Two drain times: a first look, and one that finds the count as it was. The test's only
    // thread may run on another cid now and then, which has to be tidied as well.
    let patience = Instant::now() + Duration::from_millis(20 * heap.options.drain_ms);
    while totals(OLD) != (0, 0) && Instant::now() < patience {
        use_class(NEW, 10_000);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(totals(OLD), (0, 0), "objects in caches, and spans");
}

//! What may happen while ranges are made, and while the process forks: the one lock of pools is never in
//! anybody's way.

mod support;

use cidpool::{Fork, Pool, Populate};
use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use core::time::Duration;
use std::sync::OnceLock;
use std::time::Instant;
use support::{in_child, rerun_well, until, wait_for, word};

fn small(name: &str) -> cidpool::Builder {
    Pool::builder(16384).name(name).ranges_max(16)
}

#[test]
fn while_an_initialiser_runs_others_fork_and_use_pools() {
    static IS_IN: AtomicBool = AtomicBool::new(false);
    static HAVE_FORKED: AtomicBool = AtomicBool::new(false);
    static WAS_IN_VAIN: AtomicBool = AtomicBool::new(false);
    let other = small("other").build().unwrap();
    let pool = {
        let other = other.clone();
        small("slow").populate(Populate::Image).initialise(move |range| {
            range.bytes().fill(3);
            drop(vec![1; 100_000]);
            // Of another pool, even a new range.
            let items: Vec<_> = (0..64).map_while(|_| other.allocate().ok()).collect();
            // SAFETY: its items, once.
            items.into_iter().for_each(|item| unsafe { other.free(item) });
            IS_IN.store(true, SeqCst);
            let begin = Instant::now();
            while !HAVE_FORKED.load(SeqCst) && begin.elapsed() < Duration::from_secs(20) {
                std::thread::yield_now();
            }
            WAS_IN_VAIN.store(!HAVE_FORKED.load(SeqCst), SeqCst);
        })
    };
    let pool = pool.build().unwrap();
    std::thread::scope(|scope| {
        let users = [0, 1].map(|_| scope.spawn(|| pool.allocate().unwrap()));
        until(|| IS_IN.load(SeqCst));
        in_child(|| {
            // Whose initialiser the other thread is in, which the child does not have.
            HAVE_FORKED.store(true, SeqCst);
            let item = pool.allocate().unwrap();
            let is_filled = word(item.as_ptr()).load(Relaxed) == u64::from_ne_bytes([3; 8]);
            is_filled && other.allocate().is_ok()
        });
        assert!(small("amid").build().unwrap().allocate().is_ok());
        HAVE_FORKED.store(true, SeqCst);
        let items = users.map(|user| user.join().unwrap());
        assert_ne!(items[0], items[1]);
        assert_eq!(pool.statistics().ranges, 1, "who waits makes no range of its own");
        assert!(!WAS_IN_VAIN.load(SeqCst), "nobody could fork until the initialiser was done");
    });
}

static POOL: OnceLock<Pool> = OnceLock::new();
static HANDLED: AtomicUsize = AtomicUsize::new(0);

/// Uses pools in each way that wants the lock.
extern "C" fn use_pools() {
    if POOL.get().is_some() {
        let pool = small("of a handler").build().unwrap();
        let items: Vec<_> = (0..32).map_while(|_| pool.allocate().ok()).collect();
        // SAFETY: its items, once.
        items.into_iter().for_each(|item| unsafe { pool.free(item) });
        assert!(pool.trim() > 0);
        HANDLED.fetch_add(1, Relaxed);
    }
}

#[test]
fn handlers_of_a_fork_that_were_there_before_pools_may_use_them() {
    rerun_well("handlers_of_a_fork_use_pools", &[]);
}

#[test]
#[ignore = "is started by the one above, in a process of its own"]
fn handlers_of_a_fork_use_pools() {
    // SAFETY: functions of this program.
    unsafe { libc::pthread_atfork(Some(use_pools), Some(use_pools), Some(use_pools)) };
    POOL.set(small("kept").build().unwrap()).unwrap();
    in_child(|| HANDLED.load(Relaxed) == 2);
    assert_eq!(HANDLED.load(Relaxed), 2, "before and after");
}

/// Pipe over which a child is told to go on: the end to read from, and the one to write to.
static GO_ON: [AtomicI32; 2] = [const { AtomicI32::new(-1) }; 2];

extern "C" fn wait_in_child() {
    let mut byte = 0u8;
    // SAFETY: reads a byte from a pipe of this program, of which it keeps no end that is written to.
    unsafe {
        libc::close(GO_ON[1].load(Relaxed));
        libc::read(GO_ON[0].load(Relaxed), (&raw mut byte).cast(), 1);
    }
}

#[test]
fn what_a_parent_initialises_before_its_child_runs_is_the_parent_s() {
    rerun_well("a_child_comes_late", &[]);
}

#[test]
#[ignore = "is started by the one above, in a process of its own"]
fn a_child_comes_late() {
    let mut ends = [0; 2];
    // SAFETY: a pipe, and a function of this program.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        // Before pools have theirs: children run it before that.
        libc::pthread_atfork(None, None, Some(wait_in_child));
    }
    GO_ON.iter().zip(ends).for_each(|(end, number)| end.store(number, Relaxed));
    let of = |byte| u64::from_ne_bytes([byte; 8]);
    // Of two items: the one that is freed is the next one.
    let pool = Pool::builder(2048).stride(4096).ranges_max(1);
    let pool = pool.populate(Populate::Image).fork(Fork::Wiped);
    let pool = pool.initialise(|range| range.bytes().fill(1)).build().unwrap();
    let all = |item, value| pool.copies(item).all(|(_, copy)| word(copy).load(Relaxed) == value);
    let [item, kept] = [2, 7].map(|byte| pool.allocate_init(&[byte; 64]).unwrap());
    // SAFETY: the child ends with what it found; the parent's item is freed once.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::_exit(i32::from(!(all(item, of(2)) && all(kept, of(7)))));
        }
        pool.free(item);
        let again = pool.allocate_init(&[3; 64]).unwrap();
        assert_eq!(libc::write(ends[1], b"x".as_ptr().cast(), 1), 1);
        let status = wait_for(child);
        assert_eq!(again, item, "the child cannot see what is amiss");
        assert!(all(again, of(3)));
        assert_eq!(status, 0, "the child has what its parent wrote after the fork");
    }
}

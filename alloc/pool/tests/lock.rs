//! Who has the pools' lock allocates nothing from `malloc`: a handler that interrupted it may wait for
//! the lock.
#![allow(unsafe_code)]

use cidpool::{Pool, Populate};
use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::alloc::System;

/// The system's, which notes calls of threads with the lock: their signals are blocked.
struct Watched;

static UNDER_THE_LOCK: AtomicUsize = AtomicUsize::new(0);

fn look() {
    // SAFETY: writes the thread's mask to a set of ours, and looks at it.
    unsafe {
        let mut blocked: libc::sigset_t = core::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, core::ptr::null(), &raw mut blocked);
        if libc::sigismember(&raw const blocked, libc::SIGUSR1) == 1 {
            UNDER_THE_LOCK.fetch_add(1, Relaxed);
        }
    }
}

// SAFETY: the system's allocator.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        look();
        // SAFETY: by the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        look();
        // SAFETY: by the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static WATCHED: Watched = Watched;

#[test]
fn nothing_is_allocated_under_the_lock() {
    for populate in [Populate::Zero, Populate::Image] {
        for robust in [false, true] {
            let pool = Pool::builder(1024).stride(4096).populate(populate).robust(robust);
            let pool = pool.ranges_max(8).build().unwrap();
            let mut items = Vec::new();
            // Ranges are added until there may be no more, and then cids' items collected.
            pool.allocate_many(30, &mut items).unwrap();
            assert!(pool.allocate_many(30, &mut items).is_err());
            // SAFETY: ours, once.
            unsafe { pool.free_many(&items) };
            assert!(pool.trim() > 0);
            let other = pool.clone();
            std::thread::spawn(move || other.allocate().map(drop)).join().unwrap().unwrap();
            if robust {
                // It would be missed.
                core::mem::forget(pool);
            }
        }
    }
    assert_eq!(UNDER_THE_LOCK.load(Relaxed), 0, "allocations and frees with signals blocked");
    // It would be seen: an initialiser runs without the lock, but with signals blocked as well.
    let pool = Pool::builder(1024).populate(Populate::Image).initialise(|_| drop(vec![1; 100]));
    let _ = pool.build().unwrap().allocate().unwrap();
    assert!(UNDER_THE_LOCK.load(Relaxed) > 0, "nobody looks whether signals are blocked");
}

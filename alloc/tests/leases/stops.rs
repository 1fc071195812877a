//! Another thread that stops this one's cid: over and over, or when a handler asks for it.
#![allow(unsafe_code)]

use super::*;

/// One thread allocates and frees, and one stops its cid, over and over.
pub(crate) fn stop_at_speed() {
    if !two_cids() {
        return;
    }
    let heap = heap::started().expect("it was used");
    let class = cidalloc::size_class::of_size(64);
    let ids = AtomicUsize::new(usize::MAX);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                (0..20).for_each(|_| use_heap(64));
                ids.store(my_cid().map_or(usize::MAX, |cid| cid as usize), Relaxed);
            }
        });
        let now = std::time::Instant::now;
        let end = now() + core::time::Duration::from_millis(700);
        let patience = end + core::time::Duration::from_secs(20);
        let mut stops = 0;
        for n in 0u32.. {
            let cid = ids.load(Relaxed);
            if n.is_multiple_of(64) && (stops > 50 && now() > end || now() > patience) {
                break;
            }
            if cid == usize::MAX || my_cid() == Some(cid as u32) {
                continue;
            }
            let Some(stopped) = leases::stop(cid as u32) else { continue };
            let shard = Shard::ready(heap, ShardId::new(0, cid)).expect("it was used");
            let ops = || shard.header(class).map(|header| header.ops());
            let before = ops();
            (0..n % 512).for_each(|_| core::hint::spin_loop());
            assert_eq!(ops(), before, "an operation was committed after {stops} stops");
            drop(stopped);
            stops += 1;
        }
        done.store(true, Relaxed);
        assert!(stops > 50, "only {stops} stops");
    });
}

/// What the handlers ask of the other thread, and its answers.
pub(crate) static ASKED: AtomicUsize = AtomicUsize::new(IDLE);
pub(crate) const IDLE: usize = 0;
pub(crate) const STOP: usize = 1;
pub(crate) const START: usize = 2;
pub(crate) const END: usize = 3;
pub(crate) static PHASE: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Has the other thread stop this one's cid at one instruction, and start it 30 later.
pub(crate) fn ask_for_a_stop(n: usize) {
    let phase = PHASE.load(Relaxed);
    let ask = match n.wrapping_sub(phase) % 60 {
        _ if phase == usize::MAX => return,
        0 => STOP,
        30 => START,
        _ => return,
    };
    ASKED.store(ask, Relaxed);
    while ASKED.load(Relaxed) != IDLE {
        // SAFETY: takes nothing.
        unsafe { libc::sched_yield() };
    }
}

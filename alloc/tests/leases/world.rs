//! What the cases look at: who holds what, and whether that can be.
#![allow(unsafe_code)]

use super::*;

/// Whether there can be two cids; else says why the case is skipped.
pub(crate) fn two_cids() -> bool {
    // As programs do: with all that is registered then.
    use_heap(64);
    let heap = heap::started().expect("it was used");
    assert_eq!(heap.source, Source::Emulated);
    let two = heap.cids >= 2 && CIDS.allowed() >= 2;
    if !two {
        println!("skipped: cases with two cids need two CPUs");
    }
    two
}

/// An operation on a class that the thread's shard may not have yet.
pub(crate) fn use_heap(size: usize) {
    let block = malloc::alloc(size);
    assert!(!block.is_null());
    // SAFETY: live, and given up once.
    unsafe { free::free(block) };
}

pub(crate) fn my_cid() -> Option<u32> {
    use_heap(64);
    section::shard_id(heap::started()?).map(|id| id.column() as u32)
}

/// Cids whose slots name the calling thread as their holder.
pub(crate) fn mine() -> usize {
    let me = Lease::current().expect("the thread used the heap");
    let is_mine = |n: u32| n != 0 && core::ptr::eq(&raw const records::at(n).lease, me);
    let names_me = |cid: &u32| match Slot::read(*cid) {
        Slot::Held(holder) | Slot::Stopped { holder, .. } => is_mine(holder),
        Slot::Free | Slot::Parked(_) => false,
    };
    (0..CIDS.allowed()).filter(names_me).count()
}

pub(crate) fn in_slots() -> u32 {
    (0..CIDS.allowed()).filter(|&cid| Slot::read(cid) != Slot::Free).count() as u32
}

/// What holds at each instruction of a process in which only one thread is at work; else why not.
pub(crate) fn wrong() -> Option<&'static str> {
    let me = Lease::current()?;
    if let Some(index) = me.shard_index()
        && !me.is_inside()
    {
        let cid = index & (rseq_sys::cs::CIDS_PER_NODE as u32 - 1);
        match Slot::read(cid) {
            Slot::Held(n) if core::ptr::eq(&raw const records::at(n).lease, me) => {}
            _ => return Some("the lease leads to the shard of a cid that is not the thread's"),
        }
    }
    (in_slots() > CIDS.used()).then_some("a cid is somebody's, and free for others")
}

pub(crate) fn assert_settled() {
    assert_eq!(wrong(), None);
    assert!(mine() <= 1, "the thread holds {} cids", mine());
    assert_eq!(in_slots(), CIDS.used());
}

/// Calls `work` with what another thread told after `begin`; that thread does nothing meanwhile,
/// keeps the rest of what it has until then, and has ended on return.
pub(crate) fn beside<T: Send + 'static, K, R>(
    begin: impl FnOnce() -> (T, K) + Send + 'static,
    work: impl FnOnce(T) -> R,
) -> R {
    let (said, heard) = channel();
    let (go, wait) = channel::<()>();
    let other = thread::spawn(move || {
        let (told, kept) = begin();
        said.send(told).expect("a listener");
        wait.recv().expect("the other end");
        drop(kept);
    });
    let result = work(heard.recv().expect("the other thread"));
    go.send(()).expect("a waiter");
    other.join().expect("it ends well");
    result
}

/// Calls `work` with the cid of another thread, which does nothing meanwhile.
pub(crate) fn with_an_idle_thread(work: impl FnOnce(u32)) {
    if !two_cids() {
        return;
    }
    let begin = || {
        (0..20).for_each(|i| use_heap(100 * i + 1));
        (my_cid().expect("a cid"), ())
    };
    beside(begin, work);
}

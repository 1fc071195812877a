//! Emulated cids from the inside: what handlers, forks, ends of threads and stops do to leases.
//!
//! ```text
//!  a thread  i₀  i₁  i₂  i₃ …        one instruction at a time (the trap flag, x86-64)
//!              │   │   │
//!  handler     a   a   a             allocates, frees, and looks: bound ⇒ held, bit ⇐ slot
//!                  └ fork ► child    goes on from the very same instruction, and looks
//! ```
//!
//! Each case runs in a process of its own, since its heap, cids and users are the process's.
#![allow(unsafe_code)]

#[path = "../../../tests/src/seccomp.rs"]
mod seccomp;
mod steps;
mod stops;
mod world;

use cidalloc::heap::{self, Source};
use cidalloc::ids::ShardId;
use cidalloc::shard::Shard;
use cidalloc::slots::{CIDS, Slot};
use cidalloc::validate::validate;
use cidalloc::{flush, free, hardened, leases, malloc, records, section};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::Relaxed};
use rseq_sys::lease::Lease;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;

use steps::*;
use stops::*;
use world::*;

/// Runs the ignored test `case` in a process with emulated cids.
fn in_a_process(case: &str) {
    let program = std::env::current_exe().expect("the path of the test binary");
    let arguments = ["--exact", case, "--ignored", "--nocapture", "--test-threads=1"];
    let output = Command::new(program).args(arguments).env("CIDALLOC_CID", "emulated").output();
    let output = output.expect("this binary can be started");
    let (said, cried) = (output.stdout, output.stderr);
    let said = [said, cried].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{case}: {}\n{said}", output.status);
    if let Some(line) = said.lines().find(|line| line.contains("skipped")) {
        println!("{line}");
    }
}

macro_rules! cases {
    ($($name:ident: $case:ident)*) => {
        $(
            #[test]
            fn $name() {
                in_a_process(concat!("cases::", stringify!($case)));
            }
        )*
        mod cases {
            $(
                #[test]
                #[ignore = "is started by another, in a process of its own"]
                fn $case() {
                    super::$case();
                }
            )*
        }
    };
}

cases! {
    handlers_may_come_at_each_instruction_of_an_exchange_of_cids: exchange
    threads_may_register_at_each_instruction_of_an_exchange_of_cids: exchange_beside_others
    handlers_may_come_at_each_instruction_while_the_cid_is_stopped: stopped
    no_handler_comes_above_a_drain: drain
    handlers_may_fork_at_each_instruction_of_an_exchange_of_cids: exchange_and_fork
    handlers_may_fork_at_each_instruction_of_a_stop: stop_and_fork
    thread_whose_cid_is_stopped_for_a_while_ends_up_with_one: stopped_for_a_while
    thread_that_ends_while_its_cid_is_stopped_leaves_none: stopped_at_its_end
    thread_whose_first_operation_is_in_a_destructor_leaves_no_user: destructors
    child_of_fork_takes_no_lease_for_being_inside: inside_at_fork
    no_handler_comes_while_others_are_forgotten: forgetting
    cid_is_stopped_only_between_operations: between_operations
    nothing_is_committed_while_the_cid_is_stopped: at_speed
    nothing_is_committed_while_the_cid_is_stopped_without_membarrier: at_speed_without_membarrier
    others_may_stop_the_cid_at_each_instruction: stop_at_each
    thread_at_its_end_leaves_its_lease: last_round
}

/// The second thread has cid 1, and has to come down to cid 0.
fn exchange_of_cids() {
    if !two_cids() {
        return;
    }
    let (said, heard) = channel();
    let (go, wait) = channel::<()>();
    // This thread has cid 0.
    let second = thread::spawn(move || {
        let first = my_cid();
        said.send(first).expect("a listener");
        wait.recv().expect("the other end");
        step_through(|| use_heap(3000));
        (first, my_cid())
    });
    let cid = heard.recv().expect("the second thread");
    assert!(cid.is_some());
    // As if this thread had ended without a word: there is one user now, and cid 0 to take over.
    CIDS.remove_user();
    go.send(()).expect("a waiter");
    let (first, last) = second.join().expect("it ends well");
    assert_eq!((first, last), (Some(1), Some(0)));
}

fn exchange() {
    exchange_of_cids();
}

fn exchange_beside_others() {
    OTHERS_REGISTER.store(true, Relaxed);
    exchange_of_cids();
}

fn exchange_and_fork() {
    FORK_EVERY.store(401, Relaxed);
    exchange_of_cids();
}

fn stopped() {
    if !two_cids() {
        return;
    }
    let me = my_cid().expect("a cid");
    let stop = move || {
        use_heap(64);
        ((), leases::stop(me).expect("its holder is idle"))
    };
    beside(stop, |()| step_through(|| use_heap(3000)));
    use_heap(2000);
    assert_settled();
}

/// One that forked there would leave its child with a shard that two drain.
fn drain() {
    static HANDLERS: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn count(_: i32) {
        HANDLERS.fetch_add(1, Relaxed);
    }
    use_heap(64);
    let heap = heap::started().expect("it was used");
    // SAFETY: the handler counts.
    unsafe { libc::signal(libc::SIGUSR1, count as extern "C" fn(i32) as libc::sighandler_t) };
    with_an_idle_thread(|cid| {
        let shard = Shard::ready(heap, ShardId::new(0, cid as usize)).expect("it was used");
        let mut raised = 0;
        let drained = shard.drain(|class, objects| {
            // SAFETY: a signal to the calling thread.
            unsafe { libc::raise(libc::SIGUSR1) };
            raised += 1;
            assert_eq!(HANDLERS.load(Relaxed), 0, "a handler above a drain");
            flush::send_home(heap, class, objects);
        });
        assert!(drained, "its holder is idle");
        assert!(raised > 0 && HANDLERS.load(Relaxed) == 1, "signals come afterwards, as one");
    });
}

fn stop_and_fork() {
    FORK_EVERY.store(5, Relaxed);
    with_an_idle_thread(|cid| step_through(|| drop(leases::stop(cid))));
    // Its end left cid 1 free. To be sure to fork between the bit and the slot: at each of them.
    FORK_EVERY.store(1, Relaxed);
    step_through(|| drop(leases::stop(1)));
}

fn stopped_for_a_while() {
    if !two_cids() {
        return;
    }
    let me = my_cid().expect("a cid");
    let stop = move || {
        use_heap(64);
        (leases::stop(me).expect("its holder is idle"), ())
    };
    beside(stop, |stopped| {
        use_heap(3000);
        drop(stopped);
    });
    use_heap(2000);
    assert_settled();
    assert_eq!(CIDS.users(), 1);
    use_heap(1000);
    assert_eq!(my_cid(), Some(0), "the only thread's cid");
}

fn stopped_at_its_end() {
    if !two_cids() {
        return;
    }
    let stop = |cid| (cid, leases::stop(cid).expect("its holder is idle"));
    let (cid, stopped) = beside(|| (my_cid().expect("a cid"), ()), stop);
    drop(stopped);
    assert_eq!(Slot::read(cid), Slot::Free);
    assert_settled();
}

fn destructors() {
    extern "C" fn free_it(block: *mut core::ffi::c_void) {
        // SAFETY: the block that the thread was given.
        unsafe { free::free(block.cast()) };
    }
    static KEY: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn only_keep(block: *mut core::ffi::c_void) -> *mut core::ffi::c_void {
        // SAFETY: a key of this program.
        unsafe { libc::pthread_setspecific(KEY.load(Relaxed) as u32, block) };
        core::ptr::null_mut()
    }
    use_heap(64);
    // SAFETY: a key, and threads that are joined.
    unsafe {
        let mut key = 0;
        assert_eq!(libc::pthread_key_create(&raw mut key, Some(free_it)), 0);
        KEY.store(key as usize, Relaxed);
        for _ in 0..10 {
            let (mut thread, block) = (core::mem::zeroed(), malloc::alloc(100).cast());
            let made = libc::pthread_create(&raw mut thread, core::ptr::null(), only_keep, block);
            assert_eq!(made, 0);
            libc::pthread_join(thread, core::ptr::null_mut());
        }
    }
    // In the hardened mode the few blocks wait, for which no cid is needed.
    let most = if hardened::is_on() { 1 } else { 2 };
    let used = (CIDS.users(), records::most());
    assert_eq!(used, (1, most), "threads that are, numbers that were used");
    assert_settled();
}

fn inside_at_fork() {
    if !two_cids() {
        return;
    }
    let enter = || {
        use_heap(64);
        ((), Lease::current().expect("a lease").enter())
    };
    // SAFETY: the child has threads of its own, which is what is tested, and ends.
    beside(enter, |()| unsafe {
        let child = libc::fork();
        if child == 0 {
            let forgot = (in_slots(), CIDS.used(), CIDS.users(), records::most()) == (1, 1, 1, 1);
            let is_well = forgot && thread::spawn(|| my_cid().is_some()).join().unwrap_or(false);
            libc::_exit(i32::from(!is_well));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        assert_eq!(status, 0, "a thread of the child has no cid");
    });
}

/// One that claims a cid, of those that are about to be found nobody's, would share it.
fn forgetting() {
    use_heap(64);
    // SAFETY: the child goes on alone, and ends.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::prctl(libc::PR_SET_DUMPABLE, 0);
            step_through(leases::forget_others);
            libc::_exit(0);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        // A trap ends a process that blocks its signal.
        let is_blocked = libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGTRAP;
        assert!(is_blocked || !cfg!(target_arch = "x86_64"), "handlers came: {status:#x}");
    }
}

fn between_operations() {
    if !two_cids() {
        return;
    }
    let me = my_cid().expect("a cid");
    let stop = move || {
        let stop = move || leases::stop(me).map(drop).is_some();
        thread::spawn(stop).join().expect("it ends well")
    };
    let lease = Lease::current().expect("a lease");
    let inside = lease.enter().expect("outside of operations");
    assert!(!stop(), "stopped inside of an operation");
    assert_eq!(lease.shard_index(), None, "operations miss from the first look on");
    drop(inside);
    assert!(stop());
    assert_eq!(my_cid(), Some(me), "it is started again");
    assert_settled();
}

fn at_speed() {
    stop_at_speed();
}

fn at_speed_without_membarrier() {
    if let Err(why) = seccomp::refuse(&[(libc::SYS_membarrier, libc::EPERM)]) {
        println!("skipped: the kernel takes no filter: {why}");
        return;
    }
    stop_at_speed();
    assert!(!cidalloc::slots::is_asymmetric());
}

fn stop_at_each() {
    if !two_cids() {
        return;
    }
    static CID: AtomicUsize = AtomicUsize::new(0);
    let other = thread::spawn(|| {
        use_heap(64);
        let mut stopped = None;
        loop {
            match ASKED.load(Relaxed) {
                STOP => stopped = leases::stop(CID.load(Relaxed) as u32),
                START => drop(stopped.take()),
                END => break,
                _ => {
                    thread::yield_now();
                    continue;
                }
            }
            ASKED.store(IDLE, Relaxed);
        }
    });
    for phase in (0..60).step_by(4) {
        use_heap(64);
        let Some(cid) = my_cid() else { continue };
        CID.store(cid as usize, Relaxed);
        HANDLED.store(0, Relaxed);
        PHASE.store(phase, Relaxed);
        // The first operation misses, since the lease leads nowhere.
        Lease::current().expect("a lease").stop();
        step_through(|| use_heap(64));
        PHASE.store(usize::MAX, Relaxed);
        ASKED.store(START, Relaxed);
        while ASKED.load(Relaxed) != IDLE {
            thread::yield_now();
        }
    }
    ASKED.store(END, Relaxed);
    other.join().expect("it ends well");
}

fn last_round() {
    static KEY: AtomicUsize = AtomicUsize::new(0);
    static ROUNDS: AtomicUsize = AtomicUsize::new(0);
    static HAS_LEFT: AtomicBool = AtomicBool::new(false);
    extern "C" fn in_a_round(value: *mut core::ffi::c_void) {
        ROUNDS.fetch_add(1, Relaxed);
        HAS_LEFT.store(Lease::current().is_some_and(|lease| lease.is_inside()), Relaxed);
        // SAFETY: a key of this program.
        unsafe { libc::pthread_setspecific(KEY.load(Relaxed) as u32, value) };
    }
    use_heap(64);
    // SAFETY: a key of this program.
    unsafe {
        let mut key = 0;
        assert_eq!(libc::pthread_key_create(&raw mut key, Some(in_a_round)), 0);
        KEY.store(key as usize, Relaxed);
    }
    let ended = thread::spawn(|| {
        use_heap(64);
        // SAFETY: as above; any value but null.
        unsafe { libc::pthread_setspecific(KEY.load(Relaxed) as u32, (&raw const KEY).cast()) };
    });
    ended.join().expect("it ends well");
    assert!(ROUNDS.load(Relaxed) >= 4 && HAS_LEFT.load(Relaxed), "its record is another's by now");
    assert_eq!((CIDS.used(), CIDS.users()), (1, 1));
}

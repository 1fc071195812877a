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

use cidalloc::heap::{self, Source};
use cidalloc::ids::ShardId;
use cidalloc::shard::Shard;
use cidalloc::slots::{CIDS, Slot};
use cidalloc::validate::validate;
use cidalloc::{flush, free, leases, malloc, records, section};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::Relaxed};
use rseq_sys::lease::Lease;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;

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
    ($($name:ident: $case:ident)*) => { $(
        #[test]
        fn $name() {
            in_a_process(stringify!($case));
        }
    )* };
}

cases! {
    handlers_may_come_at_each_instruction_of_an_exchange_of_cids: exchange
    threads_may_register_at_each_instruction_of_an_exchange_of_cids: exchange_beside_others
    handlers_may_come_at_each_instruction_while_the_cid_is_stopped: stopped
    handlers_may_come_at_each_instruction_of_a_drain: drain
    handlers_may_fork_at_each_instruction_of_an_exchange_of_cids: exchange_and_fork
    handlers_may_fork_at_each_instruction_of_a_stop: stop_and_fork
    thread_whose_cid_is_stopped_for_a_while_ends_up_with_one: stopped_for_a_while
    thread_that_ends_while_its_cid_is_stopped_leaves_none: stopped_at_its_end
    thread_whose_first_operation_is_in_a_destructor_leaves_no_user: destructors
    child_of_fork_takes_no_lease_for_being_inside: inside_at_fork
    cid_is_stopped_only_between_operations: between_operations
    nothing_is_committed_while_the_cid_is_stopped: at_speed
    nothing_is_committed_while_the_cid_is_stopped_without_membarrier: at_speed_without_membarrier
    others_may_stop_the_cid_at_each_instruction: stop_at_each
    thread_at_its_end_leaves_its_lease: last_round
}

/// Whether there can be two cids; else says why the case is skipped.
fn two_cids() -> bool {
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
fn use_heap(size: usize) {
    let block = malloc::alloc(size);
    assert!(!block.is_null());
    // SAFETY: live, and given up once.
    unsafe { free::free(block) };
}

fn my_cid() -> Option<u32> {
    use_heap(64);
    section::shard_id(heap::started()?).map(|id| id.column() as u32)
}

/// Cids whose slots name the calling thread as their holder.
fn mine() -> usize {
    let me = Lease::current().expect("the thread used the heap");
    let is_mine = |n: u32| n != 0 && core::ptr::eq(&raw const records::at(n).lease, me);
    let names_me = |cid: &u32| match Slot::read(*cid) {
        Slot::Held(holder) | Slot::Stopped { holder, .. } => is_mine(holder),
        Slot::Free | Slot::Parked(_) => false,
    };
    (0..CIDS.allowed()).filter(names_me).count()
}

fn in_slots() -> u32 {
    (0..CIDS.allowed()).filter(|&cid| Slot::read(cid) != Slot::Free).count() as u32
}

/// What holds at each instruction of a process in which only one thread is at work; else why not.
fn wrong() -> Option<&'static str> {
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

fn assert_settled() {
    assert_eq!(wrong(), None);
    assert!(mine() <= 1, "the thread holds {} cids", mine());
    assert_eq!(in_slots(), CIDS.used());
}

static HANDLED: AtomicUsize = AtomicUsize::new(0);
/// A handler forks every so many instructions; 0: never.
static FORK_EVERY: AtomicUsize = AtomicUsize::new(0);
/// What a child looked at by steps, before it went on at full speed.
static CHILD_STEPS: AtomicUsize = AtomicUsize::new(0);
/// While a handler runs, there is one more user: as if another thread registered before and ended after.
static OTHERS_REGISTER: AtomicBool = AtomicBool::new(false);
static IS_CHILD: AtomicBool = AtomicBool::new(false);
static KEPT: [AtomicPtr<usize>; 8] = [const { AtomicPtr::new(core::ptr::null_mut()) }; 8];

fn cry(what: &str) -> ! {
    // SAFETY: writes a text, and ends the process; nothing that formats, in a handler.
    unsafe {
        libc::write(2, what.as_ptr().cast(), what.len());
        libc::write(2, c"\n".as_ptr().cast(), 1);
        libc::_exit(1)
    }
}

extern "C" fn at_an_instruction(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let n = HANDLED.fetch_add(1, Relaxed);
    if let Some(what) = wrong() {
        cry(what);
    }
    ask_for_a_stop(n);
    if IS_CHILD.load(Relaxed) {
        if CHILD_STEPS.fetch_add(1, Relaxed) == 200 {
            // SAFETY: the context of this very handler.
            unsafe { end_steps(context) };
        }
        return;
    }
    let every = FORK_EVERY.load(Relaxed);
    if every != 0 {
        if n.is_multiple_of(every) {
            fork_once();
        }
        return;
    }
    if OTHERS_REGISTER.load(Relaxed) {
        CIDS.add_user();
    }
    // Another class now and then, so that handlers have slow operations, too.
    let new = malloc::alloc(if n.is_multiple_of(16) { 16 + n % 4096 } else { 64 }).cast::<usize>();
    if new.is_null() {
        cry("no memory");
    }
    // SAFETY: a live block of 16 bytes or more.
    unsafe { new.write(new.addr() ^ 0x5a5a) };
    let old = KEPT[n % KEPT.len()].swap(new, Relaxed);
    if !old.is_null() {
        // SAFETY: whoever swaps a block out has it alone.
        unsafe {
            if old.read() != old.addr() ^ 0x5a5a {
                cry("a block was handed out twice");
            }
            free::free(old.cast());
        }
    }
    if OTHERS_REGISTER.load(Relaxed) {
        CIDS.remove_user();
    }
    if let Some(what) = wrong() {
        cry(what);
    }
}

/// # Safety
/// `context` is that of a handler.
unsafe fn end_steps(context: *mut libc::c_void) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: by the caller's promise.
    unsafe {
        let context = context.cast::<libc::ucontext_t>();
        (*context).uc_mcontext.gregs[libc::REG_EFL as usize] &= !0x100;
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = context;
}

/// The child goes on with what was interrupted.
fn fork_once() {
    // SAFETY: fork, and a wait for our own child.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            IS_CHILD.store(true, Relaxed);
            return;
        }
        let mut status = 0;
        if child < 0 || libc::waitpid(child, &raw mut status, 0) != child || status != 0 {
            cry("a child failed");
        }
    }
}

type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// Calls `work` with a handler after each instruction. False where that cannot be done.
fn step_through(work: impl FnOnce()) {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: the handler is a function of this program; the flag is cleared again below.
        unsafe {
            let mut action: libc::sigaction = core::mem::zeroed();
            action.sa_sigaction = at_an_instruction as Handler as usize;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigaction(libc::SIGTRAP, &raw const action, core::ptr::null_mut());
            core::arch::asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq");
            work();
            core::arch::asm!("pushfq", "and qword ptr [rsp], -257", "popfq");
        }
        for kept in &KEPT {
            let block = kept.swap(core::ptr::null_mut(), Relaxed);
            // SAFETY: null, or a block that nobody else has.
            unsafe { free::free(block.cast()) };
        }
        assert_settled();
        if IS_CHILD.load(Relaxed) {
            (0..200).for_each(|i| use_heap(16 * i + 1));
            assert_settled();
            // SAFETY: ends the child of a handler.
            unsafe { libc::_exit(0) };
        }
        let census = validate(heap::started().expect("it was used"), core::iter::empty());
        assert_eq!(census.expect("a consistent heap").elsewhere(), 0, "objects were lost");
        assert!(HANDLED.load(Relaxed) > 100, "{} handlers", HANDLED.load(Relaxed));
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (work, at_an_instruction as Handler);
        println!("skipped: no trap flag on this architecture");
    }
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

#[test]
#[ignore = "is started by another, in a process of its own"]
fn exchange() {
    exchange_of_cids();
}

#[test]
#[ignore = "is started by another, in a process of its own"]
fn exchange_beside_others() {
    OTHERS_REGISTER.store(true, Relaxed);
    exchange_of_cids();
}

#[test]
#[ignore = "is started by another, in a process of its own"]
fn exchange_and_fork() {
    FORK_EVERY.store(401, Relaxed);
    exchange_of_cids();
}

#[test]
#[ignore = "is started by another, in a process of its own"]
fn stopped() {
    if !two_cids() {
        return;
    }
    let me = my_cid().expect("a cid");
    let (said, heard) = channel();
    let (go, wait) = channel::<()>();
    let other = thread::spawn(move || {
        use_heap(64);
        let stopped = leases::stop(me).expect("its holder is idle");
        said.send(()).expect("a listener");
        wait.recv().expect("the other end");
        drop(stopped);
    });
    heard.recv().expect("the other thread");
    step_through(|| use_heap(3000));
    go.send(()).expect("a waiter");
    other.join().expect("it ends well");
    use_heap(2000);
    assert_settled();
}

#[test]
#[ignore = "is started by another, in a process of its own"]
fn drain() {
    use_heap(64);
    let heap = heap::started().expect("it was used");
    let drain = |cid: u32| {
        let shard = Shard::ready(heap, ShardId::new(0, cid as usize)).expect("it was used");
        step_through(|| {
            let home = |class, objects: &[usize]| flush::send_home(heap, class, objects);
            assert!(shard.drain(home), "its holder is idle");
        });
    };
    with_an_idle_thread(drain);
}

#[test]
#[ignore = "is started by another, in a process of its own"]
fn stop_and_fork() {
    FORK_EVERY.store(5, Relaxed);
    with_an_idle_thread(|cid| step_through(|| drop(leases::stop(cid))));
    // Its end left cid 1 free. To be sure to fork between the bit and the slot: at each of them.
    FORK_EVERY.store(1, Relaxed);
    step_through(|| drop(leases::stop(1)));
}

/// Calls `work` with the cid of another thread, which does nothing meanwhile.
fn with_an_idle_thread(work: impl FnOnce(u32)) {
    if !two_cids() {
        return;
    }
    let (said, heard) = channel();
    let (go, wait) = channel::<()>();
    let idle = thread::spawn(move || {
        (0..20).for_each(|i| use_heap(100 * i + 1));
        said.send(my_cid()).expect("a listener");
        wait.recv().expect("the other end");
    });
    work(heard.recv().expect("the other thread").expect("a cid"));
    go.send(()).expect("a waiter");
    idle.join().expect("it ends well");
}

#[test]
#[ignore = "is started by another, in a process of its own"]
fn stopped_for_a_while() {
    if !two_cids() {
        return;
    }
    let me = my_cid().expect("a cid");
    let (said, heard) = channel();
    let (go, wait) = channel::<()>();
    let other = thread::spawn(move || {
        use_heap(64);
        said.send(leases::stop(me).expect("its holder is idle")).expect("a listener");
        wait.recv().expect("the other end");
    });
    let stopped = heard.recv().expect("the other thread");
    use_heap(3000);
    drop(stopped);
    go.send(()).expect("a waiter");
    other.join().expect("it ends well");
    use_heap(2000);
    assert_settled();
    assert_eq!(CIDS.users(), 1);
    use_heap(1000);
    assert_eq!(my_cid(), Some(0), "the only thread's cid");
}

#[test]
#[ignore = "is started by another, in a process of its own"]
fn stopped_at_its_end() {
    if !two_cids() {
        return;
    }
    let (said, heard) = channel();
    let (go, wait) = channel::<()>();
    let other = thread::spawn(move || {
        said.send(my_cid()).expect("a listener");
        wait.recv().expect("the other end");
    });
    let cid = heard.recv().expect("the other thread").expect("a cid");
    let stopped = leases::stop(cid).expect("its holder is idle");
    go.send(()).expect("a waiter");
    other.join().expect("it ends well");
    drop(stopped);
    assert_eq!(Slot::read(cid), Slot::Free);
    assert_settled();
}

#[test]
#[ignore = "is started by another, in a process of its own"]
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
    assert_eq!((CIDS.users(), records::most()), (1, 2), "threads that are, numbers that were used");
    assert_settled();
}

#[test]
#[ignore = "is started by another, in a process of its own"]
fn inside_at_fork() {
    if !two_cids() {
        return;
    }
    let (said, heard) = channel();
    let (go, wait) = channel::<()>();
    let other = thread::spawn(move || {
        use_heap(64);
        let inside = Lease::current().expect("a lease").enter();
        said.send(()).expect("a listener");
        wait.recv().expect("the other end");
        drop(inside);
    });
    heard.recv().expect("the other thread");
    // SAFETY: the child has threads of its own, which is what is tested, and ends.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            let forgot = (in_slots(), CIDS.used(), CIDS.users(), records::most()) == (1, 1, 1, 1);
            let is_well = forgot && thread::spawn(|| my_cid().is_some()).join().unwrap_or(false);
            libc::_exit(i32::from(!is_well));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        assert_eq!(status, 0, "a thread of the child has no cid");
    }
    go.send(()).expect("a waiter");
    other.join().expect("it ends well");
}

#[test]
#[ignore = "is started by another, in a process of its own"]
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

/// One thread allocates and frees, and one stops its cid, over and over.
fn stop_at_speed() {
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

#[test]
#[ignore = "is started by another, in a process of its own"]
fn at_speed() {
    stop_at_speed();
}

#[test]
#[ignore = "is started by another, in a process of its own"]
fn at_speed_without_membarrier() {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let step = |code: u32, k: u32, jf| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let steps = [
        step(LOAD, 0, 0),
        step(IF_EQUAL, libc::SYS_membarrier as u32, 1),
        step(RETURN, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let filter = libc::sock_fprog { len: 4, filter: steps.as_ptr().cast_mut() };
    // SAFETY: reads the filter, for this process alone.
    let denied = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) == 0
    };
    if !denied {
        println!("skipped: the kernel takes no filter");
        return;
    }
    stop_at_speed();
    assert!(!cidalloc::slots::is_asymmetric());
}

/// What the handlers ask of the other thread, and its answers.
static ASKED: AtomicUsize = AtomicUsize::new(IDLE);
const IDLE: usize = 0;
const STOP: usize = 1;
const START: usize = 2;
const END: usize = 3;
static PHASE: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Has the other thread stop this one's cid at one instruction, and start it 30 later.
fn ask_for_a_stop(n: usize) {
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

#[test]
#[ignore = "is started by another, in a process of its own"]
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

#[test]
#[ignore = "is started by another, in a process of its own"]
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

//! A handler at each instruction of a piece of work, which may fork.
#![allow(unsafe_code)]

use super::*;

pub(crate) static HANDLED: AtomicUsize = AtomicUsize::new(0);
/// A handler forks every so many instructions; 0: never.
pub(crate) static FORK_EVERY: AtomicUsize = AtomicUsize::new(0);
/// What a child looked at by steps, before it went on at full speed.
pub(crate) static CHILD_STEPS: AtomicUsize = AtomicUsize::new(0);
/// While a handler runs, there is one more user: as if another thread registered before and ended after.
pub(crate) static OTHERS_REGISTER: AtomicBool = AtomicBool::new(false);
pub(crate) static IS_CHILD: AtomicBool = AtomicBool::new(false);
pub(crate) static KEPT: [AtomicPtr<usize>; 8] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; 8];

pub(crate) fn cry(what: &str) -> ! {
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
pub(crate) fn fork_once() {
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
pub(crate) fn step_through(work: impl FnOnce()) {
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

//! Timers at 1 kHz, of elapsed and of CPU time, whose handler allocates and frees, on whatever
//! thread it interrupts.
//!
//! ```text
//!  slot   0 or the address of a block: its size, then its address xor a constant
//! ```

use crate::blocks::{Face, Random};
use core::alloc::Layout;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::OnceLock;

static SLOTS: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];
/// Handlers that ran: for SIGALRM, and for SIGPROF.
static HANDLED: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
const STORMS: [(i32, i32); 2] =
    [(libc::SIGALRM, libc::ITIMER_REAL), (libc::SIGPROF, libc::ITIMER_PROF)];
/// Threads in the handler.
static INSIDE: AtomicU64 = AtomicU64::new(0);
static STOPPED: AtomicBool = AtomicBool::new(false);
static ACT: OnceLock<fn(u64)> = OnceLock::new();
const MAGIC: usize = 0x5a5a_1234_5678_9abc;

/// The face, which a handler cannot be given otherwise.
trait Known: Face + Sized + 'static {}
impl<T: Face + 'static> Known for T {}

static FACE: AtomicUsize = AtomicUsize::new(0);

fn act<F: Known>(n: u64) {
    let face = core::ptr::with_exposed_provenance::<F>(FACE.load(Ordering::Acquire));
    // SAFETY: stored by `start` from a `'static` reference of this very type.
    let face = unsafe { &*face };
    let mut random = Random(n);
    for _ in 0..3 {
        let size = 16 + random.size() % (200 << 10);
        put(face, random.below(SLOTS.len()), size, &mut random);
    }
}

/// Frees what is in slot `i` and puts a new block there; none if `size` is 0.
fn put(face: &impl Face, i: usize, size: usize, random: &mut Random) {
    let layout = |size| Layout::from_size_align(size, 16).expect("small enough");
    let new = if size == 0 {
        0
    } else {
        let p = face.alloc(layout(size), random).cast::<usize>();
        assert!(!p.is_null());
        // SAFETY: a live block of at least 16 bytes, aligned to 16.
        unsafe {
            p.write(size);
            p.add(1).write(p.addr() ^ MAGIC);
        }
        p.expose_provenance()
    };
    let old = SLOTS[i].swap(new, Ordering::AcqRel);
    if old != 0 {
        let p = core::ptr::with_exposed_provenance_mut::<usize>(old);
        // SAFETY: whoever swapped it out has it alone.
        unsafe {
            let (size, mark) = (p.read(), p.add(1).read());
            if mark != old ^ MAGIC {
                // Nothing that formats: the interrupted thread may be doing so.
                libc::abort();
            }
            face.free(p.cast(), layout(size), true, random);
        }
    }
}

/// Allocates and frees, and keeps `errno`.
pub(crate) extern "C" fn handler(signal: i32) {
    // SAFETY: the thread's own errno, put back below.
    let errno = unsafe { *libc::__errno_location() };
    INSIDE.fetch_add(1, Ordering::SeqCst);
    if !STOPPED.load(Ordering::SeqCst)
        && let Some(act) = ACT.get()
    {
        // Another number for each handler: the counts of both kinds together.
        let [mine, other] = if signal == libc::SIGALRM { [0, 1] } else { [1, 0] };
        let n = HANDLED[mine].fetch_add(1, Ordering::Relaxed);
        act(n + (HANDLED[other].load(Ordering::Relaxed) << 32));
    }
    INSIDE.fetch_sub(1, Ordering::SeqCst);
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

fn set_timer(which: i32, microseconds: i64) {
    let period = libc::timeval { tv_sec: 0, tv_usec: microseconds };
    let timer = libc::itimerval { it_interval: period, it_value: period };
    // SAFETY: reads its argument.
    unsafe { libc::setitimer(which, &raw const timer, core::ptr::null_mut()) };
}

/// Has `handle` called on `signal`; what [`handler`] allocates is from `face`.
pub(crate) fn install<F: Face + 'static>(
    face: &'static F,
    signal: i32,
    handle: extern "C" fn(i32),
) {
    FACE.store((&raw const *face).expose_provenance(), Ordering::Release);
    let _ = ACT.set(act::<F>);
    // SAFETY: zero is a valid sigaction, filled below; the handler is a function of this program.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = handle as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(signal, &raw const action, core::ptr::null_mut());
    }
}

/// Starts those of the `storms` that are wanted.
pub(crate) fn start<F: Face + 'static>(face: &'static F, storms: [bool; 2]) {
    HANDLED.iter().for_each(|handled| handled.store(0, Ordering::Relaxed));
    STOPPED.store(false, Ordering::SeqCst);
    for ((signal, timer), _) in STORMS.into_iter().zip(storms).filter(|(_, wanted)| *wanted) {
        install(face, signal, handler);
        set_timer(timer, 1000);
    }
}

/// Keeps handlers out until dropped, of all threads.
///
/// `fork` takes the heap's locks and then those of libc. A handler that interrupted somebody in
/// libc and waits for the heap would wait for ever: allocating in handlers is at one's own risk.
pub(crate) struct Paused;

impl Paused {
    pub(crate) fn new() -> Self {
        STOPPED.store(true, Ordering::SeqCst);
        while INSIDE.load(Ordering::SeqCst) != 0 {
            std::thread::yield_now();
        }
        Self
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        STOPPED.store(false, Ordering::SeqCst);
    }
}

/// Stops the timers, frees the handlers' blocks, and says how often they ran.
pub(crate) fn stop(face: &impl Face) -> [u64; 2] {
    STORMS.iter().for_each(|&(_, timer)| set_timer(timer, 0));
    // One may be pending, or be handled by a thread that was preempted in it.
    core::mem::forget(Paused::new());
    free_all(face);
    [0, 1].map(|storm: usize| HANDLED[storm].load(Ordering::Relaxed))
}

/// Frees the handler's blocks.
pub(crate) fn free_all(face: &impl Face) {
    let mut random = Random(0);
    for i in 0..SLOTS.len() {
        put(face, i, 0, &mut random);
    }
}

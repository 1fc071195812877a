//! A timer at 1 kHz whose handler allocates and frees, on whatever thread it interrupts.
//!
//! ```text
//!  slot   0 or the address of a block: its size, then its address xor a constant
//! ```

use crate::blocks::{Face, Random};
use core::alloc::Layout;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::OnceLock;

static SLOTS: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];
static HANDLED: AtomicU64 = AtomicU64::new(0);
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
pub(crate) extern "C" fn handler(_signal: i32) {
    // SAFETY: the thread's own errno, put back below.
    let errno = unsafe { *libc::__errno_location() };
    INSIDE.fetch_add(1, Ordering::SeqCst);
    if !STOPPED.load(Ordering::SeqCst)
        && let Some(act) = ACT.get()
    {
        act(HANDLED.fetch_add(1, Ordering::Relaxed));
    }
    INSIDE.fetch_sub(1, Ordering::SeqCst);
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

fn set_timer(microseconds: i64) {
    let period = libc::timeval { tv_sec: 0, tv_usec: microseconds };
    let timer = libc::itimerval { it_interval: period, it_value: period };
    // SAFETY: reads its argument.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, core::ptr::null_mut()) };
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
        libc::sigaction(signal, &action, core::ptr::null_mut());
    }
}

pub(crate) fn start<F: Face + 'static>(face: &'static F) {
    install(face, libc::SIGALRM, handler);
    set_timer(1000);
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

/// Stops the timer, frees the handler's blocks, and says how often it ran.
pub(crate) fn stop(face: &impl Face) -> u64 {
    set_timer(0);
    // One may be pending, or be handled by a thread that was preempted in it.
    core::mem::forget(Paused::new());
    free_all(face);
    HANDLED.load(Ordering::Relaxed)
}

/// Frees the handler's blocks.
pub(crate) fn free_all(face: &impl Face) {
    let mut random = Random(0);
    for i in 0..SLOTS.len() {
        put(face, i, 0, &mut random);
    }
}

//! Threads straight from pthreads: unlike `std::thread` they cost the allocator under
//! measurement nothing but what the C library itself asks for.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::proc::die;
use crate::table::Table;

/// A running thread.
pub(crate) struct Handle(libc::pthread_t);

impl Handle {
    pub(crate) fn join(self) {
        // SAFETY: a handle is joined or detached once, by value.
        unsafe { libc::pthread_join(self.0, core::ptr::null_mut()) };
    }

    pub(crate) fn detach(self) {
        // SAFETY: as in `join`.
        unsafe { libc::pthread_detach(self.0) };
    }
}

/// What a thread does.
pub(crate) trait Job: Sync {
    fn run(&self);
}

impl<F: Fn() + Sync> Job for F {
    fn run(&self) {
        self();
    }
}

extern "C" fn enter<J: Job>(job: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: `start` passed a pointer to a `J` that outlives the thread.
    unsafe { &*job.cast::<J>() }.run();
    core::ptr::null_mut()
}

/// Starts a thread that runs `job`, on a stack of `stack` bytes (0: the default).
///
/// # Safety
/// `job` outlives the thread.
pub(crate) unsafe fn start<J: Job>(job: *const J, stack: usize) -> Handle {
    let mut thread = 0;
    let mut attributes = core::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the attributes are initialised before use and destroyed after; the
    // caller keeps `job` alive.
    let error = unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        if stack > 0 {
            libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack);
        }
        let error = libc::pthread_create(
            &raw mut thread,
            attributes.as_ptr(),
            enter::<J>,
            job.cast_mut().cast(),
        );
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        error
    };
    if error != 0 {
        die("a thread cannot be started: is the limit on tasks (ulimit -u, pids cgroup) too low?");
    }
    Handle(thread)
}

/// Runs `work(0)` … `work(threads - 1)` in threads of their own and waits for all.
pub(crate) fn crew(threads: usize, work: impl Fn(usize) + Sync) {
    let next = core::sync::atomic::AtomicUsize::new(0);
    let job = || work(next.fetch_add(1, core::sync::atomic::Ordering::Relaxed));
    // SAFETY: all threads are joined below, before `job` goes.
    let mut handles = Table::new(threads, |_| Some(unsafe { start(&raw const job, 0) }));
    handles.iter_mut().filter_map(Option::take).for_each(Handle::join);
}

/// A counter that can be waited for: semaphore, latch and gate in one.
pub(crate) struct Tally {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Tally {
    pub(crate) const fn new(count: usize) -> Self {
        Self { count: Mutex::new(count), changed: Condvar::new() }
    }

    pub(crate) fn add(&self, n: usize) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count += n;
        drop(count);
        self.changed.notify_all();
    }

    /// Waits until the count is `n` or more, and leaves it as it is.
    pub(crate) fn await_at_least(&self, n: usize) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(count, |count| *count < n));
    }

    /// Waits until the count is 1 or more, and takes 1 off.
    pub(crate) fn take_one(&self) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_while(count, |count| *count == 0);
        *waited.unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}

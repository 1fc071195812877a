//! A futex lock that knows its holder.
//!
//! ```text
//! word   0                      free
//!        thread pointer         held, nobody sleeps
//!        thread pointer | 1     held, somebody sleeps on the low half
//! ```
//!
//! Knowing the holder makes re-entry visible: a signal handler that interrupted the holder is
//! told so instead of waiting for itself (SELF-KNOWN). The futex word is the low half; thread
//! pointers are aligned to 64, so a held and slept-on word never has a low half of 0.

use crate::os;
use rseq_sys::area::thread_pointer;
use rseq_sys::sync::{AtomicU64, Ordering};

const SLEEPERS: u64 = 1;
const SPINS: u32 = 64;

/// The lock of one page heap.
#[derive(Debug)]
pub struct Lock(AtomicU64);

/// This thread holds the lock already, or another one that somebody may wait for: we are in a
/// signal handler above it, and must not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldByMe;

/// Unlocks when dropped.
#[derive(Debug)]
pub struct Guard<'a>(&'a Lock);

impl Lock {
    /// A free lock.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Takes the lock, sleeping until it is free.
    ///
    /// # Errors
    /// [`HeldByMe`] when that might never happen: this thread is the holder, or has to wait
    /// while `holds_another` lock.
    #[inline]
    pub fn lock(&self, holds_another: impl Fn() -> bool) -> Result<Guard<'_>, HeldByMe> {
        let me = thread_pointer() as u64;
        match self.0.compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Ok(Guard(self)),
            Err(_) if self.is_mine() || holds_another() => Err(HeldByMe),
            Err(_) => Ok(self.lock_slow(me)),
        }
    }

    #[cold]
    fn lock_slow(&self, me: u64) -> Guard<'_> {
        let mut spins = 0;
        let mut mine = me;
        loop {
            let word = self.0.load(Ordering::Relaxed);
            if word == 0 {
                if self.0.compare_exchange(0, mine, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    return Guard(self);
                }
            } else if spins < SPINS {
                spins += 1;
                core::hint::spin_loop();
            } else {
                let slept_on = word | SLEEPERS;
                if word == slept_on
                    || self
                        .0
                        .compare_exchange(word, slept_on, Ordering::Relaxed, Ordering::Relaxed)
                        .is_ok()
                {
                    // Who has slept cannot know whether it was the last sleeper.
                    mine = me | SLEEPERS;
                    os::futex_wait(&self.0, slept_on as u32);
                }
            }
        }
    }

    /// Whether the calling thread holds the lock. Exact, since nobody else can make it so.
    #[must_use]
    pub fn is_mine(&self) -> bool {
        self.0.load(Ordering::Relaxed) & !SLEEPERS == thread_pointer() as u64
    }

    /// Takes the lock if it is free.
    #[must_use]
    pub fn try_lock(&self) -> Option<Guard<'_>> {
        let me = thread_pointer() as u64;
        self.0
            .compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
            .then(|| Guard(self))
    }

    /// Opens a lock that this thread took before `fork`, in parent or child.
    pub fn unlock_after_fork(&self) {
        self.unlock();
    }

    fn unlock(&self) {
        if self.0.swap(0, Ordering::Release) & SLEEPERS != 0 {
            os::futex_wake(&self.0);
        }
    }
}

impl Default for Lock {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::sync::atomic::AtomicUsize;

    #[test]
    fn holder_is_told_instead_of_waiting_for_itself() {
        let lock = Lock::new();
        let guard = lock.lock(|| false).unwrap();
        assert_eq!(lock.lock(|| false).err(), Some(HeldByMe));
        assert!(lock.try_lock().is_none());
        assert!(lock.try_lock().is_none(), "a failed try must not open the lock");
        drop(guard);
        assert!(lock.lock(|| false).is_ok());
    }

    #[test]
    fn holder_of_another_takes_a_free_lock_and_does_not_wait_for_a_held_one() {
        let lock = Lock::new();
        drop(lock.lock(|| true).expect("nobody holds it"));
        std::thread::scope(|scope| {
            let guard = lock.lock(|| false).unwrap();
            let other = scope.spawn(|| lock.lock(|| true).err());
            assert_eq!(other.join().unwrap(), Some(HeldByMe));
            drop(guard);
        });
    }

    #[test]
    fn many_threads_never_hold_it_together() {
        let lock = Lock::new();
        let inside = AtomicUsize::new(0);
        let mut total = 0usize;
        let shared = &raw mut total as usize;
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for i in 0..2000 {
                        let _guard = lock.lock(|| false).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                        if i % 256 == 0 {
                            std::thread::yield_now();
                        }
                        let total: *mut usize = core::ptr::with_exposed_provenance_mut(shared);
                        #[allow(unsafe_code)]
                        // SAFETY: the lock makes this thread the only one here.
                        unsafe {
                            *total += 1;
                        }
                        inside.fetch_sub(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(total, 32_000);
    }
}

//! What happens beside the workers: forks, and CPUs that are taken from threads and given back.

use crate::blocks::{Block, Face, Random, fail};
use crate::engine::{Board, seed};
use crate::signals;
use cidalloc::heap::Heap;
use cidalloc::maintenance;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Mutex;

/// CPUs that the process may use, when it was asked for the first time.
fn all_cpus() -> libc::cpu_set_t {
    static ALL: Mutex<Option<libc::cpu_set_t>> = Mutex::new(None);
    let mut all = ALL.lock().expect("no panics");
    *all.get_or_insert_with(|| {
        // SAFETY: zero is an empty set; the call fills it.
        unsafe {
            let mut set: libc::cpu_set_t = core::mem::zeroed();
            libc::sched_getaffinity(libc::getpid(), size_of_val(&set), &raw mut set);
            set
        }
    })
}

/// The affinity of `thread`, or of the caller (0): one CPU below 4, by number; all from there on.
fn set_affinity_of(thread: libc::pid_t, n: usize) {
    let mut set = all_cpus();
    // SAFETY: sets of the right size.
    unsafe {
        let allowed: Vec<_> =
            (0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &set)).collect();
        if n < 4 {
            set = core::mem::zeroed();
            libc::CPU_SET(allowed[n % allowed.len()], &mut set);
        }
        // A thread that has ended meanwhile, or a CPU that is gone, is no matter.
        libc::sched_setaffinity(thread, size_of_val(&set), &raw const set);
    }
}

/// As [`set_affinity_of`], of the calling thread.
pub(crate) fn set_affinity(n: usize) {
    set_affinity_of(0, n);
}

/// Gives each thread of the process other CPUs.
pub(crate) fn move_all(random: &mut Random, moves: &AtomicU64) {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let threads = tasks.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let moved = threads.map(|thread| set_affinity_of(thread, random.below(6))).count();
    moves.fetch_add(moved as u64, Relaxed);
}

/// The child has one thread, and whatever state the others were in.
pub(crate) fn fork_once(face: &impl Face, heap: &Heap, board: &Board, forks: &AtomicU64) {
    let paused = signals::Paused::new();
    // SAFETY: the child uses the allocator, which is what is tested, and `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: a deadline for the child: timers are not inherited.
        unsafe {
            libc::signal(libc::SIGALRM, libc::SIG_DFL);
            libc::alarm(60);
        }
        let mut random = Random(seed());
        for slot in board {
            if let Ok(mut slot) = slot.try_lock()
                && let Some(mut block) = slot.take()
            {
                block.check("in the child of a fork");
                block.realloc(face, &mut random);
                block.free(face, &mut random);
            }
        }
        let mut own: Vec<_> = (0..400).map(|_| Block::random(face, &mut random)).collect();
        maintenance::trim(heap);
        for block in own.drain(..) {
            block.free(face, &mut random);
        }
        // SAFETY: ends the process without the parent's exit handlers.
        unsafe { libc::_exit(0) };
    }
    drop(paused);
    if child < 0 {
        // Memory for another copy of everything is not the allocator's to have.
        return;
    }
    let mut status = 0;
    // SAFETY: our own child.
    while unsafe { libc::waitpid(child, &mut status, 0) } != child {}
    if status != 0 {
        fail!("the child of a fork ended with wait status {status:#x}");
    }
    forks.fetch_add(1, Relaxed);
}

//! Who acts upon threads that are held up: the one that counts, and in plain code they themselves.
//!
//! ```text
//!   worker              agent
//!   at = point ───────► sees it, acts
//!   window: aborted     … again, until `at` is 0; after what must have aborted it, lets it go on
//!   elsewhere: waits ◄─ at = 0
//! ```

use crate::blocks::fail;
use crate::cells::{Cell, Kind, Means, Spot};
use crate::signals;
use crate::worker::Worker;
use cidalloc::heap::Heap;
use cidalloc::{maintenance, shard};
use core::sync::atomic::{
    AtomicU32, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};
use core::time::Duration;
use rseq_sys::inject::{self, Control};
use std::sync::OnceLock;
use std::time::Instant;

/// The signal of the cells.
pub(crate) const SIGNAL: i32 = libc::SIGUSR1;

/// The kind of the cell that runs, as held-up threads need to know it in plain code.
static KIND: AtomicU32 = AtomicU32::new(0);
/// Times that a thread was held up in plain code.
static HELD: AtomicUsize = AtomicUsize::new(0);

const SELF_MADE: [Kind; 7] =
    [Kind::Spin, Kind::Yield, Kind::Sleep, Kind::Signal, Kind::Migrate, Kind::Fence, Kind::Drain];

/// The CPUs that the process may use.
pub(crate) fn cpus() -> &'static [usize] {
    static CPUS: OnceLock<Vec<usize>> = OnceLock::new();
    CPUS.get_or_init(|| {
        // SAFETY: a set of the right size, filled by the call.
        let set = unsafe {
            let mut set: libc::cpu_set_t = core::mem::zeroed();
            libc::sched_getaffinity(libc::getpid(), size_of_val(&set), &mut set);
            set
        };
        // SAFETY: numbers below the size of the set.
        (0..libc::CPU_SETSIZE as usize)
            .filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) })
            .collect()
    })
}

/// Has thread `tid` (0: the caller) run on `cpus` alone.
pub(crate) fn set_affinity(tid: i32, cpus: &[usize]) {
    // SAFETY: a set of the right size, of numbers below that.
    unsafe {
        let mut set: libc::cpu_set_t = core::mem::zeroed();
        cpus.iter().for_each(|&cpu| libc::CPU_SET(cpu, &mut set));
        libc::sched_setaffinity(tid, size_of_val(&set), &set);
    }
}

/// The CPU after the one that the caller is on.
fn next_cpu() -> usize {
    // SAFETY: takes nothing.
    let here = unsafe { libc::sched_getcpu() } as usize;
    let cpus = cpus();
    let at = cpus.iter().position(|&cpu| cpu == here).unwrap_or(0);
    cpus[(at + 1) % cpus.len()]
}

/// Before a cell: what its held-up threads are to do.
pub(crate) fn prepare(cell: &Cell) {
    KIND.store(cell.kind as u32, SeqCst);
}

/// The signal's handler: its own sections are not those that are held up.
pub(crate) extern "C" fn on_signal(signal: i32) {
    let control = inject::control();
    let (armed, at) = (control.armed.swap(0, Relaxed), control.at.swap(0, Relaxed));
    signals::handler(signal);
    control.at.store(at, Relaxed);
    control.armed.store(armed, Relaxed);
}

/// A thread at a point in plain code.
pub(crate) fn hold(control: &'static Control, point: u16) {
    HELD.fetch_add(1, Relaxed);
    let number = KIND.load(SeqCst);
    let kind = SELF_MADE.into_iter().find(|&kind| kind as u32 == number);
    match kind {
        Some(Kind::Spin) => (0..300).for_each(|_| core::hint::spin_loop()),
        Some(Kind::Sleep) => std::thread::sleep(Duration::from_micros(50)),
        // SAFETY: the handler is one of this program.
        Some(Kind::Signal) => unsafe {
            libc::raise(SIGNAL);
        },
        Some(Kind::Migrate) => set_affinity(0, &[next_cpu()]),
        Some(Kind::Fence | Kind::Drain) => {
            control.at.store(point, Release);
            let begin = Instant::now();
            while control.at.load(Acquire) == point {
                if begin.elapsed() > Duration::from_secs(60) {
                    fail!("nobody came to a thread that waited at point {point:#x}");
                }
                std::thread::yield_now();
            }
        }
        _ => std::thread::yield_now(),
    }
}

/// Times that a thread was held up in plain code, since the last call.
pub(crate) fn take_held() -> u64 {
    HELD.swap(0, Relaxed) as u64
}

/// Drains what can be drained. False when nothing could, for one because the caller is on the shard
/// of who is held up: then a fence alone will have to do.
fn drains(heap: &Heap) -> bool {
    let before = maintenance::drains();
    maintenance::trim(heap);
    maintenance::drains() != before
}

/// Acts upon whoever is held up, until the workers have ended the cell.
pub(crate) fn attend(
    heap: &Heap,
    means: Means,
    cell: &Cell,
    workers: &[Worker],
    at_work: &AtomicU32,
) {
    if !cell.kind.is_of_agent(cell.spot) {
        return;
    }
    let mut moves = 0;
    while at_work.load(Acquire) != 0 {
        for worker in workers {
            let Some((tid, control)) = worker.whereabouts() else { continue };
            let (at, aborted) = (&control.at, control.aborted.load(Relaxed));
            let point = at.load(Acquire);
            if point == 0 {
                continue;
            }
            match cell.kind {
                // SAFETY: a thread of this process, and a signal with a handler.
                Kind::Signal => unsafe {
                    libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, SIGNAL);
                },
                Kind::Migrate => {
                    // To two of them: it is on one at most.
                    moves += 1;
                    let cpu = |n: usize| [cpus()[n % cpus().len()]];
                    set_affinity(tid, &cpu(moves));
                    set_affinity(tid, &cpu(moves + 1));
                }
                Kind::Drain if drains(heap) => {}
                _ => {
                    if means.fences && !shard::fence() {
                        fail!("the kernel makes no rseq fence any more");
                    }
                }
            }
            match cell.spot {
                // When these return the window is aborted, if only once its thread runs again. One
                // that is not shall go on, to where it does harm.
                Spot::Window if cell.kind != Kind::Signal => {
                    // Unless it is held up in another window by now.
                    if at.load(Acquire) == point && control.aborted.load(Relaxed) == aborted {
                        control.spins.store(0, Relaxed);
                    }
                }
                Spot::Window => {}
                Spot::Unarmed | Spot::Plain => {
                    let _ = at.compare_exchange(point, 0, Release, Relaxed);
                }
            }
        }
        std::thread::yield_now();
    }
}

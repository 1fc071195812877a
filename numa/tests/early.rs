//! What an allocator needs while it starts: no allocation, `errno` kept, little stack, and calls
//! that are safe in a signal handler.
//!
//! ```text
//!   alternate stack   [ 0xA5 0xA5 …………………… 0xA5 | frames of the handler | signal frame ]
//!                                               └ lowest byte changed = stack used
//! ```

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ffi::{c_int, c_void};
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use numa_sys::policy::{self, PageStatus};
use numa_sys::topology::{self, Sysfs};
use numa_sys::*;
use std::alloc::System;

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's duty.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's duty.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the allocator asks while it starts.
fn startup() {
    let cpus = black_box(topology::possible_cpus()).unwrap_or(1);
    black_box(topology::possible_nodes());
    black_box(topology::node_of_cpu(0));
    black_box(topology::node_of_cpu(cpus));
    let Ok(block) = numa_alloc_onnode(1 << 16, 0) else {
        return;
    };
    black_box(policy::bind_range(block.as_ptr(), 1 << 16, 0, BindMode::Preferred)).unwrap();
    black_box(policy::bind_range(block.as_ptr(), 1 << 16, 1023, BindMode::Bind)).unwrap_err();
    black_box(policy::node_of_page(block.as_ptr())).unwrap_err();
    // SAFETY: a fresh mapping; ours, and not used afterwards.
    unsafe { numa_free(block, 1 << 16) }.unwrap();
}

/// Everything else, failures included.
fn everything() {
    startup();
    let _ = black_box(numa_available());
    let _ = black_box((numa_max_node(), numa_max_possible_node(), numa_num_possible_nodes()));
    let _ = black_box((numa_num_configured_nodes(), numa_num_configured_cpus()));
    let _ = black_box((numa_node_of_cpu(0), numa_node_to_cpus(0), numa_distance(0, 0)));
    let _ = black_box((numa_node_size(0), numa_get_mems_allowed(), numa_node_size(999)));
    let _ = black_box((policy::get_mempolicy(), numa_distance(0, 999)));
    let _ = black_box(Sysfs::new(c"/nowhere").online_nodes());
    let _ = black_box(Sysfs::SYSTEM.nearest_node_with_memory(0));
    let _ = black_box((numa_set_preferred(Some(5000)), numa_run_on_node(Some(999))));
    let _ = black_box(policy::nodes_of_pages(&[core::ptr::null()], &mut [PageStatus::UNKNOWN]));
    let cpus = numa_sched_getaffinity().unwrap();
    numa_sched_setaffinity(&cpus).unwrap();
}

#[test]
fn nothing_allocates() {
    let before = COUNT.get();
    everything();
    assert_eq!(COUNT.get(), before, "the global allocator was called");
    drop(black_box(Box::new(1)));
    assert_eq!(COUNT.get(), before + 1, "the count does count");
}

#[test]
fn errno_is_kept() {
    // SAFETY: this thread's errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    unsafe { errno.write(4242) };
    everything();
    // SAFETY: as above.
    assert_eq!(unsafe { errno.read() }, 4242);
}

const STACK: usize = 256 << 10;
const PAINT: u8 = 0xa5;
static ASK: AtomicBool = AtomicBool::new(false);
static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handler(_signal: c_int) {
    if ASK.load(Ordering::Relaxed) {
        startup();
    }
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// Bytes of the alternate stack that handling one signal changes.
fn stack_used(stack: &mut [u8]) -> usize {
    stack.fill(PAINT);
    // SAFETY: a handler for this signal is set; it is delivered to this thread, at once.
    unsafe { libc::raise(libc::SIGUSR1) };
    let untouched = stack.iter().take_while(|&&byte| byte == PAINT).count();
    STACK - untouched
}

#[test]
fn starting_up_works_in_a_signal_handler_and_on_little_stack() {
    let mut memory = vec![0u8; STACK];
    let base = memory.as_mut_ptr().cast::<c_void>();
    let alternate = libc::stack_t { ss_sp: base, ss_flags: 0, ss_size: STACK };
    let mut before = alternate;
    // SAFETY: the memory outlives its use: the old stack is put back below.
    let set = unsafe { libc::sigaltstack(&raw const alternate, &raw mut before) };
    assert_eq!(set, 0);
    // SAFETY: a struct of integers and pointers, for which zero is a value.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_ONSTACK;
    // SAFETY: a handler that only calls async-signal-safe functions.
    let set = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, core::ptr::null_mut()) };
    assert_eq!(set, 0);

    let frame = stack_used(&mut memory);
    ASK.store(true, Ordering::Relaxed);
    let all = stack_used(&mut memory);
    // SAFETY: puts back what was there.
    let set = unsafe { libc::sigaltstack(&raw const before, core::ptr::null_mut()) };
    assert_eq!(set, 0);
    assert_eq!(HANDLED.load(Ordering::Relaxed), 2);
    assert!(frame > 0 && all > frame, "the handler ran on another stack");
    println!("stack used while starting up: {} bytes", all - frame);
    // Unoptimised frames are some times larger than optimised ones.
    let limit = if cfg!(debug_assertions) { 16 << 10 } else { 4 << 10 };
    assert!(all - frame <= limit, "{} bytes of stack", all - frame);
}

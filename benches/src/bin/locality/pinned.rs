//! Threads that stay on one CPU, and the bursts that they make.

use core::hint::black_box;

/// The CPUs that this process may run on.
pub(crate) fn allowed_cpus() -> Vec<usize> {
    let mut set = core::mem::MaybeUninit::<libc::cpu_set_t>::zeroed();
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: the kernel fills at most `size` bytes of the set, for which all-zero is valid.
    let set = unsafe {
        libc::sched_getaffinity(0, size, set.as_mut_ptr());
        set.assume_init()
    };
    // SAFETY: the number is below the set's size.
    let has = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &set) };
    (0..libc::CPU_SETSIZE as usize).filter(has).collect()
}

/// Keeps the calling thread on `cpu`.
pub(crate) fn pin(cpu: usize) -> Result<(), String> {
    let mut set = core::mem::MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: all-zero is an empty set; the number comes from `allowed_cpus`.
    let set = unsafe {
        libc::CPU_SET(cpu, &mut *set.as_mut_ptr());
        set.assume_init()
    };
    // SAFETY: reads the set.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) } {
        0 => Ok(()),
        _ => Err(format!("a thread cannot stay on CPU {cpu}: {}", std::io::Error::last_os_error())),
    }
}

/// The CPUs of an experiment with threads on more than one.
pub(crate) fn several_cpus() -> Result<Vec<usize>, String> {
    let cpus = allowed_cpus();
    match cpus.len() {
        0 | 1 => Err("this process may use one CPU only, where nothing travels; allow it two or \
                      more (taskset, cpuset)"
            .to_owned()),
        _ => Ok(cpus),
    }
}

/// Adds one to each byte.
#[inline(never)]
pub(crate) fn increment(area: &mut [u8]) {
    for byte in &mut *area {
        *byte = byte.wrapping_add(1);
    }
    black_box(area);
}

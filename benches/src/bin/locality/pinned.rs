//! Threads that stay on one CPU, and the bursts that they make.

use core::fmt::Display;
use core::hint::black_box;

use numa_sys::CpuMask;

/// Keeps the calling thread on `cpu`.
pub(crate) fn pin(cpu: usize) -> Result<(), String> {
    let failed = |error: &dyn Display| format!("a thread cannot stay on CPU {cpu}: {error}");
    let number = u32::try_from(cpu).map_err(|error| failed(&error))?;
    let only = CpuMask::single(number).map_err(|error| failed(&error))?;
    numa_sys::numa_sched_setaffinity(&only).map_err(|error| failed(&error))
}

/// The CPUs of an experiment with threads on more than one.
pub(crate) fn several_cpus() -> Result<Vec<usize>, String> {
    let allowed = numa_sys::numa_sched_getaffinity()
        .map_err(|error| format!("the CPUs that this process may use are not known: {error}"))?;
    let cpus: Vec<usize> = allowed.iter().map(|cpu| cpu as usize).collect();
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

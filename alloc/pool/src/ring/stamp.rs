//! Clocks for stamps: they never go back, and are for signal handlers.
#![allow(unsafe_code)]

/// `CLOCK_MONOTONIC`, in nanoseconds.
#[inline]
#[must_use]
pub fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

/// The CPU's own clock, in ticks of its own: the time stamp counter, or the virtual count of arm64. It is
/// read some instructions early or late, as the CPU orders them.
/// The same on all CPUs where the kernel uses it for its clock (`clocksource0/current_clocksource` under
/// `/sys/devices/system/clocksource` says `tsc` or `arch_sys_counter`); elsewhere records of
/// different CPUs come in a wrong order.
#[inline]
#[must_use]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: reads a counter, which Linux allows unless a program forbids it to itself.
        unsafe { core::arch::x86_64::_rdtsc() }
    }
    #[cfg(target_arch = "aarch64")]
    {
        let ticks: u64;
        // SAFETY: reads a counter, which Linux allows.
        unsafe {
            core::arch::asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nostack, nomem));
        }
        ticks
    }
}

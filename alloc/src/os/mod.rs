//! The operating system as the heap sees it: address space, memory, time, futexes, files.
//!
//! ```text
//!  reserve ──► commit ──► (written: resident) ──► purge ──► (reads as zero) ──► …
//!  no access   zero       dirty                    backing given back, range kept
//! ```
//!
//! Nothing here allocates. All calls may set `errno`; the entry points that must keep it save
//! it (see [`ErrnoGuard`]).
//!
//! System calls are made by number, through libc's one `syscall`: its named wrappers for files
//! are cancellation points, and a thread that was cancelled in malloc would leave the heap as it
//! is at that moment, for ever. It also spares small programs pages of libc that they never load.
//! Whatever the kernel takes as a `long` is passed as one: C's variadic calls extend nothing.
#![allow(unsafe_code)]

mod access;
#[cfg(not(cidalloc_model))]
mod host;
#[cfg(cidalloc_model)]
#[path = "model.rs"]
mod host;

pub use access::{forbid, install_guard, random, remove_guard};
use core::ffi::CStr;
use core::ptr::{NonNull, null, null_mut, with_exposed_provenance_mut};
pub use host::{
    SignalsBlocked, allowed_cpus, current_node, futex_wait, futex_wake, is_thread_gone, nap,
    now_ms, possible_cpus, possible_nodes, thread_id, yield_now,
};

/// The system has no more memory, address space or mappings for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfMemory;

/// Reserves `len` bytes of address space without access.
///
/// # Errors
/// [`OutOfMemory`] when the address space (or its limit, `RLIMIT_AS`) does not hold it.
pub fn reserve(len: usize) -> Result<NonNull<u8>, OutOfMemory> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing.
    let p = unsafe {
        let (prot, flags, offset) = (libc::PROT_NONE as usize, flags as usize, 0usize);
        libc::syscall(libc::SYS_mmap, null::<u8>(), len, prot, flags, -1isize, offset)
    };
    if p == -1 {
        return Err(OutOfMemory);
    }
    NonNull::new(with_exposed_provenance_mut(p as usize)).ok_or(OutOfMemory)
}

/// Gives back part of a reservation.
///
/// # Safety
/// Nobody uses the range, now or later.
pub unsafe fn release(addr: *mut u8, len: usize) {
    if len != 0 {
        // SAFETY: by the caller's promise.
        unsafe { libc::syscall(libc::SYS_munmap, addr, len) };
    }
}

/// Makes a reserved range readable only: it reads as zero.
///
/// # Errors
/// [`OutOfMemory`] when the kernel refuses.
///
/// # Safety
/// The range is part of a reservation of ours, and nothing was written there.
pub unsafe fn commit_read_only(addr: *mut u8, len: usize) -> Result<(), OutOfMemory> {
    // SAFETY: by the caller's promise.
    unsafe { protect(addr, len, libc::PROT_READ) }
}

/// Makes a reserved range readable and writable. What was committed before stays as it is.
///
/// # Errors
/// [`OutOfMemory`] when the kernel refuses (overcommit mode 2, `RLIMIT_DATA`, mappings).
///
/// # Safety
/// The range is part of a reservation of ours.
pub unsafe fn commit(addr: *mut u8, len: usize) -> Result<(), OutOfMemory> {
    // SAFETY: by the caller's promise.
    unsafe { protect(addr, len, libc::PROT_READ | libc::PROT_WRITE) }
}

unsafe fn protect(addr: *mut u8, len: usize, prot: i32) -> Result<(), OutOfMemory> {
    // SAFETY: the caller's range is ours and changes from less to more access only.
    match unsafe { libc::syscall(libc::SYS_mprotect, addr, len, prot as usize) } {
        0 => Ok(()),
        _ => Err(OutOfMemory),
    }
}

/// Gives the backing of a range back to the system; it reads as zero afterwards. Returns
/// whether the system did so.
///
/// # Safety
/// Nobody needs what the range holds.
pub unsafe fn purge(addr: *mut u8, len: usize) -> bool {
    // SAFETY: by the caller's promise.
    unsafe { libc::syscall(libc::SYS_madvise, addr, len, libc::MADV_DONTNEED) == 0 }
}

/// Physical memory in bytes.
#[must_use]
pub fn physical_memory() -> usize {
    // SAFETY: sysinfo fills the whole structure, for which zero is a valid value.
    unsafe {
        let mut info: libc::sysinfo = core::mem::zeroed();
        if libc::syscall(libc::SYS_sysinfo, &raw mut info) != 0 {
            return 1 << 30;
        }
        (info.totalram as usize).saturating_mul(info.mem_unit as usize)
    }
}

/// The soft limit of `RLIMIT_AS` in bytes, if there is one.
#[must_use]
pub fn address_space_limit() -> Option<usize> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: of the calling process, with no new limit; the call fills the structure.
    let ok = unsafe {
        libc::syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_AS, null::<u8>(), &raw mut limit) == 0
    };
    (ok && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur as usize)
}

/// The kernel's page size in bytes. From the auxiliary vector: `sysconf` would touch pages of
/// libc that a small program otherwise never loads.
#[must_use]
pub fn page_size() -> usize {
    auxv(libc::AT_PAGESZ) as usize
}

/// An entry of the auxiliary vector, 0 where absent.
#[must_use]
pub fn auxv(tag: u64) -> u64 {
    // SAFETY: getauxval reads what the kernel passed at exec.
    unsafe { libc::getauxval(tag) }
}

/// Upper bound of the number of CPUs, from the size of the kernel's CPU masks.
#[must_use]
pub fn cpu_mask_bits() -> usize {
    let mut mask = [0u64; 128];
    // SAFETY: the buffer is as long as told; the raw call returns the bytes written.
    let bytes = unsafe {
        libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&mask), mask.as_mut_ptr())
    };
    if bytes > 0 { bytes as usize * 8 } else { 64 }
}

/// Whether this kernel's release is one that aborts rseq sections on preemption.
#[must_use]
pub fn aborts_sections() -> bool {
    if !cfg!(target_arch = "aarch64") {
        return true;
    }
    // SAFETY: zero is a structure of empty texts; uname fills it, and ends them with zero.
    unsafe {
        let mut name: libc::utsname = core::mem::zeroed();
        libc::syscall(libc::SYS_uname, &raw mut name);
        let release = CStr::from_ptr(name.release.as_ptr());
        rseq_sys::soundness::release_aborts_sections(release.to_bytes(), true)
    }
}

/// Writes all of `bytes` to `fd`, or as much as the system takes.
pub fn write_all(fd: i32, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the buffer is as long as told.
        let n = unsafe { libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) };
        match usize::try_from(n) {
            Ok(n) if n > 0 => bytes = &bytes[n.min(bytes.len())..],
            Err(_) if errno() == libc::EINTR => {}
            _ => return,
        }
    }
}

/// Opens `path` for appending, made if absent; closed on exec. Negative on failure.
#[must_use]
pub fn open_append(path: &CStr) -> i32 {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
    // SAFETY: the path ends in NUL.
    unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o644) as i32 }
}

/// Closes `fd`.
pub fn close(fd: i32) {
    // SAFETY: our own descriptor.
    unsafe { libc::syscall(libc::SYS_close, fd) };
}

/// Number of the calling process.
#[must_use]
pub fn process_id() -> i32 {
    // SAFETY: getpid reads a number.
    unsafe { libc::syscall(libc::SYS_getpid) as i32 }
}

/// Ends the process by `SIGABRT`.
pub fn abort() -> ! {
    // SAFETY: abort is always allowed.
    unsafe { libc::abort() }
}

/// The calling thread's `errno`.
#[must_use]
pub fn errno() -> i32 {
    // SAFETY: the location is the thread's own.
    unsafe { *libc::__errno_location() }
}

/// Sets the calling thread's `errno`.
pub fn set_errno(value: i32) {
    // SAFETY: the location is the thread's own.
    unsafe { *libc::__errno_location() = value };
}

/// Null, and the `errno` that C's allocation functions promise beside it.
#[cold]
#[must_use]
pub fn no_memory() -> *mut u8 {
    set_errno(libc::ENOMEM);
    null_mut()
}

/// Puts `errno` back as it was: `free` must not change it (POSIX 2024, glibc 2.33).
#[derive(Debug)]
pub struct ErrnoGuard(i32);

impl ErrnoGuard {
    /// Remembers it.
    #[must_use]
    pub fn new() -> Self {
        Self(errno())
    }

    /// Ends an allocation that came to `address`: beside null, `errno` becomes `ENOMEM`.
    #[inline]
    pub fn allocated(mut self, address: *mut u8) -> *mut u8 {
        if address.is_null() {
            self.0 = libc::ENOMEM;
        }
        address
    }
}

impl Default for ErrnoGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for ErrnoGuard {
    fn drop(&mut self) {
        set_errno(self.0);
    }
}

/// Walks the environment: `name=value` strings, or nothing while there is none yet.
pub fn environment() -> impl Iterator<Item = &'static CStr> {
    unsafe extern "C" {
        static environ: *const *const core::ffi::c_char;
    }
    // SAFETY: libc's variable; null before it is set up.
    let mut entry = unsafe { environ };
    core::iter::from_fn(move || {
        if entry.is_null() {
            return None;
        }
        // SAFETY: the vector ends with a null pointer, at which we stop.
        let string = unsafe { *entry };
        if string.is_null() {
            return None;
        }
        // SAFETY: not past the end, as the entry was not null.
        entry = unsafe { entry.add(1) };
        // SAFETY: environment strings end in NUL.
        Some(unsafe { CStr::from_ptr(string) })
    })
}

/// Registers handlers around `fork`.
pub fn at_fork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) {
    // SAFETY: three functions of the library, which is never unloaded.
    unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
}

/// Which file a descriptor refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
}

/// The file behind `fd`, if it is open.
#[must_use]
pub fn file_identity(fd: i32) -> Option<FileIdentity> {
    // SAFETY: zero is a valid value of the structure, which fstat fills.
    unsafe {
        let mut status: libc::stat = core::mem::zeroed();
        (libc::syscall(libc::SYS_fstat, fd, &raw mut status) == 0)
            .then_some(FileIdentity { device: status.st_dev, inode: status.st_ino })
    }
}

/// A second descriptor for the file of `fd`, above those that programs number themselves;
/// closed on exec. Negative on failure.
#[must_use]
pub fn duplicate_high(fd: i32) -> i32 {
    const LOWEST: [i32; 2] = [200, 10];
    LOWEST
        .into_iter()
        // SAFETY: duplicating changes no other descriptor.
        .map(|lowest| unsafe {
            libc::syscall(libc::SYS_fcntl, fd, libc::F_DUPFD_CLOEXEC, lowest) as i32
        })
        .find(|&fd| fd >= 0)
        .unwrap_or(-1)
}

/// The beginning of the file at `path`, as much as `buffer` holds; empty on failure.
pub fn read_file<'a>(path: &CStr, buffer: &'a mut [u8]) -> &'a [u8] {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the path ends in NUL.
    let fd =
        unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags) as i32 };
    if fd < 0 {
        return &[];
    }
    // SAFETY: the buffer is as long as told.
    let n = unsafe { libc::syscall(libc::SYS_read, fd, buffer.as_mut_ptr(), buffer.len()) };
    close(fd);
    &buffer[..usize::try_from(n).unwrap_or(0)]
}

/// Whether the program runs with more rights than its caller, who must not be obeyed then.
#[must_use]
pub fn is_privileged() -> bool {
    auxv(libc::AT_SECURE) != 0
}

/// Registers a handler for the end of the process. May allocate.
pub fn at_exit(handler: extern "C" fn()) {
    // SAFETY: a function of the library, which is never unloaded.
    unsafe { libc::atexit(handler) };
}

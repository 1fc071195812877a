//! A filter of system calls, for Rust; for C there is `tests/c/refuse.h`.
//!
//! A file of its own, since tests of crates that cannot depend on this one include it by path.
#![allow(unsafe_code)]

/// Answers each of the `denied` calls by its error from now on, in this process and in all that it
/// starts. Allocates nothing.
pub(crate) fn refuse(denied: &[(i64, i32)]) -> std::io::Result<()> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let step = |code: u32, k: u32, jf| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let mut steps = [step(RETURN, libc::SECCOMP_RET_ALLOW, 0); 16];
    assert!(2 * denied.len() + 2 <= steps.len(), "too many calls for one filter");
    // The number of the call is the first word of `seccomp_data`.
    steps[0] = step(LOAD, 0, 0);
    for (pair, &(call, error)) in steps[1..].chunks_exact_mut(2).zip(denied) {
        pair[0] = step(IF_EQUAL, call as u32, 1);
        pair[1] = step(RETURN, libc::SECCOMP_RET_ERRNO | error.cast_unsigned(), 0);
    }
    let filter = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the kernel copies the filter; both calls change this process alone.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) == 0
    };
    if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

//! When there is no more of something, the pool says so, and goes on when there is again.

mod support;

use cidpool::{AllocateError, Pool, Populate};
use support::rerun_well;

fn limit_address_space(bytes: libc::rlim_t) {
    // SAFETY: a limit of this process, which is a test's own.
    unsafe {
        let mut limit: libc::rlimit = core::mem::zeroed();
        assert_eq!(libc::getrlimit(libc::RLIMIT_AS, &raw mut limit), 0);
        limit.rlim_cur = bytes.min(limit.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &raw const limit), 0);
    }
}

#[test]
#[ignore = "limits its process"]
fn no_address_space() {
    let pool = Pool::builder(1 << 20).stride(1 << 20).build().unwrap();
    let first = pool.allocate().unwrap();
    limit_address_space(1 << 20);
    assert_eq!(pool.allocate(), Err(AllocateError::Refused { errno: libc::ENOMEM }));
    assert!(Pool::builder(64).build().is_err());
    limit_address_space(libc::RLIM_INFINITY);
    let second = pool.allocate().unwrap();
    // SAFETY: ours, once.
    unsafe { pool.free_many(&[first, second]) };
    assert_eq!(pool.trim(), 2);
}

#[test]
#[ignore = "uses all mappings of its process"]
fn no_mappings() {
    let pool = Pool::builder(4096)
        .stride(4096)
        .ranges_max(1 << 17)
        .populate(Populate::Image)
        .build()
        .unwrap();
    let mut items = Vec::with_capacity(1 << 17);
    let error = loop {
        match pool.allocate() {
            Ok(item) => items.push(item),
            Err(error) => break error,
        }
    };
    assert_eq!(error, AllocateError::Refused { errno: libc::ENOMEM }, "{}", items.len());
    let text = error.to_string();
    assert!(text.starts_with("the system refuses another range: "), "{text}");
    // SAFETY: ours, once.
    unsafe { pool.free_many(&items) };
    assert_eq!(pool.trim(), items.len());
    for _ in 0..1000 {
        crossbeam_epoch::pin().flush();
    }
    let item = pool.allocate().unwrap();
    // SAFETY: ours, once.
    unsafe { pool.free(item) };
}

#[test]
fn address_space_that_ends_is_an_error_and_not_the_end() {
    rerun_well("no_address_space", &[]);
}

#[test]
fn mappings_that_end_are_an_error_and_not_the_end() {
    rerun_well("no_mappings", &[]);
}

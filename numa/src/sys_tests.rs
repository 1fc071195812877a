//! Tests of the kernel's edge: `errno` stays, errors have names.

use super::*;
use crate::file::{File, exists};
use core::ops::ControlFlow;
use std::format;
use std::string::String;

#[test]
fn failing_calls_keep_errno() {
    // SAFETY: this thread's errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    unsafe { errno.write(4242) };
    assert_eq!(File::open(c"/nowhere/at/all").err(), Some(Errno::ENOENT));
    let folder = File::open(c"/").unwrap();
    let read = folder.for_each_token(|_| false, |_| ControlFlow::<()>::Continue(()));
    assert_eq!(read, Err(Errno::EISDIR));
    assert_eq!(exists(c"/nowhere"), Err(Errno::ENOENT));
    assert_eq!(map_anonymous(0).err(), Some(Errno::EINVAL));
    assert_eq!(map_anonymous(usize::MAX / 2).err(), Some(Errno::ENOMEM));
    assert!(move_pages(&[core::ptr::null()], Some(&[]), &mut [], 0).is_err());
    assert!(sched_setaffinity(&[0; 4]).is_err());
    assert!(mbind(1, 4096, 2, &[1], 65, 0).is_err());
    assert!(set_mempolicy(99, &[0], 65).is_err());
    // SAFETY: as above.
    assert_eq!(unsafe { errno.read() }, 4242);
}

#[test]
fn errno_says_name_and_cause() {
    assert_eq!(format!("{:?}", Errno::EINVAL), "EINVAL");
    assert_eq!(format!("{:?} {0}", Errno::from_raw(4000)), "Errno(4000) system error 4000");
    let text: String = format!("{}", Errno::ENOSYS);
    assert_eq!(text, "ENOSYS: the kernel does not have this system call");
}

#[test]
fn statuses_are_nodes_or_errors() {
    assert_eq!(PageStatus(3).node(), Ok(3));
    assert_eq!(PageStatus(-libc::ENOENT).node(), Err(Errno::ENOENT));
    assert!(PageStatus::UNKNOWN.node().is_err());
    let all = [PageStatus(3), PageStatus(-libc::EFAULT), PageStatus::UNKNOWN];
    assert_eq!(format!("{all:?}"), "[node 3, EFAULT, unknown]");
}

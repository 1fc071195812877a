//! Releases by the dozen, and the self-test on this kernel, which must also see the failure.

extern crate std;

use super::*;
use crate::registration::{detect, register_thread};

#[test]
fn arm64_releases_from_6_19_to_7_0_13_are_refused() {
    for (release, sound) in [
        ("4.18.0-553.el8_10.aarch64", true),
        ("5.10.0-35-arm64", true),
        ("6.1.0-34-cloud-arm64", true),
        ("6.6.87.2-microsoft-standard-WSL2", true),
        ("6.12.43+deb13-arm64", true),
        ("6.18.44-fc-v657", true),
        ("6.18.999", true),
        ("6.19-rc1", false),
        ("6.19.0-rc8-next-20260101", false),
        ("6.19.0", false),
        ("6.19", false),
        ("6.19.14-arch1-1-aarch64-ARCH", false),
        ("6.190.1", false),
        ("7.0.0-rc3", false),
        ("7.0", false),
        ("7.0+", false),
        ("7.0.0-15-generic", false),
        ("7.0.9", false),
        ("7.0.13", false),
        ("7.0.13-1.fc45.aarch64", false),
        ("7.0.14", true),
        ("7.0.14-rc1", true),
        ("7.0.140", true),
        ("7.1-rc2", false),
        ("7.1.0-rc6+", false),
        ("7.1.0", true),
        ("7.1", true),
        ("7.1.1-rc1", true),
        ("7.10.0-rc1", true),
        ("8.0.0-rc1", true),
        ("10.3.7", true),
    ] {
        let said = release_aborts_sections(release.as_bytes(), true);
        assert_eq!(said, sound, "{release}");
    }
}

#[test]
fn what_is_no_release_or_older_than_rseq_is_refused_on_arm64() {
    for release in ["", "7", "7.", "x", "v7.1.0", ".7.1", "-7.1.0", " 7.1.0", "7-1-0", "7.x"] {
        assert!(!release_aborts_sections(release.as_bytes(), true), "{release:?}");
    }
    // UNAME26 shows 6.19 as 2.6.79, gVisor says 4.4.0.
    for release in ["2.6.79", "2.6.32-754.el6", "4.4.0", "4.17.19"] {
        assert!(!release_aborts_sections(release.as_bytes(), true), "{release:?}");
    }
    assert!(!release_aborts_sections(b"99999999999.1.0", true));
    assert!(!release_aborts_sections(b"\xff\xfe.1.0", true));
    assert!(release_aborts_sections(b"7.2.\xff\xfe", true), "the numbers were there");
}

#[test]
fn other_architectures_have_no_such_release() {
    for release in ["6.19.0", "7.0.13", "7.1-rc1", "2.6.79", "nonsense", ""] {
        assert!(release_aborts_sections(release.as_bytes(), false), "{release}");
    }
}

#[test]
fn verdicts_survive_as_exit_statuses() {
    for verdict in CODES {
        assert_eq!(super::verdict(code(verdict)), verdict);
    }
    assert_eq!(super::verdict(77), Verdict::Unknown(Obstacle::NoProcess));
}

fn registered() -> Option<Registration> {
    let registration = detect(0);
    if registration.owner == Owner::Nobody {
        std::eprintln!("skipped: this kernel has no rseq");
        return None;
    }
    assert!(registration.owner == Owner::Libc || register_thread(registration.offset));
    Some(registration)
}

/// A busy machine may leave the watcher alone, or without time, now and then.
fn patiently(test: impl Fn() -> Verdict) -> Verdict {
    let unseen = |v: &Verdict| *v == Verdict::Unknown(Obstacle::NotPreempted);
    (0..20).map(|_| test()).find(|v| !unseen(v)).expect("preempted in 3 seconds")
}

#[test]
fn this_kernel_aborts_a_preempted_section() {
    let Some(registration) = registered() else { return };
    let release = std::fs::read("/proc/sys/kernel/osrelease").expect("a release");
    if !release_aborts_sections(&release, cfg!(target_arch = "aarch64")) {
        std::eprintln!("skipped: a kernel that is refused by its release");
        return;
    }
    assert_eq!(patiently(|| self_test(&registration)), Verdict::Aborted);
}

#[test]
fn a_section_of_which_the_kernel_does_not_know_is_seen_to_go_on() {
    let Some(registration) = registered() else { return };
    assert_eq!(patiently(|| observe(&registration, false)), Verdict::NotAborted);
}

#[test]
fn the_caller_keeps_its_affinity_and_has_no_child_left() {
    let Some(registration) = registered() else { return };
    let mine = || {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("a status");
        let keep = |line: &&str| line.starts_with("Cpus_allowed:") || line.starts_with("SigBlk:");
        status.lines().filter(keep).collect::<std::string::String>()
    };
    let children = || std::fs::read("/proc/thread-self/children").unwrap_or_default();
    let before = mine();
    let _ = self_test(&registration);
    assert_eq!(mine(), before);
    assert_eq!(children(), b"");
}

#[test]
fn without_an_area_nothing_is_known() {
    let nobody = Registration { owner: Owner::Nobody, offset: 0, has_mm_cid: false };
    assert_eq!(self_test(&nobody), Verdict::Unknown(Obstacle::NoRseq));
}

#[test]
fn a_child_that_is_killed_gives_no_verdict() {
    let killed = kernel::in_child(|| {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an undefined instruction, whose signal ends a process that blocks it.
        unsafe {
            core::arch::asm!("ud2");
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        unsafe {
            core::arch::asm!("udf #0");
        }
        0
    });
    assert_eq!(killed, None);
}

#[test]
fn nobody_beside_the_watcher_leaves_it_quiet() {
    let Some(registration) = registered() else { return };
    let area = area::thread_pointer().wrapping_add_signed(registration.offset);
    let ticks = AtomicU32::new(7);
    // A preemption by another process aborts it: some try out of many is left alone.
    let quiet = (0..1000).any(|_| {
        // SAFETY: this thread's area; nothing else is armed.
        let left = unsafe {
            arch::watch(core::ptr::with_exposed_provenance_mut(area), &ticks, 1000, true)
        };
        assert_ne!(left.0, Left::Ticked);
        left == (Left::Quiet, 7)
    });
    assert!(quiet);
}

//! Ctrl-C: the first one ends the run in progress and lets `compare` write what it has;
//! the second one ends `compare` at once.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Whether somebody asked for the end.
pub(crate) fn asked() -> bool {
    ASKED.load(SeqCst)
}

/// From here on SIGINT, SIGTERM and SIGHUP ask for the end.
pub(crate) fn watch() -> Result<(), String> {
    let handler = || {
        if ASKED.swap(true, SeqCst) {
            std::process::exit(130);
        }
        eprintln!("\ncompare: ending; what was measured will be written. Once more ends at once.");
        kill_children();
    };
    ctrlc::set_handler(handler).map_err(|error| format!("signals cannot be caught: {error}"))
}

/// Kills the processes that this one started and has not waited for.
fn kill_children() {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return };
    for task in tasks.flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_ascii_whitespace().filter_map(|id| id.parse().ok()) {
            // One that was waited for since has given up its number, which the kernel, going
            // through all numbers in turn, has not yet given to another process.
            // SAFETY: sends a signal.
            unsafe { libc::kill(child, libc::SIGKILL) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    #[test]
    fn a_child_that_nobody_waits_for_yet_is_killed() {
        // In a process of its own: other tests have children too.
        if std::env::var_os("CIDALLOC_KILLS").is_some() {
            let mut child = Command::new("sleep").arg("60").spawn().unwrap();
            super::kill_children();
            assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
            return;
        }
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "interrupt::tests::a_child_that_nobody_waits_for_yet_is_killed"])
            .env("CIDALLOC_KILLS", "1")
            .status();
        assert!(status.unwrap().success());
    }
}

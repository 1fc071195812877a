//! Real programs under each allocator: found, prepared once, run, and their output compared.
//!
//! ```text
//!  prepare("sqlite")   recipe ─► is it dynamic, and its malloc not its own? ─► first run, on the
//!                                                                C library: its output is kept
//!  run(preload, env)   start ─► library in /proc/PID/maps? ─► end, wait4 ─► same output? ─► Outcome
//! ```
//!
//! `elf.rs` looks into the executable, `recipes.rs` knows where each program is and what it is
//! given, `launch.rs` runs and measures one process, `redis.rs` drives the one that is a server.
//! The measured process is the program itself: the compiler proper and not its driver, the
//! server and not who asks it.

mod elf;
mod launch;
mod recipes;
mod redis;

use core::sync::atomic::{AtomicUsize, Ordering};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use launch::Launch;
use recipes::{Kind, Recipe};

/// What one run took, as the kernel counts it for the process and its children.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// From the start of the process to its end; of a server, the time it was asked things.
    pub(crate) wall_ns: u64,
    /// CPU time in user space.
    pub(crate) user_ns: u64,
    /// CPU time in the kernel.
    pub(crate) sys_ns: u64,
    /// The highest resident set.
    pub(crate) peak_kib: u64,
    /// Page faults without input.
    pub(crate) minflt: u64,
    /// Page faults with input.
    pub(crate) majflt: u64,
    /// Context switches because it waited.
    pub(crate) vcsw: u64,
    /// Context switches because it was preempted.
    pub(crate) icsw: u64,
}

/// A program that is ready to be run; its folder goes when this is dropped.
pub(crate) struct Prepared {
    recipe: Recipe,
    folder: Folder,
    /// What it put out on the C library's malloc.
    expected: Vec<u8>,
}

/// A folder of its own, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Result<Self, String> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = std::process::id();
        let path = std::env::temp_dir().join(format!("cidalloc-{name}-{id}-{count}"));
        fs::create_dir_all(&path)
            .map_err(|error| format!("{} cannot be made: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Finds or builds what `name` (`redis`, `sqlite`, `python`, `cc`, `lua`, `rust`) needs, and
/// runs it once. The error is one line that names what is missing and how to get it.
pub(crate) fn prepare(name: &str) -> Result<Prepared, String> {
    let folder = Folder::new(name)?;
    let recipe = recipes::find(name, &folder.0)?;
    elf::check(&recipe.program)?;
    let mut prepared = Prepared { recipe, folder, expected: Vec::new() };
    let (_, output) = prepared.once(None, &[])?;
    if output.is_empty() {
        return Err(format!("{} put out nothing", prepared.recipe.program.display()));
    }
    prepared.expected = output;
    Ok(prepared)
}

impl Prepared {
    /// Runs the program once under `preload` with `env` added to its environment; `None` is the
    /// C library's malloc.
    pub(crate) fn run(
        &self,
        preload: Option<&Path>,
        env: &[(String, String)],
    ) -> Result<Outcome, String> {
        let (outcome, output) = self.once(preload, env)?;
        if output != self.expected {
            let at = output.iter().zip(&self.expected).take_while(|(a, b)| a == b).count();
            return Err(format!(
                "its output differs from that on the C library's malloc: {} bytes instead of {}, \
                 the first difference at byte {at}",
                output.len(),
                self.expected.len()
            ));
        }
        Ok(outcome)
    }

    fn once(
        &self,
        preload: Option<&Path>,
        env: &[(String, String)],
    ) -> Result<(Outcome, Vec<u8>), String> {
        let launch = Launch { recipe: &self.recipe, folder: &self.folder.0, preload, env };
        match self.recipe.kind {
            Kind::Server { ref benchmark } => redis::run(&launch, benchmark),
            Kind::Batch => {
                let output = self.folder.0.join("output");
                let file = fs::File::create(&output)
                    .map_err(|error| format!("{} cannot be made: {error}", output.display()))?;
                let outcome = launch.start(Stdio::from(file))?.finish()?;
                let output = fs::read(&output).map_err(|error| error.to_string())?;
                Ok((outcome, output))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_program_is_refused_with_the_known_names() {
        let error = prepare("emacs").err().unwrap();
        assert!(error.contains("sqlite"), "{error}");
    }

    #[test]
    fn a_program_that_is_there_runs_twice_with_the_same_output() {
        let prepared = match prepare("lua") {
            Ok(prepared) => prepared,
            Err(why) => return eprintln!("skip: {why}"),
        };
        let outcome = prepared.run(None, &[]).unwrap();
        assert!(outcome.wall_ns > 1_000_000 && outcome.user_ns > 1_000_000, "{outcome:?}");
        assert!(outcome.peak_kib > 1024 && outcome.minflt > 0, "{outcome:?}");
        // The C library is a library like any other, so it can stand in for one here.
        let error = prepared.run(Some(Path::new("/nonexistent/lib.so")), &[]).err().unwrap();
        assert!(error.contains("/nonexistent/lib.so"), "{error}");
    }

    #[test]
    fn output_unlike_the_first_is_an_error() {
        let Ok(mut prepared) = prepare("lua") else {
            return eprintln!("skip: no lua; apt-get install lua5.4");
        };
        prepared.expected.push(b'x');
        assert!(prepared.run(None, &[]).err().unwrap().contains("output differs"));
    }
}

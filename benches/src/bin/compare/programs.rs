//! Real programs under each allocator: found, prepared once, run, and their output compared.
//!
//! ```text
//!  prepare("sqlite")   recipe ─► is it dynamic, and its malloc not its own? ─► first run, on the
//!                                                                C library: its output is kept
//!  run(preload, env)   start ─► library in /proc/PID/maps? ─► end, wait4 ─► same output? ─► Sample
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

use core::time::Duration;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use cidalloc_benches::results::Sample;

use crate::folder::Folder;
use launch::Launch;
use recipes::{Kind, Recipe};

/// A program that is ready to be run.
pub(crate) struct Prepared {
    recipe: Recipe,
    folder: Folder,
    /// Of every run.
    limit: Duration,
    /// What it put out on the C library's malloc.
    expected: Vec<u8>,
}

/// Finds or builds what `name` (`redis`, `sqlite`, `python`, `cc`, `lua`, `rust`) needs, and
/// runs it once. The error is one line that names what is missing and how to get it.
pub(crate) fn prepare(name: &str, limit: Duration) -> Result<Prepared, String> {
    let folder = Folder::new(name)?;
    let recipe = recipes::find(name, &folder.0)?;
    elf::check(&recipe.program)?;
    let mut prepared = Prepared { recipe, folder, limit, expected: Vec::new() };
    let (_, output) = prepared.once(None, &[])?;
    if output.is_empty() {
        return Err(format!("{} put out nothing", prepared.recipe.program.display()));
    }
    prepared.expected = output;
    Ok(prepared)
}

impl Prepared {
    /// Runs the program once under `preload` with `env` added to its environment; `None` is the
    /// C library's malloc. The sample's `value` is left for the caller.
    pub(crate) fn run(
        &self,
        preload: Option<&Path>,
        env: &[(String, String)],
    ) -> Result<Sample, String> {
        let (sample, output) = self.once(preload, env)?;
        if output != self.expected {
            let at = output.iter().zip(&self.expected).take_while(|(a, b)| a == b).count();
            return Err(format!(
                "its output differs from that on the C library's malloc: {} bytes instead of {}, \
                 the first difference at byte {at}",
                output.len(),
                self.expected.len()
            ));
        }
        Ok(sample)
    }

    fn once(
        &self,
        preload: Option<&Path>,
        env: &[(String, String)],
    ) -> Result<(Sample, Vec<u8>), String> {
        let Self { ref recipe, ref folder, limit, .. } = *self;
        let launch = Launch { recipe, folder: &folder.0, preload, env, limit };
        match self.recipe.kind {
            Kind::Server { ref benchmark } => redis::run(&launch, benchmark),
            Kind::Batch => {
                let output = self.folder.0.join("output");
                let file = fs::File::create(&output)
                    .map_err(|error| format!("{} cannot be made: {error}", output.display()))?;
                let sample = launch.start(Stdio::from(file))?.finish()?;
                let output = fs::read(&output).map_err(|error| error.to_string())?;
                Ok((sample, output))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn an_unknown_program_is_refused_with_the_known_names() {
        let error = prepare("emacs", LIMIT).err().unwrap();
        assert!(error.contains("sqlite"), "{error}");
    }

    fn lua() -> Option<Prepared> {
        match prepare("lua", LIMIT) {
            Ok(prepared) => Some(prepared),
            Err(why) if why.contains("is not installed") => {
                println!("skipped: {why}");
                None
            }
            Err(why) => panic!("{why}"),
        }
    }

    #[test]
    fn a_program_that_is_there_runs_again_with_the_same_output() {
        let Some(prepared) = lua() else { return };
        let sample = prepared.run(None, &[]).unwrap();
        assert!(sample.wall_ns > 1e6 && sample.user_ns > 1e6, "{sample:?}");
        assert!(sample.peak_kib > 1024 && sample.minflt > 0, "{sample:?}");
        // The C library is a library like any other, so it can stand in for one here.
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let libc = maps.split_ascii_whitespace().find(|word| word.ends_with("/libc.so.6")).unwrap();
        prepared.run(Some(Path::new(libc)), &[]).unwrap();
        let error = prepared.run(Some(Path::new("/nonexistent/lib.so")), &[]).err().unwrap();
        assert!(error.contains("/nonexistent/lib.so"), "{error}");
    }

    #[test]
    fn output_unlike_the_first_and_a_run_over_the_limit_are_errors() {
        let Some(mut prepared) = lua() else { return };
        prepared.limit = Duration::from_millis(1);
        assert!(prepared.run(None, &[]).err().unwrap().starts_with("over "));
        prepared.limit = LIMIT;
        prepared.expected.push(b'x');
        assert!(prepared.run(None, &[]).err().unwrap().contains("output differs"));
    }
}

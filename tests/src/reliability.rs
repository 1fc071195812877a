//! What the table of docs/reliability.md is made of: a line for each fault that a test makes.

/// Prints that `fault` of `mechanism`, made as `how` says, was tried so many times, and what
/// happened. `tests/reliability` gathers these lines; cargo shows them with `--nocapture`.
pub fn line(mechanism: &str, fault: &str, how: &str, times: u64, outcome: &str) {
    println!("reliability\t{mechanism}\t{fault}\t{how}\t{times}\t{outcome}");
}

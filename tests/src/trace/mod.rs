//! Traced processes: stopped at any instruction, failed at any system call. x86-64 only.
//!
//! ```text
//!   tracee    fork ─► stopped ─ resume, step ─► stopped …   registers, memory, int3
//!   program   what is executed: arguments, environment, output
//!   maps      which file is where
//!   windows   __rseq_cs in the tracee's memory ─► its windows, instruction by instruction
//!   calls     seccomp: every call stops ─► is it the library's? ─► let it pass, or answer it
//! ```
//!
//! A stop inside a window is what the kernel aborts windows for, so who stops there forces an
//! abort. All of ptrace belongs to the thread that made the tracee.

pub mod calls;
mod maps;
pub mod program;
pub mod tracee;
pub mod windows;

pub use tracee::{Stop, Tracee};
pub use windows::Window;

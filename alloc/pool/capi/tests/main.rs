//! The C interface as C sees it: its header, what the library exports, and programs that use both.
//!
//! ```text
//!   library    cargo builds it; cc compiles programs for it
//!   header     include/cidpool.h is what cbindgen makes of the sources
//!   exports    the library exports what the header declares, and nothing else
//!   programs   c/*.c and examples/ported.c, linked to the .so and to the .a
//!   table      docs/pool-librseq.md names tests that there are
//! ```

mod exports;
mod header;
mod library;
mod programs;
mod table;

//! The built library as a file: its names, its flags, its descriptors, its fast paths.
//!
//! ```text
//!   exports.rs            exports.txt    = dynamic names; flags, needed libraries, TLS
//!   rseq_table.rs                          every entry of __rseq_cs is one the kernel takes
//!   fast_path_golden.rs   fast_path.golden = instruction classes of malloc and free
//! ```

mod exports;
mod fast_path_golden;
mod rseq_table;

use cidalloc_tests::elf::Image;
use cidalloc_tests::{preload_library, skip, subject};

/// Our library, or none (with the reason printed) where another one is under test.
fn our_image(what: &str) -> Option<Image> {
    if subject().is_ours() {
        return Some(Image::read(&preload_library()));
    }
    skip(what, "CIDALLOC_TEST_LIB names another library than libcidmalloc");
    None
}

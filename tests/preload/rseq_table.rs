//! The table of descriptors, as the kernel will read them.
//!
//! ```text
//!   __rseq_cs   | version 0 | flags 0 | start | length | abort |  32 bytes, aligned to 32
//!   .text         start ▼───────── window ─────────▼ end
//!   .text.…       ud1 | signature (4 bytes) | ▼ abort
//! ```
//!
//! The kernel kills a process whose descriptor has another version, flags, an abort address
//! inside its window, or no signature before it; but only when a thread is preempted there.

use super::our_image;
use cidalloc_tests::elf::{DESCRIPTOR_SIZE, Descriptor, Image};
use object::Architecture;

fn descriptors(what: &str) -> Option<(Image, Vec<Descriptor>)> {
    let image = our_image(what)?;
    let (address, size, entries) = image.descriptors();
    assert!(!entries.is_empty(), "no section __rseq_cs, or an empty one, at {address:#x}");
    assert_eq!(size % DESCRIPTOR_SIZE, 0, "__rseq_cs has {size} bytes");
    assert_eq!(entries.len() as u64, size / DESCRIPTOR_SIZE, "entries that cannot be read");
    Some((image, entries))
}

#[test]
fn every_descriptor_is_one_the_kernel_takes() {
    let Some((image, entries)) = descriptors("descriptors") else {
        return;
    };
    for entry in entries {
        assert_eq!(entry.address % DESCRIPTOR_SIZE, 0, "alignment of {entry:x?}");
        assert_eq!((entry.version, entry.flags), (0, 0), "version and flags of {entry:x?}");
        assert!(entry.length > 0 && entry.start < entry.end(), "an empty window: {entry:x?}");
        assert!(image.is_code(entry.start), "the window is not in code: {entry:x?}");
        assert!(image.is_code(entry.end() - 1), "the window ends outside of code: {entry:x?}");
        assert!(image.is_code(entry.abort), "abort is not in code: {entry:x?}");
    }
}

#[test]
fn aborts_lead_out_of_every_window_and_carry_the_signature() {
    let Some((image, entries)) = descriptors("abort addresses") else {
        return;
    };
    let signature = match image.architecture() {
        Architecture::Aarch64 => 0xd428_bc00,
        _ => 0x5305_3053,
    };
    for entry in &entries {
        let inside = entries.iter().find(|window| window.covers(entry.abort));
        assert_eq!(inside, None, "the abort address of {entry:x?} is inside a window");
        assert_eq!(image.half_at(entry.abort - 4), Some(signature), "signature of {entry:x?}");
    }
}

#[test]
fn windows_do_not_overlap() {
    let Some((_, mut entries)) = descriptors("windows") else {
        return;
    };
    entries.sort_by_key(|entry| entry.start);
    for pair in entries.windows(2) {
        assert!(pair[0].end() <= pair[1].start, "{:x?} and {:x?}", pair[0], pair[1]);
    }
}

//! What the library shows to the loader.
//!
//! A name too many would take a function away from programs that never asked for it; one too
//! few would leave libc's own to be given blocks that are not libc's.

use super::our_image;
use std::collections::BTreeSet;

const LISTED: &str = include_str!("exports.txt");
/// Room that the loader surely has in the static TLS block, next to that of other libraries.
const TLS_SIZE_MAX: u64 = 256;

#[test]
fn dynamic_names_are_exactly_the_listed_ones() {
    let Some(image) = our_image("dynamic names") else {
        return;
    };
    let listed: BTreeSet<String> = LISTED
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    let missing: Vec<_> = listed.difference(image.exports()).collect();
    let surplus: Vec<_> = image.exports().difference(&listed).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "missing: {missing:?}; not in tests/preload/exports.txt: {surplus:?}"
    );
}

#[test]
fn code_needs_no_relocation() {
    let Some(image) = our_image("text relocations") else {
        return;
    };
    assert!(!image.has_text_relocations(), "DT_TEXTREL is set: code is not position-independent");
}

#[test]
fn library_is_never_unloaded() {
    let Some(image) = our_image("DF_1_NODELETE") else {
        return;
    };
    assert!(
        image.is_never_unloaded(),
        "DF_1_NODELETE is not set; link with -z nodelete, since the kernel holds addresses of \
         descriptors"
    );
}

#[test]
fn thread_local_storage_is_small_and_static() {
    let Some(image) = our_image("thread-local storage") else {
        return;
    };
    let size = image.tls_size().unwrap_or(0);
    assert!(size <= TLS_SIZE_MAX, "{size} bytes of TLS; the loader may refuse the library");
    assert_eq!(
        image.wants_static_tls(),
        size > 0,
        "TLS of {size} bytes, DF_STATIC_TLS {}: TLS must be static, else its first use in a \
         thread allocates",
        image.wants_static_tls()
    );
}

#[test]
fn only_libc_and_the_loader_are_needed() {
    let Some(image) = our_image("needed libraries") else {
        return;
    };
    let others: Vec<_> = image
        .needed()
        .iter()
        .filter(|name| !name.starts_with("libc.so") && !name.starts_with("ld-linux"))
        .collect();
    assert!(others.is_empty(), "also needed: {others:?}");
}

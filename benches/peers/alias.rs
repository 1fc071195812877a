//! The build script of every peer: tells the linker to let each name of `family.in` stand
//! for the peer's own function directly, and to take the C++ library into the peer.

use std::path::Path;
use std::process::Command;

/// The pairs of `family.in`, which `family.rs` makes functions of.
macro_rules! family {
    ($($name:ident => $target:ident,)*) => {
        [$((stringify!($name), stringify!($target))),*]
    };
}

fn main() {
    which_mimalloc();
    println!("cargo::rerun-if-changed=src/family.in");
    for (name, target) in include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/family.in")) {
        println!("cargo::rustc-cdylib-link-arg=-Wl,--defsym={name}={target}");
    }
    // Their crates use Rust's `std`, all of which would stay for the sake of unwinding: there
    // is nothing here that unwinds.
    if ["peer-rpmalloc", "peer-tcmalloc"].contains(&env!("CARGO_PKG_NAME")) {
        println!("cargo::rustc-cdylib-link-arg=-Wl,--defsym=rust_eh_personality=0");
    }
    match env!("CARGO_PKG_NAME") {
        // rpmalloc brings a `pthread_create` of its own, which a library of Rust would not
        // export; ours stands before it.
        "peer-rpmalloc" => println!("cargo::rustc-cdylib-link-arg=-Wl,-z,muldefs"),
        "peer-snmalloc" | "peer-tcmalloc" => static_cxx_library(),
        _ => {}
    }
}

/// Both mimallocs are one crate with and without a feature, which holds for all packages
/// that are built at once.
fn which_mimalloc() {
    let Some(line) = env!("CARGO_PKG_NAME").strip_prefix("peer-mimalloc-") else { return };
    let folder = std::env::var("DEP_MIMALLOC_INCLUDE_DIR").unwrap_or_default();
    assert!(
        folder.contains(&format!("/{line}/")),
        "this is not mimalloc {line} but {folder}: build the two packages one after the other"
    );
}

/// A folder that has the C++ library as an archive alone, for the linker to find first:
/// as a library of its own, its pages would count against the peer in small processes.
fn static_cxx_library() {
    let (Some(out), Ok(said)) = (
        std::env::var_os("OUT_DIR"),
        Command::new("c++").arg("-print-file-name=libstdc++.a").output(),
    ) else {
        return;
    };
    let text = String::from_utf8_lossy(&said.stdout);
    let (archive, out) = (Path::new(text.trim()), Path::new(&out));
    let copied = archive.is_absolute() && std::fs::copy(archive, out.join("libstdc++.a")).is_ok();
    if copied {
        println!("cargo::rustc-link-search=native={}", out.display());
    }
}

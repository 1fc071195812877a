//! What the linker is told of `libcidpool.so`.

fn main() {
    // nodelete: the kernel holds addresses of our code (descriptors of critical sections), libc
    // those of our fork handlers. soname: programs linked with the library ask for it by this name.
    for option in ["-z,nodelete", "-soname,libcidpool.so"] {
        println!("cargo:rustc-cdylib-link-arg=-Wl,{option}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}

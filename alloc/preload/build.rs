//! What the linker is told of `libcidmalloc.so`.

fn main() {
    // nodelete: the kernel holds addresses of our code (descriptors of critical sections, by
    // threads that wait for their turn), libc those of our fork handlers, the program our blocks.
    // now: the loader binds lazily under its own lock, in which malloc must not have to wait.
    // keep-text-section-prefix: what is cold lies together, so that pages of it are not mapped beside hot ones (lld;
    // GNU's linker does so by itself).
    // soname: programs linked with the library ask for it by this name, not by its path.
    for option in
        ["-z,nodelete", "-z,now", "-z,keep-text-section-prefix", "-soname,libcidmalloc.so"]
    {
        println!("cargo:rustc-cdylib-link-arg=-Wl,{option}");
    }
    // In a build of the whole workspace another package's features make the libc crate leave
    // the C library to std, which this library has not.
    println!("cargo:rustc-cdylib-link-arg=-lc");
    println!("cargo:rerun-if-changed=build.rs");
}

//! The C malloc family of a peer under the C names, as its `family.in` lists it.
//!
//! ```text
//!   malloc ──(alias.rs)──▶ mi_malloc        one address, where the linker can
//!   malloc ─────jmp──────▶ mi_malloc        else
//! ```

/// Exports each name on the left as the function on the right. The body is one jump:
/// arguments and result pass through untouched, whatever they are. The build script asks
/// the linker for an alias in its place, so that a peer does not pay even for the jump.
macro_rules! family {
    ($($name:ident => $target:ident,)*) => {
        $(
            /// The peer's function under the C name.
            ///
            /// # Safety
            /// As the C function.
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            pub unsafe extern "C" fn $name() {
                #[allow(clashing_extern_declarations)]
                unsafe extern "C" {
                    fn $target();
                }
                #[cfg(target_arch = "x86_64")]
                core::arch::naked_asm!("jmp {}", sym $target);
                #[cfg(target_arch = "aarch64")]
                core::arch::naked_asm!("b {}", sym $target);
            }
        )*
    };
}

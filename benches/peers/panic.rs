//! What a library without Rust's `std` has to bring. Nothing here panics.

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The C library by name: a peer that does not name it is started before it.
    #[link(name = "c")]
    unsafe extern "C" {
        fn abort() -> !;
    }
    // SAFETY: ends the process.
    unsafe { abort() }
}


// Added to each test target by tests/real-programs/crates. Ignored, so that the suite's own count stays what it was; the
// script runs it on its own. What the C library has handed out must not grow with what Rust asks for.
#[cfg(test)]
#[allow(unsafe_code, missing_docs)]
mod real_programs {
    extern crate std as real_std;
    use self::real_std::{assert, vec::Vec};

    /// The C library's `struct mallinfo2`: arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost.
    #[repr(C)]
    struct Mallinfo2([usize; 10]);

    unsafe extern "C" {
        fn mallinfo2() -> Mallinfo2;
    }

    fn handed_out_by_libc() -> usize {
        // SAFETY: takes no arguments, and locks the C library's arenas itself.
        let info = unsafe { mallinfo2() };
        info.0[4] + info.0[7]
    }

    #[test]
    #[ignore]
    fn the_allocator_is_in_use() {
        const BYTES: usize = 16 << 20;
        let before = handed_out_by_libc();
        let blocks: Vec<Vec<u8>> = (0..512).map(|_| Vec::with_capacity(BYTES / 512)).collect();
        let after = self::real_std::hint::black_box(&blocks).len() * 0 + handed_out_by_libc();
        assert!(after < before + BYTES / 4, "the C library served these blocks: {before} bytes before, {after} after");
    }
}

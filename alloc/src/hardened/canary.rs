//! Marks behind blocks, by which an overflow is seen when the block is freed.
//!
//! ```text
//!  ◄──────────────── object of its class ───────────────►
//!  │ n bytes, as asked for │ 8 bytes of    │ …  │ trailer│      trailer = mark, its two highest
//!  │ usable                │ ~mark, cut    │    │ 8 bytes│                bytes xor n, the
//!                          └ at the trailer┘               others xor a product of n
//!                                                          mark = keyed by secret and address
//! ```
//!
//! The first byte behind the n is always part of a mark: an overflow by one that changes it is seen.
//! The trailer tells n, its highest bytes last, where an overflow comes last. A large block's n is
//! kept out of band, and it has the first mark alone.

use super::keyed;

/// Bytes of a block's class that the trailer takes.
pub const BYTES: usize = 8;

/// The trailer's upper bits, which hold the length.
const LENGTH_SHIFT: u32 = 48;

/// What the trailer says of a length: the length, and below it a number that belongs to it.
fn said_of(asked: usize) -> u64 {
    let belongs = (asked as u64).wrapping_mul(0x9e37_79b9_7f4b) & ((1 << LENGTH_SHIFT) - 1);
    (asked as u64) << LENGTH_SHIFT | belongs
}

/// A mark was written over; the bytes that were asked for, where that can still be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken(pub Option<usize>);

/// The bits of the first mark that lie before the trailer.
fn mask(room: usize) -> u64 {
    if room >= 8 { u64::MAX } else { (1 << (room * 8)) - 1 }
}

/// Puts the marks of a block of `asked` bytes into its object of `size` bytes.
///
/// # Safety
/// The object is the caller's, and `asked + BYTES <= size`.
#[inline]
pub unsafe fn write(object: *mut u8, size: usize, asked: usize) {
    let mark = keyed(object.addr());
    // SAFETY: both marks lie within the object. The second one may cover a part of the first.
    unsafe {
        object.add(asked).cast::<u64>().write_unaligned(!mark);
        object.add(size - BYTES).cast::<u64>().write(mark ^ said_of(asked));
    }
}

/// The bytes that were asked for, when the object at `object` was handed out.
///
/// # Errors
/// [`Broken`] when a mark is not what it was.
///
/// # Safety
/// The object is readable and `size` bytes long, its class's size.
#[inline]
pub unsafe fn read(object: *const u8, size: usize) -> Result<usize, Broken> {
    let mark = keyed(object.addr());
    // SAFETY: the last word of the object.
    let trailer = unsafe { object.add(size - BYTES).cast::<u64>().read() } ^ mark;
    let asked = (trailer >> LENGTH_SHIFT) as usize;
    if asked > size - BYTES {
        return Err(Broken(None));
    }
    let room = size - BYTES - asked;
    // SAFETY: below the object's end, since `asked` is.
    let first = unsafe { object.add(asked).cast::<u64>().read_unaligned() };
    let whole = trailer == said_of(asked) && (first ^ !mark) & mask(room) == 0;
    if whole { Ok(asked) } else { Err(Broken(Some(asked))) }
}

/// Puts the mark of a large block behind its `asked` bytes.
///
/// # Safety
/// The block is the caller's and has `BYTES` more.
pub unsafe fn write_large(block: *mut u8, asked: usize) {
    // SAFETY: by the caller's promise.
    unsafe { block.add(asked).cast::<u64>().write_unaligned(!keyed(block.addr())) };
}

/// Whether the mark of a large block is what it was.
///
/// # Safety
/// As [`write_large`], which was called.
pub unsafe fn is_whole_large(block: *const u8, asked: usize) -> bool {
    // SAFETY: by the caller's promise.
    unsafe { block.add(asked).cast::<u64>().read_unaligned() == !keyed(block.addr()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(16))]
    struct Object([u8; 96]);

    /// Exchanges bits of one byte.
    fn flip(at: *mut u8, byte: usize, bits: u8) {
        // SAFETY: within an object of the tests.
        unsafe { at.add(byte).write(at.add(byte).read() ^ bits) };
    }

    #[test]
    fn every_change_of_any_byte_behind_the_block_is_seen_where_marks_are() {
        for asked in 0..=88 {
            let mut object = Object([0; 96]);
            let at = object.0.as_mut_ptr();
            // SAFETY: an object of 96 bytes of our own.
            unsafe {
                write(at, 96, asked);
                assert_eq!(read(at, 96), Ok(asked));
            }
            let marked = (asked..(asked + 8).min(88)).chain(88..96);
            for byte in marked {
                for bit in 0..8 {
                    flip(at, byte, 1 << bit);
                    // SAFETY: as above.
                    assert!(unsafe { read(at, 96) }.is_err(), "{asked}: bit {bit} of byte {byte}");
                    flip(at, byte, 1 << bit);
                }
            }
        }
    }

    #[test]
    fn an_overflow_by_one_leaves_the_length_to_be_told() {
        for asked in 0..=88 {
            let mut object = Object([0; 96]);
            let at = object.0.as_mut_ptr();
            // SAFETY: as above.
            unsafe { write(at, 96, asked) };
            flip(at, asked, 0xff);
            // SAFETY: as above.
            assert_eq!(unsafe { read(at, 96) }, Err(Broken(Some(asked))));
        }
    }
}

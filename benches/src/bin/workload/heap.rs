//! Owned blocks from the C allocator under measurement.
//!
//! ```text
//! Block   pointer only; nothing is checked, for rows that time single calls
//! Tagged  pointer + length; [tag: 8 B][ … ][tag's low byte], checked when freed;
//!         8 bytes hold the tag alone, fewer only its low byte
//! Chain   blocks linked through their first word: holds any number without a table
//! ```
//!
//! Every pointer passes through `black_box`, since LLVM knows `malloc` and `free` by
//! name and would delete a pair whose block nobody sees.

use core::hint::black_box;
use core::ptr::NonNull;

use crate::proc::die;

fn some(pointer: *mut libc::c_void) -> NonNull<u8> {
    match NonNull::new(black_box(pointer.cast::<u8>())) {
        Some(pointer) => pointer,
        None => die("the allocator returned null: is memory short, or is the allocator broken?"),
    }
}

/// One live block.
pub(crate) struct Block(NonNull<u8>);

// SAFETY: a block has one owner, and `free` may be called from any thread.
unsafe impl Send for Block {}

impl Block {
    #[inline(always)]
    pub(crate) fn malloc(size: usize) -> Self {
        // SAFETY: `malloc` takes any size.
        Self(some(unsafe { libc::malloc(size) }))
    }

    /// A block of `size` bytes whose first byte has been written.
    #[inline(always)]
    pub(crate) fn touched(size: usize) -> Self {
        let block = Self::malloc(size);
        // SAFETY: `size` is at least 1 in every caller.
        unsafe { block.0.write_volatile(size as u8) };
        block
    }

    #[inline(always)]
    pub(crate) fn calloc(size: usize) -> Self {
        // SAFETY: `calloc` takes any size.
        Self(some(unsafe { libc::calloc(1, size) }))
    }

    #[inline(always)]
    pub(crate) fn aligned(align: usize, size: usize) -> Self {
        let mut pointer = core::ptr::null_mut();
        // SAFETY: `align` is a power of two and a multiple of the pointer size.
        if unsafe { libc::posix_memalign(&raw mut pointer, align, size) } != 0 {
            die("posix_memalign failed: is memory short, or is the allocator broken?");
        }
        let block = Self(some(pointer));
        if !block.0.addr().get().is_multiple_of(align) {
            die("posix_memalign returned a block that is not aligned");
        }
        block
    }

    /// The same block with room for `size` bytes.
    #[inline(always)]
    pub(crate) fn resized(self, size: usize) -> Self {
        // SAFETY: we own the block; `into_raw` keeps it from being freed a second time.
        Self(some(unsafe { libc::realloc(self.into_raw().as_ptr().cast(), size) }))
    }

    #[inline(always)]
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.0.as_ptr()
    }

    pub(crate) fn into_raw(self) -> NonNull<u8> {
        let pointer = self.0;
        core::mem::forget(self);
        pointer
    }

    /// # Safety
    /// `pointer` came from `into_raw`, and no other block was made from it.
    pub(crate) unsafe fn from_raw(pointer: NonNull<u8>) -> Self {
        Self(pointer)
    }
}

impl Drop for Block {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the block is live, and this is the end of its only owner.
        unsafe { libc::free(black_box(self.0.as_ptr()).cast()) };
    }
}

/// A block that notices when someone else wrote into it.
pub(crate) struct Tagged {
    block: Block,
    len: usize,
}

impl Tagged {
    #[inline(always)]
    pub(crate) fn new(len: usize) -> Self {
        Self::from_block(Block::malloc(len), len)
    }

    /// Tags a block of `len` bytes.
    #[inline(always)]
    pub(crate) fn from_block(block: Block, len: usize) -> Self {
        let tag = tag(&block, len);
        // SAFETY: both writes lie within `len` bytes, which is at least 1.
        unsafe {
            if len >= 8 {
                block.as_ptr().cast::<u64>().write_unaligned(tag);
            }
            if len != 8 {
                block.as_ptr().add(len - 1).write(tag as u8);
            }
        }
        Self { block, len }
    }

    /// Writes the bytes between the tags.
    pub(crate) fn fill(&mut self) {
        if self.len > 9 {
            // SAFETY: bytes 8 to `len - 1` lie within the block, between its tags.
            unsafe { self.block.as_ptr().add(8).write_bytes(0xa5, self.len - 9) };
        }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Checks the tags and gives the block back, to be freed by the caller.
    #[inline(always)]
    pub(crate) fn into_block(self) -> Block {
        self.check();
        // SAFETY: read out once, and `self` is forgotten, so the block keeps one owner.
        let block = unsafe { core::ptr::read(&raw const self.block) };
        core::mem::forget(self);
        block
    }

    #[cold]
    #[inline(never)]
    fn spoilt(&self) -> ! {
        use core::fmt::Write;
        let mut line: crate::proc::Line = crate::proc::Line::new();
        let _ = write!(
            line,
            "the block of {} bytes at {:p} was overwritten while it was live",
            self.len,
            self.block.as_ptr()
        );
        die(line.as_str())
    }
}

fn tag(block: &Block, len: usize) -> u64 {
    (block.as_ptr().addr() as u64 ^ len as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Drop for Tagged {
    #[inline(always)]
    fn drop(&mut self) {
        self.check();
    }
}

impl Tagged {
    #[inline(always)]
    fn check(&self) {
        let tag = tag(&self.block, self.len);
        // SAFETY: both reads lie where `from_block` wrote.
        let intact = unsafe {
            let at = self.block.as_ptr();
            (self.len == 8 || at.add(self.len - 1).read() == tag as u8)
                && (self.len < 8 || at.cast::<u64>().read_unaligned() == tag)
        };
        if !intact {
            self.spoilt();
        }
    }
}

/// Blocks in a list through their own first word; freed in the order of allocation.
pub(crate) struct Chain {
    head: Option<NonNull<u8>>,
    tail: Option<NonNull<u8>>,
}

// SAFETY: a chain owns its blocks, which any thread may free.
unsafe impl Send for Chain {}

impl Chain {
    pub(crate) const fn new() -> Self {
        Self { head: None, tail: None }
    }

    /// Allocates a block of `size` bytes, at least 8, and writes every one of them.
    pub(crate) fn grow(&mut self, size: usize) {
        let block = Block::malloc(size);
        // SAFETY: the block has `size` bytes.
        unsafe { block.as_ptr().write_bytes(0xa5, size) };
        self.push(block);
    }

    /// Appends a block of at least 8 bytes.
    pub(crate) fn push(&mut self, block: Block) {
        let block = block.into_raw();
        // SAFETY: blocks of a chain have room for a word, and `malloc` aligns it.
        unsafe { block.cast::<Option<NonNull<u8>>>().write(None) };
        match self.tail {
            // SAFETY: the tail is a live block of ours.
            Some(tail) => unsafe { tail.cast::<Option<NonNull<u8>>>().write(Some(block)) },
            None => self.head = Some(block),
        }
        self.tail = Some(block);
    }

    /// Takes the oldest block out.
    pub(crate) fn pop(&mut self) -> Option<Block> {
        let head = self.head?;
        // SAFETY: the head is a live block of ours whose first word is the link.
        self.head = unsafe { head.cast::<Option<NonNull<u8>>>().read() };
        if self.head.is_none() {
            self.tail = None;
        }
        // SAFETY: the block came from `into_raw` in `push` and has just left the chain.
        Some(unsafe { Block::from_raw(head) })
    }
}

/// The same with the size of each block in its second word, for blocks of 16 bytes on.
impl Chain {
    pub(crate) fn grow_sized(&mut self, size: usize) {
        self.grow(size);
        if let Some(tail) = self.tail {
            // SAFETY: the block has room for two words, and `malloc` aligns it.
            unsafe { tail.cast::<usize>().add(1).write(size) };
        }
    }

    /// Frees the oldest block and returns its size; 0 where there is none.
    pub(crate) fn pop_sized(&mut self) -> usize {
        // SAFETY: `grow_sized` wrote the second word.
        self.pop().map_or(0, |block| unsafe { block.as_ptr().cast::<usize>().add(1).read() })
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_every_small_length_are_found_again() {
        (1..=64).for_each(|len| drop(Tagged::new(len)));
    }

    #[test]
    fn a_sized_chain_tells_what_it_frees() {
        let mut chain = Chain::new();
        [16, 500, 17].into_iter().for_each(|size| chain.grow_sized(size));
        assert_eq!([(); 4].map(|()| chain.pop_sized()), [16, 500, 17, 0]);
    }

    #[test]
    fn a_filled_block_keeps_its_tags() {
        for len in 1..=64 {
            let mut block = Tagged::new(len);
            block.fill();
            drop(block.into_block());
        }
    }

    #[test]
    fn a_chain_gives_back_what_it_holds_in_order() {
        let mut chain = Chain::new();
        let blocks: Vec<_> = (0..3)
            .map(|_| {
                let block = Block::malloc(16);
                let at = block.as_ptr();
                chain.push(block);
                at
            })
            .collect();
        let popped: Vec<_> = core::iter::from_fn(|| chain.pop().map(|b| b.as_ptr())).collect();
        assert_eq!(blocks, popped);
    }
}

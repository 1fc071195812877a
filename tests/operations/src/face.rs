//! What a sequence is played on: the C functions, whoever answers them.

use crate::step::Form;

/// A call with addresses in the place of blocks.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the fields are those of the C functions")]
pub enum Request {
    Malloc { size: usize },
    Calloc { count: usize, size: usize },
    Aligned { form: Form, align: usize, size: usize },
    Realloc { old: Old, size: usize },
    ReallocArray { old: Old, count: usize, size: usize },
    Free { old: Old },
    FreeSized { old: Old },
    FreeAlignedSized { old: Old },
    Trim,
    Later,
}

/// A live block: what was asked for when it was made, or resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Old {
    /// Where it is.
    pub address: usize,
    /// Its size.
    pub size: usize,
    /// Its alignment.
    pub align: usize,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The block, or 0.
    pub address: usize,
    /// What `posix_memalign` returned; 0 from the others.
    pub result: i32,
    /// `errno` afterwards, which was [`Answer::UNTOUCHED`] before.
    pub errno: i32,
}

impl Answer {
    /// An `errno` that no call sets.
    pub const UNTOUCHED: i32 = 7777;
}

/// What is in use when everything was given back; all 0 where nothing was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    /// Bytes of blocks that nobody has.
    pub lost: usize,
    /// Bytes in caches, spans and dirty pages.
    pub kept: usize,
}

/// An allocator behind the C functions.
pub trait Face: Sync {
    /// The block, and the result of `posix_memalign`.
    ///
    /// # Safety
    /// Addresses are those of live blocks, which a call that frees or resizes gives up.
    unsafe fn call(&self, request: Request) -> (usize, i32);

    /// Bytes of the live block at `address` that the program may use.
    fn usable(&self, address: usize) -> usize;

    /// Whether every refusal says why in `errno`.
    fn says_why(&self) -> bool;

    /// Whether a block that is resized keeps its alignment, as Rust promises and C does not.
    fn keeps_alignment(&self) -> bool {
        false
    }

    /// Looks at the whole heap, in which `held` are all live blocks.
    ///
    /// # Errors
    /// What is wrong with it.
    fn audit(&self, held: &[usize]) -> Result<(), String>;

    /// What is in use, when no block lives and all was given back that can be.
    ///
    /// # Errors
    /// What is wrong with the heap.
    fn left(&self) -> Result<Left, String>;
}

/// Makes `request` and notes `errno`.
///
/// # Safety
/// As [`Face::call`].
pub(crate) unsafe fn ask(face: &dyn Face, request: Request) -> Answer {
    // SAFETY: errno is the thread's own.
    unsafe { *libc::__errno_location() = Answer::UNTOUCHED };
    // SAFETY: by the caller's promise.
    let (address, result) = unsafe { face.call(request) };
    // SAFETY: as above.
    Answer { address, result, errno: unsafe { *libc::__errno_location() } }
}

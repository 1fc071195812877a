//! The face of the crate: its operations as the entry points call them.

use crate::blocks::{Face, Random, fail};
use cidalloc::malloc::MIN_ALIGN;
use cidalloc::size_class::{of_aligned, of_size};
use cidalloc::{config::SMALL_MAX, free, malloc, realloc};
use core::alloc::Layout;

/// The heap itself, beside the program's own allocator: every block in it is known.
pub(crate) struct Direct;

impl Face for Direct {
    fn alloc(&self, layout: Layout, random: &mut Random) -> *mut u8 {
        if layout.align() <= MIN_ALIGN && random.one_in(2) {
            malloc::alloc(layout.size())
        } else {
            malloc::alloc_aligned(layout.size(), layout.align())
        }
    }
    fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        malloc::alloc_zeroed(layout.size(), layout.align())
    }
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> (*mut u8, bool) {
        if layout.align() <= MIN_ALIGN {
            // SAFETY: the caller's live block.
            return (unsafe { realloc::realloc(block, size) }, false);
        }
        let new = malloc::alloc_aligned(size, layout.align());
        // SAFETY: two live blocks of these sizes, one of which is given up.
        unsafe {
            block.copy_to_nonoverlapping(new, size.min(layout.size()));
            free::free(block);
        }
        (new, true)
    }
    unsafe fn free(&self, block: *mut u8, layout: Layout, by_layout: bool, random: &mut Random) {
        if random.one_in(4) && free::usable_size(block) < layout.size() {
            fail!("usable size of {block:?} is less than {layout:?}");
        }
        let class = match layout.size() {
            n if n > SMALL_MAX => None,
            n if layout.align() <= MIN_ALIGN => Some(of_size(n)),
            n => of_aligned(n, layout.align()),
        };
        // SAFETY: the caller's live block, whose class is that of its layout if so told.
        unsafe {
            match class {
                Some(class) if by_layout && random.one_in(2) => {
                    free::free_class(block, class, layout.size(), layout.align());
                }
                _ => free::free(block),
            }
        }
    }
}

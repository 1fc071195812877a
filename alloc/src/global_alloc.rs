//! The face for Rust: `#[global_allocator]`.

use crate::config::SMALL_MAX;
use crate::free;
use crate::hardened;
use crate::malloc::{self, MIN_ALIGN};
use crate::realloc;
use crate::size_class::{of_aligned, of_size};
use core::alloc::{GlobalAlloc, Layout};

/// The allocator, for `#[global_allocator]`.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: cidalloc::CidAlloc = cidalloc::CidAlloc;
///
/// let words: Vec<String> = "one heap for all values".split(' ').map(String::from).collect();
/// assert_eq!(words.len(), 5);
/// ```
///
/// Thread-safe. Frees take the size class from the layout. All values of this type are the same
/// one heap, which is also that of `libcidmalloc.so` only if it is the same copy of this crate.
#[derive(Debug, Clone, Copy, Default)]
pub struct CidAlloc;

// SAFETY: blocks are disjoint (ONE-PLACE), of the size and alignment asked for, live until they
// are given back, and nothing here unwinds.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for CidAlloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        malloc::alloc_aligned(layout.size(), layout.align())
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        malloc::alloc_zeroed(layout.size(), layout.align())
    }

    #[inline]
    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        let class = if layout.align() <= MIN_ALIGN && layout.size() <= SMALL_MAX {
            Some(of_size(layout.size()))
        } else {
            of_aligned(layout.size(), layout.align())
        };
        // SAFETY: the caller's block, allocated by the same choice of class.
        unsafe {
            match class {
                Some(class) => free::free_class(address, class, layout.size(), layout.align()),
                None => free::free_said(address, Some(layout.size()), layout.align()),
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.align() <= MIN_ALIGN {
            // A block that stays in place must be of the class that its new layout names.
            let keeps_class = layout.size() <= SMALL_MAX
                && size <= SMALL_MAX
                && of_size(layout.size()) == of_size(size);
            if keeps_class {
                if hardened::is_on() {
                    // Its new length has to be known.
                    // SAFETY: the caller's block.
                    return unsafe { realloc::realloc(address, size) };
                }
                return address;
            }
            if layout.size() > SMALL_MAX && size > SMALL_MAX {
                // SAFETY: the caller's block.
                return unsafe { realloc::realloc(address, size) };
            }
        }
        // SAFETY: the new layout is valid by the caller's promise; the blocks are disjoint.
        unsafe {
            let new = malloc::alloc_aligned(size, layout.align());
            if !new.is_null() {
                core::ptr::copy_nonoverlapping(address, new, layout.size().min(size));
                self.dealloc(address, layout);
            }
            new
        }
    }
}

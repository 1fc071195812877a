//! A `libcidmalloc.so` beside the program's own allocator: its C functions, found by name.
//!
//! Loaded with bindings of its own (`RTLD_DEEPBIND`), so that the names by which its functions
//! call each other mean itself and not libc, which serves the program.

use crate::face::{Face, Left, Request};
use crate::step::Form;
use core::ffi::{CStr, c_int, c_void};
use core::ptr::{null_mut, with_exposed_provenance_mut};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// glibc's alone; who links musl statically loads no library anyway.
#[cfg(target_env = "gnu")]
const OWN_NAMES_FIRST: c_int = libc::RTLD_DEEPBIND;
#[cfg(not(target_env = "gnu"))]
const OWN_NAMES_FIRST: c_int = 0;

type Block = *mut c_void;
type Size = usize;

/// `struct mallinfo2`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Mallinfo2 {
    arena: usize,
    ordblks: usize,
    smblks: usize,
    hblks: usize,
    hblkhd: usize,
    usmblks: usize,
    fsmblks: usize,
    uordblks: usize,
    fordblks: usize,
    keepcost: usize,
}

macro_rules! functions {
    ($($name:ident: fn($($arg:ty),*) $(-> $ret:ty)?;)*) => {
        /// The functions of a library.
        #[derive(Debug, Clone, Copy)]
        pub struct Loaded {
            $($name: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)*
        }

        impl Loaded {
            fn find(library: *mut c_void) -> Result<Self, String> {
                $(
                    let name = concat!(stringify!($name), "\0");
                    // SAFETY: an open library, and a name that ends in NUL.
                    let $name = unsafe { libc::dlsym(library, name.as_ptr().cast()) };
                    if $name.is_null() {
                        return Err(concat!("it has no ", stringify!($name)).into());
                    }
                )*
                // SAFETY: by the C standard and glibc's manual, what has these names has these types.
                Ok(unsafe { Self { $($name: core::mem::transmute::<
                    *mut c_void, unsafe extern "C" fn($($arg),*) $(-> $ret)?>($name),)* } })
            }
        }
    };
}

functions! {
    malloc: fn(Size) -> Block;
    calloc: fn(Size, Size) -> Block;
    realloc: fn(Block, Size) -> Block;
    reallocarray: fn(Block, Size, Size) -> Block;
    posix_memalign: fn(*mut Block, Size, Size) -> c_int;
    aligned_alloc: fn(Size, Size) -> Block;
    memalign: fn(Size, Size) -> Block;
    free: fn(Block);
    free_sized: fn(Block, Size);
    free_aligned_sized: fn(Block, Size, Size);
    malloc_usable_size: fn(Block) -> Size;
    malloc_trim: fn(Size) -> c_int;
    mallinfo2: fn() -> Mallinfo2;
}

impl Loaded {
    /// Loads the library at `path`.
    ///
    /// # Errors
    /// Why it cannot be loaded, in one line.
    pub fn open(path: &Path) -> Result<Self, String> {
        let name = CString::new(path.as_os_str().as_bytes()).map_err(|e| e.to_string())?;
        let flags = libc::RTLD_NOW | libc::RTLD_LOCAL | OWN_NAMES_FIRST;
        // SAFETY: the library's constructor starts its heap, and does nothing else.
        let library = unsafe { libc::dlopen(name.as_ptr(), flags) };
        if library.is_null() {
            // SAFETY: after a failure the text is there, until the thread's next call.
            let why = unsafe { CStr::from_ptr(libc::dlerror()) };
            return Err(why.to_string_lossy().into_owned());
        }
        Self::find(library).map_err(|why| format!("{}: {why}", path.display()))
    }
}

impl Face for Loaded {
    unsafe fn call(&self, request: Request) -> (usize, i32) {
        let at = with_exposed_provenance_mut::<c_void>;
        let (mut block, mut result) = (null_mut(), 0);
        // SAFETY: live blocks of this library, by the caller's promise; the rest are numbers.
        unsafe {
            match request {
                Request::Malloc { size } => block = (self.malloc)(size),
                Request::Calloc { count, size } => block = (self.calloc)(count, size),
                Request::Aligned { form: Form::Posix, align, size } => {
                    result = (self.posix_memalign)(&raw mut block, align, size);
                }
                Request::Aligned { form: Form::C11, align, size } => {
                    block = (self.aligned_alloc)(align, size);
                }
                Request::Aligned { form: Form::Old, align, size } => {
                    block = (self.memalign)(align, size);
                }
                Request::Realloc { old, size } => block = (self.realloc)(at(old.address), size),
                Request::ReallocArray { old, count, size } => {
                    block = (self.reallocarray)(at(old.address), count, size);
                }
                Request::Free { old } => (self.free)(at(old.address)),
                Request::FreeSized { old } => (self.free_sized)(at(old.address), old.size),
                Request::FreeAlignedSized { old } => {
                    (self.free_aligned_sized)(at(old.address), old.align, old.size);
                }
                // There is no function that lets time pass.
                Request::Trim | Request::Later => _ = (self.malloc_trim)(0),
            }
        }
        (block.expose_provenance(), result)
    }

    fn usable(&self, address: usize) -> usize {
        // SAFETY: a live block of this library.
        unsafe { (self.malloc_usable_size)(with_exposed_provenance_mut(address)) }
    }

    fn says_why(&self) -> bool {
        true
    }

    fn audit(&self, held: &[usize]) -> Result<(), String> {
        // SAFETY: reads the heap.
        let now = unsafe { (self.mallinfo2)() };
        let (booked, known) = (now.uordblks + now.hblkhd, held.iter().map(|&at| self.usable(at)));
        let known: usize = known.sum();
        if booked != known {
            return Err(format!("{booked} bytes are in use, {known} are live: {now:?}"));
        }
        Ok(())
    }

    fn left(&self) -> Result<Left, String> {
        let mut left = Left::default();
        // As in `Direct::left`.
        for _ in 0..20 {
            // SAFETY: gives free memory back, and reads the heap.
            let now = unsafe {
                (self.malloc_trim)(0);
                (self.mallinfo2)()
            };
            left = Left { lost: now.uordblks + now.hblkhd, kept: now.fordblks };
            if left == Left::default() {
                break;
            }
        }
        Ok(left)
    }
}

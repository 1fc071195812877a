//! The start and the end of a thread. rpmalloc makes a thread's heap at its first
//! allocation and wants to be told of its end, to hand its spans on. Its own preload does
//! that by a `pthread_create` which sets a key in the new thread; this is the same in
//! Rust, since a C function of that name would not be exported from here.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicI64, Ordering::Relaxed};
use core::{mem, ptr};

use rpmalloc_sys::{rpfree, rpmalloc, rpmalloc_thread_initialize};

#[allow(clashing_extern_declarations, reason = "the crate forgets the parameter")]
unsafe extern "C" {
    fn rpmalloc_thread_finalize(release_caches: c_int);
}

type Start = extern "C" fn(*mut c_void) -> *mut c_void;
type Create = unsafe extern "C" fn(
    *mut libc::pthread_t,
    *const libc::pthread_attr_t,
    Start,
    *mut c_void,
) -> c_int;

struct Starter {
    start: Start,
    argument: *mut c_void,
}

/// Set in every thread that `pthread_create` starts; -1 before there is one.
static KEY: AtomicI64 = AtomicI64::new(-1);

/// Runs before `main`, when there is but one thread.
extern "C" fn make_key() {
    let mut key = 0;
    // SAFETY: writes one key.
    if unsafe { libc::pthread_key_create(&raw mut key, Some(ended)) } == 0 {
        KEY.store(key.into(), Relaxed);
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static MAKE_KEY: extern "C" fn() = make_key;

unsafe extern "C" fn ended(_: *mut c_void) {
    // SAFETY: called in the thread that ends.
    unsafe { rpmalloc_thread_finalize(1) };
}

extern "C" fn started(starter: *mut c_void) -> *mut c_void {
    // SAFETY: `pthread_create` below gave this thread the block, filled.
    let Starter { start, argument } = unsafe {
        rpmalloc_thread_initialize();
        let starter = starter.cast::<Starter>();
        let copy = starter.read();
        rpfree(starter.cast());
        copy
    };
    if let Ok(key) = KEY.load(Relaxed).try_into() {
        // SAFETY: the key exists; the value is only ever compared with null.
        unsafe { libc::pthread_setspecific(key, ptr::dangling()) };
    }
    start(argument)
}

/// As the C function.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: a lookup by name; what it finds is the C library's function of this type.
    let create = unsafe {
        let found = libc::dlsym(libc::RTLD_NEXT, c"pthread_create".as_ptr());
        mem::transmute::<*mut c_void, Option<Create>>(found)
    };
    // SAFETY: the block is large enough, and this thread's own until the new one has it.
    unsafe {
        rpmalloc_thread_initialize();
        let starter = rpmalloc(size_of::<Starter>()).cast::<Starter>();
        let (Some(create), false) = (create, starter.is_null()) else {
            return libc::EAGAIN;
        };
        starter.write(Starter { start, argument });
        let failed = create(thread, attributes, started, starter.cast());
        if failed != 0 {
            rpfree(starter.cast());
        }
        failed
    }
}

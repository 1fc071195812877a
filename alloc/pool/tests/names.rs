//! Pools are known by name where the kernel shows mappings.

use cidpool::{Pool, Populate};

fn maps() -> String {
    std::fs::read_to_string("/proc/self/maps").unwrap()
}

#[test]
fn an_image_s_copies_have_the_pool_s_name() {
    let pool = Pool::builder(64).name("pictures").populate(Populate::Image).build().unwrap();
    let item = pool.allocate().unwrap();
    let named = maps().lines().filter(|line| line.contains("/memfd:cidpool:pictures")).count();
    assert_eq!(named, pool.copies(item).count() + 1, "each copy, and the image itself");
    // SAFETY: just allocated.
    unsafe { pool.free(item) };
}

#[test]
fn anonymous_ranges_have_the_pool_s_name() {
    let pool = Pool::builder(64).name("nameless").build().unwrap();
    let item = pool.allocate().unwrap();
    if !kernel_names_memory() {
        println!("skipped: the kernel was built without CONFIG_ANON_VMA_NAME");
    } else {
        let address = item.as_ptr().addr().get();
        let maps = maps();
        let line = maps.lines().find(|line| {
            let (start, rest) = line.split_once('-').unwrap();
            let (end, _) = rest.split_once(' ').unwrap();
            let number = |text| usize::from_str_radix(text, 16).unwrap();
            (number(start)..number(end)).contains(&address)
        });
        assert!(line.unwrap().contains("[anon:cidpool:nameless]"), "{line:?}");
    }
    // SAFETY: just allocated.
    unsafe { pool.free(item) };
}

fn kernel_names_memory() -> bool {
    // SAFETY: names a fresh page.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let page = libc::mmap(core::ptr::null_mut(), 4096, libc::PROT_READ, flags, -1, 0);
        assert_ne!(page, libc::MAP_FAILED);
        libc::prctl(0x5356_4d41, 0, page, 4096, c"probe".as_ptr()) == 0
    }
}

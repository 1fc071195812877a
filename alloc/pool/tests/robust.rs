//! Misuse ends the process with one line, or is an error: each in a process of its own.

mod support;

use cidpool::{FreeError, Item, Pool, PoolSet, Populate};
use core::ptr::NonNull;
use std::os::unix::process::ExitStatusExt;
use std::sync::OnceLock;
use support::{rerun, word};

fn pool(name: &str, robust: bool) -> Pool {
    Pool::builder(64).name(name).robust(robust).build().unwrap()
}

fn free(pool: &Pool, item: Item) {
    // SAFETY: wrong on purpose, in a process that ends by it.
    unsafe { pool.free(item) };
}

fn at(item: Item, offset: usize) -> Item {
    Item::from_ptr(item.as_ptr().map_addr(|address| address.saturating_add(offset)))
}

/// Says which address the message is to name.
fn announce(item: Item) -> Item {
    println!("about {:#x}", item.as_ptr().addr());
    item
}

macro_rules! misuses {
    ($($statement:ident, $child:ident: $message:literal, $body:expr;)*) => {$(
        #[test]
        #[ignore = "ends its process"]
        fn $child() {
            $body
        }
        #[test]
        fn $statement() {
            assert_dies(stringify!($child), $message);
        }
    )*};
}

/// The child `name` aborts with this line, where `@` stands for the address that it announced.
#[track_caller]
fn assert_dies(name: &str, message: &str) {
    let output = rerun(name, &[]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(
        output.status.signal(),
        Some(libc::SIGABRT),
        "{name}: {}\n{out}{err}",
        output.status
    );
    let address = out.lines().find_map(|line| line.split_once("about ")).map_or("", |(_, a)| a);
    let said: Vec<&str> = err.lines().filter(|line| line.starts_with("cidpool")).collect();
    assert_eq!(said, [message.replace('@', address)], "{out}{err}");
}

misuses! {
    a_double_free_is_seen, double_free: "cidpool: twice: double free: @", {
        let pool = pool("twice", false);
        let item = announce(pool.allocate().unwrap());
        free(&pool, item);
        free(&pool, item);
    };
    a_double_free_is_seen_by_robust_pools_wherever_the_item_is, double_free_far:
        "cidpool: far: double free: @", {
        let pool = pool("far", true);
        let mut items = Vec::new();
        pool.allocate_many(200, &mut items).unwrap();
        let item = announce(items[77]);
        // SAFETY: ours, once.
        unsafe { pool.free_many(&items) };
        // Where it is now depends on what came after it.
        for _ in 0..40 {
            let other = pool.allocate().unwrap();
            if other == item {
                free(&pool, other);
                break;
            }
        }
        free(&pool, item);
    };
    a_double_free_within_one_call_is_seen, double_free_many: "cidpool: many: double free: @", {
        let pool = pool("many", false);
        let item = announce(pool.allocate().unwrap());
        // SAFETY: wrong on purpose.
        unsafe { pool.free_many(&[item, item]) };
    };
    a_foreign_pointer_is_seen, foreign:
        "cidpool: mine: free of what is no item of this pool: @", {
        let (mine, other) = (pool("mine", false), pool("other", false));
        mine.allocate().unwrap();
        free(&mine, announce(other.allocate().unwrap()));
    };
    a_pointer_that_no_pool_of_a_set_knows_is_seen, foreign_to_set:
        "cidpool: set 8: free of what is no item of this pool: @", {
        let set = PoolSet::builder().name("set").lengths(8, 16).build().unwrap();
        let local = 0u64;
        let item = announce(Item::from_ptr(NonNull::from(&local).cast()));
        // SAFETY: wrong on purpose.
        unsafe { set.free(item) };
    };
    an_interior_pointer_is_seen, interior:
        "cidpool: inside: free of a pointer into an item: @", {
        let pool = pool("inside", false);
        free(&pool, announce(at(pool.allocate().unwrap(), 8)));
    };
    a_pointer_to_another_copy_is_seen, other_copy:
        "cidpool: copy: free of what is no item of this pool: @", {
        let pool = pool("copy", false);
        free(&pool, announce(at(pool.allocate().unwrap(), pool.stride())));
    };
    a_write_after_free_is_seen_when_the_item_comes_again, write_after_free:
        "cidpool: late: write after free: @, the copy of node 0 cid 0", {
        let pool = pool("late", true);
        let item = announce(pool.allocate_zeroed().unwrap());
        word(item.as_ptr()).store(1, core::sync::atomic::Ordering::Relaxed);
        free(&pool, item);
        word(item.as_ptr()).store(2, core::sync::atomic::Ordering::Relaxed);
        for _ in 0..2000 {
            pool.allocate().unwrap();
        }
    };
    a_write_after_free_to_a_copy_that_nobody_used_is_seen, write_after_free_untouched:
        "cidpool: image: write after free: @, the copy of node 0 cid 0", {
        let pool = Pool::builder(64).name("image").robust(true).populate(Populate::Image);
        let pool = pool.initialise(|range| range.bytes().fill(3)).build().unwrap();
        let item = announce(pool.allocate().unwrap());
        free(&pool, item);
        word(item.as_ptr()).store(2, core::sync::atomic::Ordering::Relaxed);
        for _ in 0..2000 {
            pool.allocate().unwrap();
        }
    };
    a_leak_is_counted_when_the_pool_is_dropped, leak:
        "cidpool: leaky: dropped with 2 items allocated, one of them @", {
        let pool = pool("leaky", true);
        let mut items = Vec::new();
        pool.allocate_many(10, &mut items).unwrap();
        items.sort_by_key(|item| item.as_ptr());
        announce(items[3]);
        // SAFETY: ours, once; two are left out.
        unsafe {
            pool.free_many(&items[..3]);
            pool.free_many(&items[5..]);
        }
        drop(pool);
    };
    an_initialiser_that_needs_itself_is_seen, reentrance:
        "cidpool: the initialiser of a range wants another range of its pool", {
        static POOL: OnceLock<Pool> = OnceLock::new();
        let pool = Pool::builder(64).populate(Populate::Image).initialise(move |_| {
            let _ = POOL.get().unwrap().allocate();
        });
        let _ = POOL.get_or_init(|| pool.build().unwrap()).allocate();
    };
}

#[test]
fn where_an_error_can_be_returned_it_is() {
    let (mine, other) = (pool("mine", true), pool("other", true));
    let (item, foreign) = (mine.allocate().unwrap(), other.allocate().unwrap());
    // SAFETY: robust pools see what is wrong.
    unsafe {
        assert_eq!(mine.try_free(foreign), Err(FreeError::Foreign));
        assert_eq!(mine.try_free(at(item, 8)), Err(FreeError::Interior));
        assert_eq!(mine.try_free(item), Ok(()));
        assert_eq!(mine.try_free(item), Err(FreeError::DoubleFree));
        assert_eq!(other.try_free(foreign), Ok(()));
    }
}

#[test]
fn robust_pools_do_not_mind_right_use() {
    for populate in [Populate::Zero, Populate::Image] {
        let pool = Pool::builder(40).robust(true).populate(populate).build().unwrap();
        for round in 0..50 {
            let mut items = Vec::new();
            pool.allocate_many(100, &mut items).unwrap();
            for &item in &items {
                for (_, copy) in pool.copies(item).take(round % 3) {
                    word(copy).store(round as u64, core::sync::atomic::Ordering::Relaxed);
                }
            }
            // SAFETY: ours, once.
            unsafe { pool.free_many(&items) };
            let item = pool.allocate_init(b"value").unwrap();
            free(&pool, item);
        }
        assert!(pool.trim() > 0);
    }
}

//! What cannot be is refused, with the reason.

use cidpool::{AddError, BuildError, Pool, PoolSet, Populate};

fn why(result: Result<Pool, BuildError>) -> String {
    result.expect_err("was built").to_string()
}

#[test]
fn nonsense_is_refused_with_one_clear_line() {
    // SAFETY: asks for a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let rows = [
        (Pool::builder(0), "items of a pool need at least one byte".to_owned()),
        (
            Pool::builder(8).stride(100_000),
            "the stride is 100000, which is not a power of two".into(),
        ),
        (
            Pool::builder(8).stride(64),
            format!("the stride is 64, and must be from {page} to 2147483648"),
        ),
        (
            Pool::builder(8).stride(1 << 32),
            format!("the stride is 4294967296, and must be from {page} to 2147483648"),
        ),
        (Pool::builder(65537), "an item of 65537 bytes does not fit in a stride of 65536".into()),
        (Pool::builder(8).ranges_max(0), "a pool needs at least one range".into()),
        (
            Pool::builder(8).ranges_max(1 << 24),
            "16777216 ranges of 8192 items are more than 2^32 - 1 items".into(),
        ),
        (
            Pool::builder(8).ranges_max(usize::MAX),
            format!("{} ranges of 8192 items are more than 2^32 - 1 items", usize::MAX),
        ),
        (
            Pool::builder(8).name("a\nb"),
            "a name is 1 to 64 printable characters without any of \\ ` $ [ ]".into(),
        ),
        (
            Pool::builder(8).name(""),
            "a name is 1 to 64 printable characters without any of \\ ` $ [ ]".into(),
        ),
        (
            Pool::builder(8).populate(Populate::Zero).initialise(|_| ()),
            "ranges that begin as zero have no image to initialise".into(),
        ),
    ];
    for (builder, expected) in rows {
        assert_eq!(why(builder.clone().build()), expected, "{builder:?}");
    }
}

#[test]
fn lengths_are_rounded_to_words_and_not_to_powers_of_two() {
    let pool = Pool::builder(21).ranges_max(1).stride(4096).build().unwrap();
    let mut items = Vec::new();
    pool.allocate_many(170, &mut items).unwrap();
    assert!(pool.allocate().is_err(), "a copy of 4096 bytes holds 170 items of 24");
    assert_eq!(pool.statistics().capacity, 4096 / 24);
    // SAFETY: just allocated.
    unsafe { pool.free_many(&items) };
}

#[test]
fn items_are_aligned_to_the_power_of_two_that_divides_their_length() {
    for (len, alignment) in [(1, 8), (8, 8), (24, 8), (48, 16), (64, 64), (192, 64), (4096, 4096)] {
        let pool = Pool::builder(len).build().unwrap();
        let mut items = Vec::new();
        pool.allocate_many(16, &mut items).unwrap();
        assert!(items.iter().all(|item| item.as_ptr().addr().get() % alignment == 0), "{len}");
        // SAFETY: just allocated.
        unsafe { pool.free_many(&items) };
    }
}

#[test]
fn a_value_that_is_longer_than_an_item_is_refused() {
    let pool = Pool::builder(8).build().unwrap();
    let error = pool.allocate_init(&[0; 9]).unwrap_err();
    assert_eq!(error.to_string(), "a value of 9 bytes does not fit in an item of 8");
}

#[test]
fn a_global_pool_has_one_copy_whoever_asks() {
    let pool = Pool::builder(64).global().build().unwrap();
    let item = pool.allocate_zeroed().unwrap();
    assert!(pool.is_global());
    assert_eq!(pool.copies(item).count(), 1);
    for place in Pool::builder(64).build().unwrap().places() {
        assert_eq!(pool.copy(item, place), item.as_ptr());
    }
    // SAFETY: just allocated.
    unsafe { pool.free(item) };
}

#[test]
fn pools_of_different_strides_or_of_one_length_make_no_set() {
    let pool = |len, stride| Pool::builder(len).stride(stride).build().unwrap();
    let mut set = PoolSet::new();
    assert!(set.allocate(1).is_err());
    set.add(pool(16, 65536)).unwrap();
    assert_eq!(set.add(pool(8, 4096 * 32)), Err(AddError::OtherCopies));
    assert_eq!(set.add(pool(16, 65536)), Err(AddError::SameLength { item_len: 16 }));
    set.add(pool(8, 65536)).unwrap();
    let lengths: Vec<usize> = set.pools().iter().map(Pool::item_len).collect();
    assert_eq!(lengths, [8, 16]);
}

//! What copies hold before their cid writes to them, and what it costs.

mod support;

use cidpool::{Item, Pool, PoolSet, Populate};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use support::{Stop, word};

const PATTERN: u64 = 0x0123_4567_89ab_cdef;

fn imaged(name: &str) -> Pool {
    Pool::builder(64)
        .name(name)
        .populate(Populate::Image)
        .initialise(|range| {
            for item in 0..range.items() {
                range.item(item).fill((item as u8).wrapping_add(1));
            }
        })
        .build()
        .unwrap()
}

fn words(pool: &Pool, item: Item) -> Vec<u64> {
    pool.copies(item).map(|(_, copy)| word(copy).load(Relaxed)).collect()
}

fn free(pool: &Pool, item: Item) {
    // SAFETY: tests pass items that are theirs.
    unsafe { pool.free(item) };
}

#[test]
fn copies_begin_as_the_image_and_only_those_that_are_written_get_pages() {
    let pool = imaged("begin");
    let item = pool.allocate().unwrap();
    let index = item.as_ptr().addr().get() % 65536 / 64 + 1;
    let expected = u64::from_ne_bytes([index as u8; 8]);
    assert!(words(&pool, item).iter().all(|&word| word == expected));
    assert_eq!(pool.resident(item).unwrap(), [], "reading takes no memory");
    let (place, copy) = pool.copies(item).last().unwrap();
    word(copy).store(7, Relaxed);
    let resident: Vec<_> = pool.resident(item).unwrap();
    assert_eq!(resident, [(place, copy)]);
    let others = words(&pool, item).iter().filter(|&&word| word == expected).count();
    assert_eq!(others, pool.copies(item).count() - 1);
    free(&pool, item);
}

#[test]
fn an_initialised_item_is_so_in_every_copy_and_takes_no_page_where_nobody_wrote() {
    let pool = imaged("init");
    let items: Vec<Item> = (0..5).map(|_| pool.allocate().unwrap()).collect();
    // The last copy has a page of its own, with the old content of the item that comes.
    let (_, written) = pool.copies(items[0]).last().unwrap();
    word(written).store(1, Relaxed);
    items.iter().for_each(|&item| free(&pool, item));
    let item = pool.allocate_init(&PATTERN.to_ne_bytes()).unwrap();
    assert!(words(&pool, item).iter().all(|&word| word == PATTERN));
    assert_eq!(pool.resident(item).unwrap().len(), 1);
    let rest = word(item.as_ptr().map_addr(|address| address.saturating_add(8)));
    assert_eq!(rest.load(Relaxed), 0, "zero behind the value");
    free(&pool, item);
    let item = pool.allocate_zeroed().unwrap();
    assert!(words(&pool, item).iter().all(|&word| word == 0));
    assert_eq!(pool.resident(item).unwrap().len(), 1);
    free(&pool, item);
}

#[test]
fn an_item_that_is_to_be_zero_is_written_only_where_it_is_not() {
    let pool = Pool::builder(64).name("zeroed").build().unwrap();
    let item = pool.allocate_zeroed().unwrap();
    assert_eq!(pool.resident(item).unwrap(), []);
    let (place, copy) = pool.copies(item).next().unwrap();
    word(copy).store(PATTERN, Relaxed);
    free(&pool, item);
    let again = pool.allocate_zeroed().unwrap();
    assert_eq!(again, item, "the cid's own free item");
    assert!(words(&pool, again).iter().all(|&word| word == 0));
    assert_eq!(pool.resident(again).unwrap(), [(place, copy)]);
    free(&pool, again);
}

#[test]
fn without_an_image_a_value_is_in_every_copy() {
    let pool = Pool::builder(12).build().unwrap();
    let item = pool.allocate_init(b"twelve bytes").unwrap();
    for (_, copy) in pool.copies(item) {
        // SAFETY: 12 bytes of our item.
        let bytes = unsafe { copy.cast::<[u8; 12]>().read() };
        assert_eq!(&bytes, b"twelve bytes");
    }
    free(&pool, item);
}

#[test]
fn sets_use_the_initial_value_and_the_next_larger_pool_when_one_is_full() {
    for populate in [Populate::Zero, Populate::Image] {
        let set = PoolSet::builder()
            .name("mixed")
            .lengths(16, 64)
            .each(|pool| pool.populate(populate).stride(4096).ranges_max(1))
            .build()
            .unwrap();
        let value: Vec<u8> = (1..=16).collect();
        let first = u64::from_ne_bytes([1, 2, 3, 4, 5, 6, 7, 8]);
        let mut items = Vec::new();
        let mut by_pool = [0; 3];
        while let Ok(item) = set.allocate_init(16, &value) {
            assert!(set.copies(item).all(|(_, copy)| word(copy).load(Relaxed) == first));
            let len = set.pool_of(item).unwrap().item_len();
            by_pool[(len / 32).min(2)] += 1;
            items.push(item);
        }
        assert_eq!(by_pool, [256, 128, 64], "{populate:?}");
        assert!(set.allocate(65).is_err());
        // SAFETY: they are ours.
        items.into_iter().for_each(|item| unsafe { set.free(item) });
        assert_eq!(set.trim(), 3);
    }
}

/// A page that the kernel copies while the image changes must not keep what the image held before.
#[test]
fn no_copy_keeps_the_old_image_when_its_page_is_copied_meanwhile() {
    // Two items and no more: whichever cid has the free one, it is what comes.
    let pool = Pool::builder(2048).stride(4096).ranges_max(1).populate(Populate::Image);
    let pool = pool.build().unwrap();
    let (neighbour, item) = (pool.allocate().unwrap(), pool.allocate().unwrap());
    free(&pool, item);
    let running = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let page = item.as_ptr().as_ptr().map_addr(|address| address & !4095);
            while running.load(Relaxed) {
                // SAFETY: the first page of copy 0, of which this test makes all use.
                let result = unsafe { libc::madvise(page.cast(), 4096, libc::MADV_DONTNEED) };
                assert_eq!(result, 0);
                // Read, it is the image's page; written, it is copied.
                word(neighbour.as_ptr()).load(Relaxed);
                word(neighbour.as_ptr()).store(1, Relaxed);
            }
        });
        let _stop = Stop(&running);
        for round in 1..=ROUNDS {
            let again = pool.allocate_init(&round.to_ne_bytes()).unwrap();
            assert_eq!(again, item);
            for _ in 0..200 {
                assert_eq!(word(item.as_ptr()).load(Relaxed), round);
            }
            free(&pool, again);
        }
    });
    free(&pool, neighbour);
}

const ROUNDS: u64 = 2_000;
